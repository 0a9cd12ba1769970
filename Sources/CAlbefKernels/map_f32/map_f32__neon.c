#if defined(__aarch64__)

#include "map_f32.h"

#include "../common/functions.h"
#include "../common/gelu_int8.h"
#include "../common/reduce.h"

static inline float32x4_t apply(float32x4_t x, alb_function function) {
    switch (function) {
    case ALB_FUNCTION_EXP: return alb_exp_neon(x);
    case ALB_FUNCTION_LOG: return alb_log_neon(x);
    case ALB_FUNCTION_ERF: return alb_erf_neon(x);
    case ALB_FUNCTION_GELU: return alb_gelu_neon(x);
    case ALB_FUNCTION_GELU_INT8: return alb_gelu_int8_neon(x);
    case ALB_FUNCTION_RELU: break;
    }
    return alb_relu_neon(x);
}

void alb_map_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_map_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        size_t j = 0;
        for (; j + 4 <= a->n; j += 4) vst1q_f32(dst + j, apply(vld1q_f32(src + j), a->function));
        alb_store_neon(dst + j, apply(alb_load_neon(src + j, a->n - j), a->function), a->n - j);
    }
}

#endif
