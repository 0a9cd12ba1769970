#if defined(__x86_64__)

#include "map_f32.h"

#include <immintrin.h>

#include "../common/functions.h"
#include "../common/gelu_int8.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline __m512 apply(__m512 x, alb_function function) {
    switch (function) {
    case ALB_FUNCTION_EXP: return alb_exp_avx512(x);
    case ALB_FUNCTION_LOG: return alb_log_avx512(x);
    case ALB_FUNCTION_ERF: return alb_erf_avx512(x);
    case ALB_FUNCTION_GELU: return alb_gelu_avx512(x);
    case ALB_FUNCTION_GELU_INT8: return alb_gelu_int8_avx512(x);
    case ALB_FUNCTION_RELU: break;
    }
    return alb_relu_avx512(x);
}

void alb_map_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_map_args *a = context;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < a->n; j += 16) {
            const __mmask16 mask = alb_mask_avx512(a->n - j);
            __m512 x = _mm512_maskz_loadu_ps(mask, a->src + i * a->src_stride + j);
            _mm512_mask_storeu_ps(a->dst + i * a->dst_stride + j, mask, apply(x, a->function));
        }
}

ALB_TARGET_END

#endif
