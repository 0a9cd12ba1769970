#include "matmul_f32_f32_f32.h"

typedef struct {
    const alb_matmul_f32_args *args;
    const alb_matmul_f32_variant *variant;
    alb_tiling tiling;
} tiles_context;

// Parts are tiles.
static void run_tiles(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const tiles_context *c = context;
    for (size_t i = begin; i < end; i++) c->variant->run(c->args, alb_tile_at(c->tiling, i));
}

static const alb_matmul_f32_variant *selected(alb_isa ceiling) {
    const alb_matmul_f32_variant *variant = alb_matmul_f32_f32_f32_table;
    while (variant->isa > ceiling) variant++;
    return variant;
}

alb_isa alb_matmul_f32_f32_f32_variant(alb_isa ceiling) { return selected(ceiling)->isa; }

void alb_matmul_f32_f32_f32(alb_isa isa, int threads, const alb_matmul_f32_args *args) {
    const alb_matmul_f32_variant *variant = selected(isa);
    tiles_context context = {args, variant, alb_tiling_of(args->m, args->n, variant->height, variant->width)};
    // A worker gets enough tiles to pay for its start; with few rows the tiles are low and cheap, but for reading the weights.
    size_t rows = args->m < variant->height ? args->m : variant->height;
    if (rows < 4) rows = 4;
    size_t grain = alb_grain(rows * variant->width * args->k, 120000);
    alb_parallel_for(threads, alb_tile_count(context.tiling), grain, run_tiles, &context);
}
