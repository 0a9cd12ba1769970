#include "softmax_f32.h"

const alb_variant alb_softmax_f32_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_softmax_f32__avx512vnni},
    {ALB_ISA_AVX2, alb_softmax_f32__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_softmax_f32__neon},
#endif
    {ALB_ISA_SCALAR, alb_softmax_f32__scalar},
};

alb_isa alb_softmax_f32_variant(alb_isa ceiling) { return alb_select(alb_softmax_f32_table, ceiling)->isa; }

const alb_variant alb_log_softmax_gather_f32_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_log_softmax_gather_f32__avx512vnni},
    {ALB_ISA_AVX2, alb_log_softmax_gather_f32__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_log_softmax_gather_f32__neon},
#endif
    {ALB_ISA_SCALAR, alb_log_softmax_gather_f32__scalar},
};
