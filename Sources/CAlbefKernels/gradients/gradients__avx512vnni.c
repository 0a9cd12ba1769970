// Sixteen columns at a time; a mask covers the tail.
#include "gradients.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static void layer_norm_backward(
    size_t n, const float *g, const float *normalized, float reciprocal, const float *weight, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        _mm512_mask_storeu_ps(
            dst + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, g + i), _mm512_maskz_loadu_ps(m, weight + i)));
    }
    const __m512 a = _mm512_set1_ps(alb_r16_sum_avx512(dst, n) / (float)n);
    const __m512 b = _mm512_set1_ps(alb_r16_dot_avx512(dst, normalized, n) / (float)n);
    const __m512 r = _mm512_set1_ps(reciprocal);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        const __m512 centred = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, dst + i), a);
        const __m512 y = _mm512_fnmadd_ps(b, _mm512_maskz_loadu_ps(m, normalized + i), centred);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_mul_ps(r, y));
    }
}

static void gelu_backward(size_t n, const float *g, const float *h, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        const __m512 x = _mm512_maskz_loadu_ps(m, h + i);
        const __m512 e = alb_exp_avx512(_mm512_mul_ps(_mm512_set1_ps(-0.5f), _mm512_mul_ps(x, x)));
        const __m512 density = _mm512_mul_ps(_mm512_set1_ps(ALB_NORMAL_DENSITY), e);
        const __m512 erf = alb_erf_avx512(_mm512_mul_ps(x, _mm512_set1_ps(ALB_SQRT_HALF)));
        const __m512 cumulative = _mm512_mul_ps(_mm512_set1_ps(0.5f), _mm512_add_ps(_mm512_set1_ps(1.0f), erf));
        const __m512 slope = _mm512_fmadd_ps(x, density, cumulative);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, g + i), slope));
    }
}

static void softmax_backward(size_t n, const float *dp, const float *p, float scale, float *dst) {
    const __m512 sum = _mm512_set1_ps(alb_r16_dot_avx512(dp, p, n)), s = _mm512_set1_ps(scale);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        const __m512 centred = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, dp + i), sum);
        const __m512 y = _mm512_mul_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, p + i), centred), s);
        _mm512_mask_storeu_ps(dst + i, m, y);
    }
}

static void l2_normalize_backward(size_t n, const float *g, const float *x, float *dst) {
    float length = sqrtf(alb_r16_dot_avx512(x, x, n));
    length = length > ALB_SHORTEST ? length : ALB_SHORTEST;
    const __m512 lengths = _mm512_set1_ps(length);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_div_ps(_mm512_maskz_loadu_ps(m, x + i), lengths));
    }
    const __m512 along = _mm512_set1_ps(alb_r16_dot_avx512(g, dst, n));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        const __m512 across = _mm512_fnmadd_ps(along, _mm512_maskz_loadu_ps(m, dst + i), _mm512_maskz_loadu_ps(m, g + i));
        _mm512_mask_storeu_ps(dst + i, m, _mm512_div_ps(across, lengths));
    }
}

static void log_softmax_backward(size_t n, const float *p, size_t id, float weight, float *dst) {
    const __m512 f = _mm512_set1_ps(-weight);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, p + i), f));
    }
    dst[id] = 0;
    dst[id] = -alb_r16_sum_avx512(dst, n);
}

static void grad_cam(size_t n, size_t heads, size_t stride, const float *p, const float *dp, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        __m512 sum = _mm512_setzero_ps();
        for (size_t h = 0; h < heads; h++)
            sum = _mm512_fmadd_ps(
                _mm512_maskz_loadu_ps(m, p + h * stride + i),
                alb_relu_avx512(_mm512_maskz_loadu_ps(m, dp + h * stride + i)), sum);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_div_ps(sum, _mm512_set1_ps((float)heads)));
    }
}

static void add(size_t n, const float *a, const float *b, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        _mm512_mask_storeu_ps(dst + i, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i)));
    }
}

static void mean_rows(size_t n, size_t rows, size_t stride, const float *x, float *dst) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        __m512 sum = _mm512_setzero_ps();
        for (size_t t = 0; t < rows; t++) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(m, x + t * stride + i));
        _mm512_mask_storeu_ps(dst + i, m, _mm512_div_ps(sum, _mm512_set1_ps((float)rows)));
    }
}

ALB_TARGET_END

const alb_gradients_variant_entry alb_gradients__avx512vnni = {
    ALB_ISA_AVX512VNNI, layer_norm_backward, gelu_backward, softmax_backward, l2_normalize_backward, log_softmax_backward,
    grad_cam, add, mean_rows};

#endif
