#include "matmul_f32_qu8d_qs8c.h"

const alb_matmul_int8_variant alb_matmul_f32_qu8d_qs8c_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, 6, 64, alb_matmul_f32_qu8d_qs8c__avx512vnni},
    {ALB_ISA_AVX2, 4, 16, alb_matmul_f32_qu8d_qs8c__avx2},
#elif defined(__aarch64__)
    // Tiles of several bands of rows and blocks of channels: the activations of one stay in the second-level cache at least
    // while they meet its blocks. i8mm zips a block's weights once a tile, so its tiles are higher.
    {ALB_ISA_I8MM, ALB_MATMUL_NEON_HEIGHT, 32, alb_matmul_f32_qu8d_qs8c__i8mm},
    {ALB_ISA_DOTPROD, 24, 64, alb_matmul_f32_qu8d_qs8c__dotprod},
    {ALB_ISA_NEON, 24, 64, alb_matmul_f32_qu8d_qs8c__neon},
#endif
    {ALB_ISA_SCALAR, 8, 16, alb_matmul_f32_qu8d_qs8c__scalar},
};
