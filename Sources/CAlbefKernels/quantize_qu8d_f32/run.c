#include "quantize_qu8d_f32.h"

void alb_quantize_qu8d_f32(alb_isa isa, int threads, const alb_quantize_args *args) {
    const alb_variant *variant = alb_select(alb_quantize_qu8d_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->k, ALB_ROW_ELEMENTS), variant->run, (void *)args);
}
