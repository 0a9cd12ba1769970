#if defined(__x86_64__)

#include "map_f32.h"

#include <immintrin.h>

#include "../common/functions.h"
#include "../common/gelu_int8.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __m256 apply(__m256 x, alb_function function) {
    switch (function) {
    case ALB_FUNCTION_EXP: return alb_exp_avx2(x);
    case ALB_FUNCTION_LOG: return alb_log_avx2(x);
    case ALB_FUNCTION_ERF: return alb_erf_avx2(x);
    case ALB_FUNCTION_GELU: return alb_gelu_avx2(x);
    case ALB_FUNCTION_GELU_INT8: return alb_gelu_int8_avx2(x);
    case ALB_FUNCTION_RELU: break;
    }
    return alb_relu_avx2(x);
}

void alb_map_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_map_args *a = context;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < a->n; j += 8) {
            const __m256i mask = alb_mask_avx2(alb_lanes_avx2(j, a->n));
            __m256 x = _mm256_maskload_ps(a->src + i * a->src_stride + j, mask);
            _mm256_maskstore_ps(a->dst + i * a->dst_stride + j, mask, apply(x, a->function));
        }
}

ALB_TARGET_END

#endif
