#if defined(__x86_64__)

#include "layer_norm_f32.h"

#include <immintrin.h>

#include "../common/packed_bytes_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// Rows that go side by side: a row's sum is one chain of additions, each of which waits for the one before.
#define ROWS 4

#define EACH ALB_PRAGMA(clang loop unroll(full)) for (size_t r = 0; r < rows; r++)

/// The part of a row behind its last whole vector, zeros after it.
static inline __m512 tail_of(const float *src, size_t n) {
    return _mm512_maskz_loadu_ps(alb_mask_avx512(n % 16), src + n / 16 * 16);
}

/// Means and variances of `rows` rows, a constant where it is inlined.
static inline __attribute__((always_inline)) void moments(
    const size_t rows, const float *const src[ROWS], size_t n, float mean[ROWS], float variance[ROWS]) {
    const __mmask16 tail = alb_mask_avx512(n % 16);
    const size_t whole = n / 16 * 16;
    __m512 sum[ROWS], means[ROWS];
    EACH sum[r] = _mm512_setzero_ps();
    for (size_t j = 0; j < whole; j += 16) EACH sum[r] = _mm512_add_ps(sum[r], _mm512_loadu_ps(src[r] + j));
    EACH mean[r] = alb_r16_fold_avx512(_mm512_mask_add_ps(sum[r], tail, sum[r], tail_of(src[r], n))) / (float)n;
    EACH means[r] = _mm512_set1_ps(mean[r]);
    EACH sum[r] = _mm512_setzero_ps();
    for (size_t j = 0; j < whole; j += 16)
        EACH {
            const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(src[r] + j), means[r]);
            sum[r] = _mm512_fmadd_ps(d, d, sum[r]);
        }
    EACH {
        const __m512 d = _mm512_sub_ps(tail_of(src[r], n), means[r]);
        variance[r] = alb_r16_fold_avx512(_mm512_mask3_fmadd_ps(d, d, sum[r], tail)) / (float)n;
    }
}

/// The least and greatest elements of rows, 0 included, spread over lanes.
typedef struct {
    __m512 low[ROWS], high[ROWS];
} row_bounds;

/// Columns from `j` on: sixteen, or those of `mask`, which is a constant where there are sixteen.
static inline __attribute__((always_inline)) void normalize_columns(
    const size_t rows, const __mmask16 mask, const alb_layer_norm_args *a, size_t first, size_t j, const __m512 mean[ROWS],
    const __m512 reciprocal[ROWS], row_bounds *bounds) {
    const __m512 weight = _mm512_maskz_loadu_ps(mask, a->weight + j), bias = _mm512_maskz_loadu_ps(mask, a->bias + j);
    EACH {
        const __m512 x = _mm512_maskz_loadu_ps(mask, a->src + (first + r) * a->src_stride + j);
        const __m512 normalized = _mm512_mul_ps(_mm512_sub_ps(x, mean[r]), reciprocal[r]);
        if (a->normalized) _mm512_mask_storeu_ps(a->normalized + (first + r) * a->n + j, mask, normalized);
        const __m512 y = _mm512_fmadd_ps(normalized, weight, bias);
        _mm512_mask_storeu_ps(a->dst + (first + r) * a->dst_stride + j, mask, y);
        if (!bounds) continue;
        // The element comes first: a NaN leaves the bound as it is. Absent lanes are 0 or NaN.
        bounds->low[r] = _mm512_min_ps(y, bounds->low[r]);
        bounds->high[r] = _mm512_max_ps(y, bounds->high[r]);
    }
}

/// @param bounds  Those of the normalised rows; NULL where they are not wanted.
static inline __attribute__((always_inline)) void normalize(
    const size_t rows, const alb_layer_norm_args *a, size_t first, row_bounds *bounds) {
    const float *src[ROWS];
    float mean[ROWS], variance[ROWS], reciprocal[ROWS];
    __m512 means[ROWS], reciprocals[ROWS];
    EACH src[r] = a->src + (first + r) * a->src_stride;
    moments(rows, src, a->n, mean, variance);
    EACH reciprocal[r] = 1.0f / sqrtf(variance[r] + a->epsilon);
    EACH means[r] = _mm512_set1_ps(mean[r]);
    EACH reciprocals[r] = _mm512_set1_ps(reciprocal[r]);
    if (bounds) EACH bounds->low[r] = bounds->high[r] = _mm512_setzero_ps();
    const size_t whole = a->n / 16 * 16;
    // Whole vectors by themselves: with masks a row takes a fifth longer.
    for (size_t j = 0; j < whole; j += 16)
        normalize_columns(rows, (__mmask16)-1, a, first, j, means, reciprocals, bounds);
    if (whole < a->n)
        normalize_columns(rows, alb_mask_avx512(a->n - whole), a, first, whole, means, reciprocals, bounds);
    if (a->reciprocals) EACH a->reciprocals[first + r] = reciprocal[r];
}

static inline __attribute__((always_inline)) void normalize_and_quantize(
    const size_t rows, const alb_layer_norm_args *norm, const alb_quantize_args *quantized, size_t first) {
    row_bounds bounds;
    alb_row_quantization row[ROWS];
    normalize(rows, norm, first, &bounds);
    EACH row[r] = alb_quantization_of(_mm512_reduce_min_ps(bounds.low[r]), _mm512_reduce_max_ps(bounds.high[r]));
    EACH {
        quantized->scales[first + r] = row[r].scale;
        quantized->zero_points[first + r] = row[r].zero_point;
        alb_quantize_row_avx512(
            norm->dst + (first + r) * norm->dst_stride, norm->n, row[r],
            quantized->dst + (first + r) * quantized->dst_stride, quantized->dst_stride);
    }
}

void alb_layer_norm_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    // A copy that nobody else sees: no store to a row can change it.
    const alb_layer_norm_args own = *(const alb_layer_norm_args *)context, *const a = &own;
    size_t row = begin;
    for (; row + ROWS <= end; row += ROWS) normalize(ROWS, a, row, NULL);
    for (; row < end; row++) normalize(1, a, row, NULL);
}

void alb_layer_norm_qu8d_rows__avx512vnni(
    const alb_layer_norm_args *norm, const alb_quantize_args *quantized, size_t rows) {
    const alb_layer_norm_args own = *norm;
    const alb_quantize_args to = *quantized;
    size_t row = 0;
    for (; row + ROWS <= rows; row += ROWS) normalize_and_quantize(ROWS, &own, &to, row);
    for (; row < rows; row++) normalize_and_quantize(1, &own, &to, row);
}

ALB_TARGET_END

#endif
