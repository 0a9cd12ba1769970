#if defined(__x86_64__)

#include "softmax_f32.h"

#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline float maximum(const float *x, size_t n) {
    __m512 m = _mm512_set1_ps(x[0]);
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 mask = alb_mask_avx512(n - j);
        m = _mm512_mask_max_ps(m, mask, _mm512_maskz_loadu_ps(mask, x + j), m);
    }
    return _mm512_reduce_max_ps(m);
}

void alb_softmax_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        const __m512 m = _mm512_set1_ps(maximum(src, a->n));
        __m512 acc = _mm512_setzero_ps();
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            __m512 e = alb_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, src + j), m));
            acc = _mm512_mask_add_ps(acc, mask, acc, e);
            _mm512_mask_storeu_ps(dst + j, mask, e);
        }
        const __m512 sum = _mm512_set1_ps(alb_r16_fold_avx512(acc));
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            _mm512_mask_storeu_ps(dst + j, mask, _mm512_div_ps(_mm512_maskz_loadu_ps(mask, dst + j), sum));
        }
    }
}

void alb_log_softmax_gather_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        const float greatest = maximum(src, a->n);
        const __m512 m = _mm512_set1_ps(greatest);
        __m512 acc = _mm512_setzero_ps();
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            __m512 e = alb_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, src + j), m));
            acc = _mm512_mask_add_ps(acc, mask, acc, e);
        }
        alb_gather_log_softmax(a, i, greatest, alb_log(alb_r16_fold_avx512(acc)));
    }
}

ALB_TARGET_END

#endif
