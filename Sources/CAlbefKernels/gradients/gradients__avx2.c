// Eight columns at a time; a mask covers the tail.
#include "gradients.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __m256i mask_from(size_t i, size_t n) { return alb_mask_avx2(alb_lanes_avx2(i, n)); }

static void layer_norm_backward(
    size_t n, const float *g, const float *normalized, float reciprocal, const float *weight, float *dst) {
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        _mm256_maskstore_ps(dst + i, m, _mm256_mul_ps(_mm256_maskload_ps(g + i, m), _mm256_maskload_ps(weight + i, m)));
    }
    const __m256 a = _mm256_set1_ps(alb_r16_sum_avx2(dst, n) / (float)n);
    const __m256 b = _mm256_set1_ps(alb_r16_dot_avx2(dst, normalized, n) / (float)n);
    const __m256 r = _mm256_set1_ps(reciprocal);
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        const __m256 centred = _mm256_sub_ps(_mm256_maskload_ps(dst + i, m), a);
        const __m256 y = _mm256_fnmadd_ps(b, _mm256_maskload_ps(normalized + i, m), centred);
        _mm256_maskstore_ps(dst + i, m, _mm256_mul_ps(r, y));
    }
}

static void gelu_backward(size_t n, const float *g, const float *h, float *dst) {
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        const __m256 x = _mm256_maskload_ps(h + i, m);
        const __m256 e = alb_exp_avx2(_mm256_mul_ps(_mm256_set1_ps(-0.5f), _mm256_mul_ps(x, x)));
        const __m256 density = _mm256_mul_ps(_mm256_set1_ps(ALB_NORMAL_DENSITY), e);
        const __m256 erf = alb_erf_avx2(_mm256_mul_ps(x, _mm256_set1_ps(ALB_SQRT_HALF)));
        const __m256 cumulative = _mm256_mul_ps(_mm256_set1_ps(0.5f), _mm256_add_ps(_mm256_set1_ps(1.0f), erf));
        const __m256 slope = _mm256_fmadd_ps(x, density, cumulative);
        _mm256_maskstore_ps(dst + i, m, _mm256_mul_ps(_mm256_maskload_ps(g + i, m), slope));
    }
}

static void softmax_backward(size_t n, const float *dp, const float *p, float scale, float *dst) {
    const __m256 sum = _mm256_set1_ps(alb_r16_dot_avx2(dp, p, n)), s = _mm256_set1_ps(scale);
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        const __m256 centred = _mm256_sub_ps(_mm256_maskload_ps(dp + i, m), sum);
        _mm256_maskstore_ps(dst + i, m, _mm256_mul_ps(_mm256_mul_ps(_mm256_maskload_ps(p + i, m), centred), s));
    }
}

static void l2_normalize_backward(size_t n, const float *g, const float *x, float *dst) {
    float length = sqrtf(alb_r16_dot_avx2(x, x, n));
    length = length > ALB_SHORTEST ? length : ALB_SHORTEST;
    const __m256 lengths = _mm256_set1_ps(length);
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        _mm256_maskstore_ps(dst + i, m, _mm256_div_ps(_mm256_maskload_ps(x + i, m), lengths));
    }
    const __m256 along = _mm256_set1_ps(alb_r16_dot_avx2(g, dst, n));
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        const __m256 across = _mm256_fnmadd_ps(along, _mm256_maskload_ps(dst + i, m), _mm256_maskload_ps(g + i, m));
        _mm256_maskstore_ps(dst + i, m, _mm256_div_ps(across, lengths));
    }
}

static void log_softmax_backward(size_t n, const float *p, size_t id, float weight, float *dst) {
    const __m256 f = _mm256_set1_ps(-weight);
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        _mm256_maskstore_ps(dst + i, m, _mm256_mul_ps(_mm256_maskload_ps(p + i, m), f));
    }
    dst[id] = 0;
    dst[id] = -alb_r16_sum_avx2(dst, n);
}

static void grad_cam(size_t n, size_t heads, size_t stride, const float *p, const float *dp, float *dst) {
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        __m256 sum = _mm256_setzero_ps();
        for (size_t h = 0; h < heads; h++)
            sum = _mm256_fmadd_ps(
                _mm256_maskload_ps(p + h * stride + i, m),
                alb_relu_avx2(_mm256_maskload_ps(dp + h * stride + i, m)), sum);
        _mm256_maskstore_ps(dst + i, m, _mm256_div_ps(sum, _mm256_set1_ps((float)heads)));
    }
}

static void add(size_t n, const float *a, const float *b, float *dst) {
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        _mm256_maskstore_ps(dst + i, m, _mm256_add_ps(_mm256_maskload_ps(a + i, m), _mm256_maskload_ps(b + i, m)));
    }
}

static void mean_rows(size_t n, size_t rows, size_t stride, const float *x, float *dst) {
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        __m256 sum = _mm256_setzero_ps();
        for (size_t t = 0; t < rows; t++) sum = _mm256_add_ps(sum, _mm256_maskload_ps(x + t * stride + i, m));
        _mm256_maskstore_ps(dst + i, m, _mm256_div_ps(sum, _mm256_set1_ps((float)rows)));
    }
}

ALB_TARGET_END

const alb_gradients_variant_entry alb_gradients__avx2 = {
    ALB_ISA_AVX2, layer_norm_backward, gelu_backward, softmax_backward, l2_normalize_backward, log_softmax_backward,
    grad_cam, add, mean_rows};

#endif
