#include "map_f32.h"

void alb_map_f32(alb_isa isa, int threads, const alb_map_args *args) {
    const alb_variant *variant = alb_select(alb_map_f32_table, isa);
    alb_parallel_for(threads, args->m, alb_grain(args->n, 8192), variant->run, (void *)args);
}
