#include "alb_input.h"

#include "alb_threads.h"

#pragma STDC FP_CONTRACT OFF

#define CHANNELS 3

typedef struct {
    size_t size, patch;
    const uint8_t *pixels;
    const float *mean, *deviation, *src;
    float *dst;
} picture_args;

// Parts are rows of pixels.
static void normalize_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const picture_args *a = context;
    for (size_t c = 0; c < CHANNELS; c++) {
        const float mean = a->mean[c], deviation = a->deviation[c];
        for (size_t y = begin; y < end; y++) {
            const uint8_t *src = a->pixels + y * a->size * CHANNELS + c;
            float *dst = a->dst + (c * a->size + y) * a->size;
            for (size_t x = 0; x < a->size; x++) dst[x] = ((float)src[x * CHANNELS] / 255.0f - mean) / deviation;
        }
    }
}

void alb_normalize_pixels(
    int threads, size_t size, const uint8_t *src, const float *mean, const float *deviation, float *dst) {
    picture_args args = {.size = size, .pixels = src, .mean = mean, .deviation = deviation, .dst = dst};
    alb_parallel_for(threads, size, 32, normalize_rows, &args);
}

// Parts are rows of patches.
static void cut_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const picture_args *a = context;
    const size_t grid = a->size / a->patch, columns = CHANNELS * a->patch * a->patch;
    for (size_t gy = begin; gy < end; gy++)
        for (size_t gx = 0; gx < grid; gx++) {
            float *dst = a->dst + (gy * grid + gx) * columns;
            for (size_t c = 0; c < CHANNELS; c++)
                for (size_t y = 0; y < a->patch; y++) {
                    const float *src = a->src + (c * a->size + gy * a->patch + y) * a->size + gx * a->patch;
                    for (size_t x = 0; x < a->patch; x++) *dst++ = src[x];
                }
        }
}

void alb_patches(int threads, size_t size, size_t patch, const float *src, float *dst) {
    picture_args args = {.size = size, .patch = patch, .src = src, .dst = dst};
    alb_parallel_for(threads, size / patch, 4, cut_rows, &args);
}
