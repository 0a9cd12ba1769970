#if defined(__x86_64__)

#include "normalize_f32.h"

#include <immintrin.h>

#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

void alb_l2_normalize_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float length = sqrtf(alb_r16_dot_avx512(src, src, a->n));
        length = length > 1e-12f ? length : 1e-12f;
        const __m512 lengths = _mm512_set1_ps(length);
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            _mm512_mask_storeu_ps(dst + j, mask, _mm512_div_ps(_mm512_maskz_loadu_ps(mask, src + j), lengths));
        }
    }
}

void alb_sum_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++)
        a->dst[i * a->dst_stride] = alb_r16_sum_avx512(a->src + i * a->src_stride, a->n);
}

ALB_TARGET_END

#endif
