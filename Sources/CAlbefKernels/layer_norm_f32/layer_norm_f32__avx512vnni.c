#if defined(__x86_64__)

#include "layer_norm_f32.h"

#include <immintrin.h>

#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

void alb_layer_norm_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_layer_norm_args *a = context;
    const float n = (float)a->n;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        const float mean = alb_r16_sum_avx512(src, a->n) / n;
        const float variance = alb_r16_deviation_avx512(src, mean, a->n) / n;
        const float r = 1.0f / sqrtf(variance + a->epsilon);
        const __m512 means = _mm512_set1_ps(mean), rs = _mm512_set1_ps(r);
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            __m512 normalized = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, src + j), means), rs);
            if (a->normalized) _mm512_mask_storeu_ps(a->normalized + i * a->n + j, mask, normalized);
            __m512 weight = _mm512_maskz_loadu_ps(mask, a->weight + j), bias = _mm512_maskz_loadu_ps(mask, a->bias + j);
            _mm512_mask_storeu_ps(dst + j, mask, _mm512_fmadd_ps(normalized, weight, bias));
        }
        if (a->reciprocals) a->reciprocals[i] = r;
    }
}

ALB_TARGET_END

#endif
