#include "alb_pack.h"

#include <math.h>

#include "alb_threads.h"

#pragma STDC FP_CONTRACT OFF

#define BLOCK 16
#define GROUP 4

typedef struct {
    size_t channels, depth;
    const float *src;
    int8_t *values;
    float *scales, *values_f32;
    int32_t *sums;
} pack_args;

static int32_t rne(float x) { return (int32_t)rintf(x); }

// Parts are blocks of 16 channels.
static void pack_int8_blocks(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const pack_args *a = context;
    const size_t padded = (a->depth + GROUP - 1) / GROUP * GROUP;
    for (size_t n = begin * BLOCK; n < end * BLOCK; n++) {
        int8_t *values = a->values + n / BLOCK * padded * BLOCK + n % BLOCK * GROUP;
        const float *row = a->src + n * a->depth;
        float absmax = 0.0f;
        for (size_t k = 0; n < a->channels && k < a->depth; k++) absmax = fabsf(row[k]) > absmax ? fabsf(row[k]) : absmax;
        // An infinite weight has been noticed by the caller; here it must only not be converted.
        const float inverse = absmax > 0.0f && absmax < INFINITY ? 127.0f / absmax : 0.0f;
        int32_t sum = 0;
        for (size_t k = 0; k < padded; k++) {
            int32_t q = 0;
            if (n < a->channels && k < a->depth && inverse > 0.0f) {
                float scaled = row[k] * inverse;
                q = scaled >= 127.0f ? 127 : scaled <= -127.0f ? -127 : scaled == scaled ? rne(scaled) : 0;
            }
            values[k / GROUP * BLOCK * GROUP + k % GROUP] = (int8_t)q;
            sum += q;
        }
        a->scales[n] = absmax / 127.0f;
        a->sums[n] = sum;
    }
}

void alb_pack_int8(
    int threads, size_t channels, size_t depth, const float *src, int8_t *values, float *scales, int32_t *sums,
    alb_pack_report *report) {
    pack_args args = {
        .channels = channels, .depth = depth, .src = src, .values = values, .scales = scales, .sums = sums};
    alb_parallel_for(threads, (channels + BLOCK - 1) / BLOCK, 1, pack_int8_blocks, &args);

    *report = (alb_pack_report){.least_absmax = channels ? INFINITY : 0.0f, .finite = true};
    const size_t padded = (depth + GROUP - 1) / GROUP * GROUP;
    for (size_t n = 0; n < channels; n++) {
        const int8_t *packed = values + n / BLOCK * padded * BLOCK + n % BLOCK * GROUP;
        float absmax = 0.0f;
        double square_error = 0.0, square_sum = 0.0;
        for (size_t k = 0; k < depth; k++) {
            const float w = src[n * depth + k];
            if (!(fabsf(w) < INFINITY)) report->finite = false;
            absmax = fabsf(w) > absmax ? fabsf(w) : absmax;
            double error = (double)w - (double)packed[k / GROUP * BLOCK * GROUP + k % GROUP] * (double)scales[n];
            square_error += error * error;
            square_sum += (double)w * (double)w;
        }
        report->square_error += square_error;
        report->square_sum += square_sum;
        if (square_sum > 0.0 && square_error / square_sum > report->worst_share) {
            report->worst_share = square_error / square_sum;
            report->worst_channel = n;
        }
        report->least_absmax = absmax < report->least_absmax ? absmax : report->least_absmax;
        report->greatest_absmax = absmax > report->greatest_absmax ? absmax : report->greatest_absmax;
    }
}

// Parts are blocks of 16 channels.
static void pack_f32_blocks(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const pack_args *a = context;
    for (size_t block = begin; block < end; block++)
        for (size_t k = 0; k < a->depth; k++)
            for (size_t lane = 0; lane < BLOCK; lane++) {
                const size_t n = block * BLOCK + lane;
                a->values_f32[(block * a->depth + k) * BLOCK + lane] = n < a->channels ? a->src[n * a->depth + k] : 0.0f;
            }
}

bool alb_pack_f32(int threads, size_t channels, size_t depth, const float *src, float *values) {
    pack_args args = {.channels = channels, .depth = depth, .src = src, .values_f32 = values};
    alb_parallel_for(threads, (channels + BLOCK - 1) / BLOCK, 1, pack_f32_blocks, &args);
    bool finite = true;
    for (size_t i = 0; i < channels * depth; i++) finite &= fabsf(src[i]) < INFINITY;
    return finite;
}
