/// Scale and zero point of one row of activations; shared by every variant, so that only the loops differ.
#ifndef ALB_QUANTIZATION_H
#define ALB_QUANTIZATION_H

#include <math.h>
#include <stdint.h>

#pragma STDC FP_CONTRACT OFF

/// A row's range below which all its values count as 0.
#define ALB_SMALLEST_RANGE 0x1p-100f

typedef struct {
    float scale;         ///< value = (q - zero_point) * scale; 0 for a row of zeros
    float inverse;       ///< 255 / range; 0 for a row of zeros, which makes every q 0
    int32_t zero_point;  ///< 0...255
} alb_row_quantization;

/// Rounds to the nearest integer, ties to even. Finite arguments lie within +-256; others are brought there, since their
/// conversion is undefined and differs between CPUs.
static inline int32_t alb_rne(float x) {
    float c = x > -512.0f ? x : -512.0f;
    c = c < 512.0f ? c : 512.0f;
    return (int32_t)rintf(c);
}

/// @param lo  min(0, least element).
/// @param hi  max(0, greatest element).
static inline alb_row_quantization alb_quantization_of(float lo, float hi) {
    float range = hi - lo;
    if (range < ALB_SMALLEST_RANGE) return (alb_row_quantization){0.0f, 0.0f, 0};
    float inverse = 255.0f / range;
    int32_t zero_point = alb_rne(-lo * inverse);
    // Negative only when a value is infinite.
    return (alb_row_quantization){range / 255.0f, inverse, zero_point < 0 ? 0 : zero_point};
}

/// One value: clamp(rne(x * inverse) + zero_point, 0, 255).
static inline uint8_t alb_quantized(float x, alb_row_quantization row) {
    int32_t q = alb_rne(x * row.inverse) + row.zero_point;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

#endif
