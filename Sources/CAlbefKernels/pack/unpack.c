#include "alb_pack.h"
#include "alb_threads.h"

#pragma STDC FP_CONTRACT OFF

#define BLOCK 16
#define GROUP 4

typedef struct {
    size_t depth;
    const int8_t *values;
    const float *scales, *values_f32;
    float *dst;
} unpack_args;

// Parts are channels.
static void unpack_int8_channels(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const unpack_args *a = context;
    const size_t padded = (a->depth + GROUP - 1) / GROUP * GROUP;
    for (size_t n = begin; n < end; n++) {
        const int8_t *values = a->values + n / BLOCK * padded * BLOCK + n % BLOCK * GROUP;
        for (size_t k = 0; k < a->depth; k++)
            a->dst[n * a->depth + k] = (float)values[k / GROUP * BLOCK * GROUP + k % GROUP] * a->scales[n];
    }
}

void alb_unpack_int8(
    int threads, size_t channels, size_t depth, const int8_t *values, const float *scales, float *dst) {
    unpack_args args = {.depth = depth, .values = values, .scales = scales, .dst = dst};
    alb_parallel_for(threads, channels, 64, unpack_int8_channels, &args);
}

// Parts are channels.
static void unpack_f32_channels(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const unpack_args *a = context;
    for (size_t n = begin; n < end; n++)
        for (size_t k = 0; k < a->depth; k++)
            a->dst[n * a->depth + k] = a->values_f32[(n / BLOCK * a->depth + k) * BLOCK + n % BLOCK];
}

void alb_unpack_f32(int threads, size_t channels, size_t depth, const float *values, float *dst) {
    unpack_args args = {.depth = depth, .values_f32 = values, .dst = dst};
    alb_parallel_for(threads, channels, 64, unpack_f32_channels, &args);
}
