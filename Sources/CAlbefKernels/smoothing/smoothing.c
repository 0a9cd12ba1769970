#include "alb_smoothing.h"

#include <math.h>

#include "../common/functions.h"

#pragma STDC FP_CONTRACT OFF

// Far enough for any layer, and near enough that 2^exponent and its inverse are normal floats.
enum { GREATEST_EXPONENT = 24 };

static const float log2_e = 0x1.715476p+0f;

void alb_column_absmax_f32(size_t rows, size_t columns, const float *src, size_t stride, float *greatest) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const float magnitude = fabsf(src[r * stride + c]);
            greatest[c] = magnitude > greatest[c] ? magnitude : greatest[c];
        }
}

void alb_smoothing_exponents(
    size_t count, const float *inputs, const float *weights, float share, int32_t *exponents) {
    for (size_t c = 0; c < count; c++) {
        exponents[c] = 0;
        if (inputs[c] <= 0.0f || weights[c] <= 0.0f) continue;
        const float input = alb_log(inputs[c]) * log2_e, weight = alb_log(weights[c]) * log2_e;
        const int32_t exponent = (int32_t)rintf(share * input - (1.0f - share) * weight);
        exponents[c] = exponent > GREATEST_EXPONENT    ? GREATEST_EXPONENT
                       : exponent < -GREATEST_EXPONENT ? -GREATEST_EXPONENT
                                                       : exponent;
    }
}

static float power_of_two(int32_t exponent) { return alb_float_of((exponent + 127) << 23); }

void alb_scale_columns_f32(size_t rows, size_t columns, float *values, const int32_t *exponents) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) values[r * columns + c] *= power_of_two(exponents[c]);
}

void alb_unscale_rows_f32(size_t rows, size_t columns, float *values, const int32_t *exponents) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) values[r * columns + c] *= power_of_two(-exponents[r]);
}
