#include "matmul_f32_f32_f32.h"

const alb_matmul_f32_variant alb_matmul_f32_f32_f32_table[] = {
    {ALB_ISA_SCALAR, 8, 16, alb_matmul_f32_f32_f32__scalar},
};
