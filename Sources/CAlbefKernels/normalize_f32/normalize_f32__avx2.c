#if defined(__x86_64__)

#include "normalize_f32.h"

#include <immintrin.h>

#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

void alb_l2_normalize_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float length = sqrtf(alb_r16_dot_avx2(src, src, a->n));
        length = length > 1e-12f ? length : 1e-12f;
        const __m256 lengths = _mm256_set1_ps(length);
        for (size_t j = 0; j < a->n; j += 8) {
            const __m256i mask = alb_mask_avx2(alb_lanes_avx2(j, a->n));
            _mm256_maskstore_ps(dst + j, mask, _mm256_div_ps(_mm256_maskload_ps(src + j, mask), lengths));
        }
    }
}

void alb_sum_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++)
        a->dst[i * a->dst_stride] = alb_r16_sum_avx2(a->src + i * a->src_stride, a->n);
}

ALB_TARGET_END

#endif
