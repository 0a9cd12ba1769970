#include "softmax_f32.h"

const alb_variant alb_softmax_f32_table[] = {
    {ALB_ISA_SCALAR, alb_softmax_f32__scalar},
};

alb_isa alb_softmax_f32_variant(alb_isa ceiling) { return alb_select(alb_softmax_f32_table, ceiling)->isa; }

const alb_variant alb_log_softmax_gather_f32_table[] = {
    {ALB_ISA_SCALAR, alb_log_softmax_gather_f32__scalar},
};
