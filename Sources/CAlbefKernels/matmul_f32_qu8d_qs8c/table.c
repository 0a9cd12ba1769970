#include "matmul_f32_qu8d_qs8c.h"

const alb_matmul_int8_variant alb_matmul_f32_qu8d_qs8c_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, 6, 64, alb_matmul_f32_qu8d_qs8c__avx512vnni},
    {ALB_ISA_AVXVNNI, 6, 16, alb_matmul_f32_qu8d_qs8c__avxvnni},
    {ALB_ISA_AVX2, ALB_MATMUL_INT8_AVX2_ROWS, ALB_MATMUL_INT8_AVX2_CHANNELS, alb_matmul_f32_qu8d_qs8c__avx2},
#endif
    {ALB_ISA_SCALAR, 8, 16, alb_matmul_f32_qu8d_qs8c__scalar},
};
