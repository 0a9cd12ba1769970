#include "matmul_f32_f32_f32.h"

const alb_matmul_f32_variant alb_matmul_f32_f32_f32_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, 6, 64, alb_matmul_f32_f32_f32__avx512vnni},
    {ALB_ISA_AVX2, 6, 16, alb_matmul_f32_f32_f32__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, 6, 16, alb_matmul_f32_f32_f32__neon},
#endif
    {ALB_ISA_SCALAR, 8, 16, alb_matmul_f32_f32_f32__scalar},
};
