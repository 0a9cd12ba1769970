#include "layer_norm_f32.h"

const alb_variant alb_layer_norm_f32_table[] = {
    {ALB_ISA_SCALAR, alb_layer_norm_f32__scalar},
};

alb_isa alb_layer_norm_f32_variant(alb_isa ceiling) { return alb_select(alb_layer_norm_f32_table, ceiling)->isa; }
