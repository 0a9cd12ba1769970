#include "normalize_f32.h"

void alb_l2_normalize_f32(alb_isa isa, int threads, const alb_rows_args *args) {
    const alb_variant *variant = alb_select(alb_l2_normalize_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, 16384), variant->run, (void *)args);
}

void alb_sum_f32(alb_isa isa, int threads, const alb_rows_args *args) {
    const alb_variant *variant = alb_select(alb_sum_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, 32768), variant->run, (void *)args);
}
