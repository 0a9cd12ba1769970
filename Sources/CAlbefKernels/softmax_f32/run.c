#include "softmax_f32.h"

void alb_softmax_f32(alb_isa isa, int threads, const alb_rows_args *args) {
    const alb_variant *variant = alb_select(alb_softmax_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, 4096), variant->run, (void *)args);
}

void alb_log_softmax_gather_f32(alb_isa isa, int threads, const alb_rows_args *args) {
    const alb_variant *variant = alb_select(alb_log_softmax_gather_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, 4096), variant->run, (void *)args);
}
