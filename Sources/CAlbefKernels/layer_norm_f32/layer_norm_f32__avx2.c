#if defined(__x86_64__)

#include "layer_norm_f32.h"

#include <immintrin.h>

#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

void alb_layer_norm_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_layer_norm_args *a = context;
    const float n = (float)a->n;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        const float mean = alb_r16_sum_avx2(src, a->n) / n;
        const float variance = alb_r16_deviation_avx2(src, mean, a->n) / n;
        const float r = 1.0f / sqrtf(variance + a->epsilon);
        const __m256 means = _mm256_set1_ps(mean), rs = _mm256_set1_ps(r);
        size_t j = 0;
        // Apart from the last ones: a masked store is microcoded on some CPUs, a dozen cycles.
        for (; j + 8 <= a->n; j += 8) {
            const __m256 normalized = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(src + j), means), rs);
            if (a->normalized) _mm256_storeu_ps(a->normalized + i * a->n + j, normalized);
            _mm256_storeu_ps(
                dst + j, _mm256_fmadd_ps(normalized, _mm256_loadu_ps(a->weight + j), _mm256_loadu_ps(a->bias + j)));
        }
        if (j < a->n) {
            const __m256i mask = alb_mask_avx2(a->n - j);
            const __m256 normalized = _mm256_mul_ps(_mm256_sub_ps(_mm256_maskload_ps(src + j, mask), means), rs);
            if (a->normalized) _mm256_maskstore_ps(a->normalized + i * a->n + j, mask, normalized);
            const __m256 weight = _mm256_maskload_ps(a->weight + j, mask), bias = _mm256_maskload_ps(a->bias + j, mask);
            _mm256_maskstore_ps(dst + j, mask, _mm256_fmadd_ps(normalized, weight, bias));
        }
        if (a->reciprocals) a->reciprocals[i] = r;
    }
}

ALB_TARGET_END

#endif
