#include "layer_norm_f32.h"

void alb_layer_norm_f32(alb_isa isa, int threads, const alb_layer_norm_args *args) {
    const alb_variant *variant = alb_select(alb_layer_norm_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, ALB_ROW_ELEMENTS), variant->run, (void *)args);
}
