#include "map_f32.h"

#include "../common/functions.h"
#include "../common/gelu_int8.h"

static inline float apply(float x, alb_function function) {
    switch (function) {
    case ALB_FUNCTION_EXP: return alb_exp(x);
    case ALB_FUNCTION_LOG: return alb_log(x);
    case ALB_FUNCTION_ERF: return alb_erf(x);
    case ALB_FUNCTION_GELU: return alb_gelu(x);
    case ALB_FUNCTION_GELU_INT8: return alb_gelu_int8(x);
    case ALB_FUNCTION_RELU: break;
    }
    return alb_relu(x);
}

void alb_map_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_map_args *a = context;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < a->n; j++)
            a->dst[i * a->dst_stride + j] = apply(a->src[i * a->src_stride + j], a->function);
}
