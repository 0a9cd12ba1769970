#if defined(__x86_64__)

#include "layer_norm_f32.h"

#include <immintrin.h>

#include "../common/reduce.h"

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

static inline __attribute__((always_inline)) void normalize(const size_t rows, const alb_layer_norm_args *a, size_t first) {
    const float *src[ROWS];
    float mean[ROWS], variance[ROWS], reciprocal[ROWS];
    EACH src[r] = a->src + (first + r) * a->src_stride;
    moments(rows, src, a->n, mean, variance);
    EACH reciprocal[r] = 1.0f / sqrtf(variance[r] + a->epsilon);
    for (size_t j = 0; j < a->n; j += 16) {
        const __mmask16 mask = alb_mask_avx512(a->n - j);
        const __m512 weight = _mm512_maskz_loadu_ps(mask, a->weight + j), bias = _mm512_maskz_loadu_ps(mask, a->bias + j);
        EACH {
            const __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, src[r] + j), _mm512_set1_ps(mean[r]));
            const __m512 normalized = _mm512_mul_ps(d, _mm512_set1_ps(reciprocal[r]));
            if (a->normalized) _mm512_mask_storeu_ps(a->normalized + (first + r) * a->n + j, mask, normalized);
            _mm512_mask_storeu_ps(a->dst + (first + r) * a->dst_stride + j, mask, _mm512_fmadd_ps(normalized, weight, bias));
        }
    }
    if (a->reciprocals) EACH a->reciprocals[first + r] = reciprocal[r];
}

void alb_layer_norm_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_layer_norm_args *a = context;
    size_t row = begin;
    for (; row + ROWS <= end; row += ROWS) normalize(ROWS, a, row);
    for (; row < end; row++) normalize(1, a, row);
}

ALB_TARGET_END

#endif
