#include "matmul_f32_qu8d_qs8c.h"

const alb_matmul_int8_variant alb_matmul_f32_qu8d_qs8c_table[] = {
    {ALB_ISA_SCALAR, 8, 16, alb_matmul_f32_qu8d_qs8c__scalar},
};
