#include "matmul_f32_qu8d_qs8c.h"

typedef struct {
    const alb_matmul_int8_args *products;
    const alb_matmul_int8_variant *variant;
    size_t count;
    alb_tiling tiling;  ///< of each product
} tiles_context;

// Parts are tiles: those of a panel in one product after another, then those of the next panel. So the same channels of all
// products, such as a head's queries, keys and values, are made by one worker, which then finds them in its cache.
static void run_tiles(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const tiles_context *c = context;
    const size_t bands = c->tiling.bands, panel_tiles = c->count * bands;
    size_t panel = begin / panel_tiles, product = begin % panel_tiles / bands, band = begin % bands;
    for (size_t i = begin; i < end; i++) {
        c->variant->run(&c->products[product], alb_tile_of(c->tiling, panel, band));
        if (++band < bands) continue;
        band = 0;
        if (++product < c->count) continue;
        product = 0;
        panel++;
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
    const alb_matmul_int8_variant *variant = selected(isa);
    tiles_context context = {
        products, variant, count, alb_tiling_of(products->m, products->n, variant->height, variant->width)};
    // A worker gets enough tiles to pay for its start; with few rows the tiles are low and cheap.
    size_t rows = products->m < variant->height ? products->m : variant->height;
    size_t grain = alb_grain(rows * variant->width * products->k, 500000);
    alb_parallel_for(threads, count * alb_tile_count(context.tiling), grain, run_tiles, &context);
}
