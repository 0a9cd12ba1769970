#if defined(__aarch64__)

#include "matmul_f32_qu8d_qs8c.h"

void alb_matmul_f32_qu8d_qs8c__i8mm(const alb_matmul_int8_args *args, alb_tile tile) {
    alb_matmul_f32_qu8d_qs8c_tile_neon(args, tile, &alb_int8_sums__i8mm);
}

#endif
