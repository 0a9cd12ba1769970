#include "normalize_f32.h"

const alb_variant alb_l2_normalize_f32_table[] = {
    {ALB_ISA_SCALAR, alb_l2_normalize_f32__scalar},
};

alb_isa alb_l2_normalize_f32_variant(alb_isa ceiling) { return alb_select(alb_l2_normalize_f32_table, ceiling)->isa; }

const alb_variant alb_sum_f32_table[] = {
    {ALB_ISA_SCALAR, alb_sum_f32__scalar},
};
