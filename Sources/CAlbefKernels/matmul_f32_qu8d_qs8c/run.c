#include "matmul_f32_qu8d_qs8c.h"

typedef struct {
    const alb_matmul_int8_args *products;
    const alb_matmul_int8_variant *variant;
    alb_tiling tilings[ALB_MATMUL_TOGETHER];
    size_t ends[ALB_MATMUL_TOGETHER];  ///< Behind the last tile of each product, counted over all.
} tiles_context;

// Parts are tiles, of one product after another.
static void run_tiles(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const tiles_context *c = context;
    size_t product = 0, first = 0;
    for (size_t i = begin; i < end; i++) {
        while (i >= c->ends[product]) first = c->ends[product++];
        c->variant->run(&c->products[product], alb_tile_at(c->tilings[product], i - first));
    }
}

static const alb_matmul_int8_variant *selected(alb_isa ceiling) {
    const alb_matmul_int8_variant *variant = alb_matmul_f32_qu8d_qs8c_table;
    while (variant->isa > ceiling) variant++;
    return variant;
}

alb_isa alb_matmul_f32_qu8d_qs8c_variant(alb_isa ceiling) { return selected(ceiling)->isa; }

void alb_matmul_f32_qu8d_qs8c(alb_isa isa, int threads, const alb_matmul_int8_args *args) {
    alb_matmul_together_f32_qu8d_qs8c(isa, threads, 1, args);
}

void alb_matmul_together_f32_qu8d_qs8c(alb_isa isa, int threads, size_t count, const alb_matmul_int8_args *products) {
    tiles_context context = {.products = products, .variant = selected(isa)};
    size_t tiles = 0, work = 0;
    for (size_t i = 0; i < count; i++) {
        const alb_matmul_int8_args *a = &products[i];
        context.tilings[i] = alb_tiling_of(a->m, a->n, context.variant->height, context.variant->width);
        tiles += alb_tile_count(context.tilings[i]);
        context.ends[i] = tiles;
        // With few rows the tiles are low and cheap.
        const size_t rows = a->m < context.variant->height ? a->m : context.variant->height;
        const size_t tile = rows * context.variant->width * a->k;
        if (tile > work) work = tile;
    }
    // A worker gets enough tiles to pay for its start.
    alb_parallel_for(threads, tiles, alb_grain(work, 500000), run_tiles, &context);
}
