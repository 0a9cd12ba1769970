#include "layer_norm_f32.h"

const alb_variant alb_layer_norm_f32_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_layer_norm_f32__avx512vnni},
    {ALB_ISA_AVX2, alb_layer_norm_f32__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_layer_norm_f32__neon},
#endif
    {ALB_ISA_SCALAR, alb_layer_norm_f32__scalar},
};

alb_isa alb_layer_norm_f32_variant(alb_isa ceiling) { return alb_select(alb_layer_norm_f32_table, ceiling)->isa; }
