#if defined(__x86_64__)

#include "softmax_f32.h"

#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline float maximum(const float *x, size_t n) {
    __m256 m = _mm256_set1_ps(x[0]);
    for (size_t j = 0; j < n; j += 8) {
        const __m256i mask = alb_mask_avx2(alb_lanes_avx2(j, n));
        m = _mm256_blendv_ps(m, _mm256_max_ps(_mm256_maskload_ps(x + j, mask), m), _mm256_castsi256_ps(mask));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/// R16 of exp(src - m), and the terms in dst when given.
static inline float exponentials(const float *src, size_t n, float m, float *dst) {
    const __m256 ms = _mm256_set1_ps(m);
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t j = 0; j < n; j += 8) {
        const __m256i mask = alb_mask_avx2(alb_lanes_avx2(j, n));
        __m256 e = alb_exp_avx2(_mm256_sub_ps(_mm256_maskload_ps(src + j, mask), ms));
        __m256 *lane = &acc[j / 8 % 2];
        *lane = _mm256_blendv_ps(*lane, _mm256_add_ps(*lane, e), _mm256_castsi256_ps(mask));
        if (dst) _mm256_maskstore_ps(dst + j, mask, e);
    }
    return alb_r16_fold_avx2(acc[0], acc[1]);
}

void alb_softmax_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        const __m256 sum = _mm256_set1_ps(exponentials(src, a->n, maximum(src, a->n), dst));
        for (size_t j = 0; j < a->n; j += 8) {
            const __m256i mask = alb_mask_avx2(alb_lanes_avx2(j, a->n));
            _mm256_maskstore_ps(dst + j, mask, _mm256_div_ps(_mm256_maskload_ps(dst + j, mask), sum));
        }
    }
}

void alb_log_softmax_gather_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        const float m = maximum(src, a->n);
        alb_gather_log_softmax(a, i, m, alb_log(exponentials(src, a->n, m, NULL)));
    }
}

ALB_TARGET_END

#endif
