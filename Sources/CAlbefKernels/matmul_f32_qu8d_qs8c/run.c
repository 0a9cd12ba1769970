#include "matmul_f32_qu8d_qs8c.h"

typedef struct {
    size_t count;
    const alb_matmul_int8_args *args;
    const alb_matmul_int8_variant *variant;
} tiles_context;

static const alb_matmul_int8_variant *selected(alb_isa ceiling) {
    const alb_matmul_int8_variant *variant = alb_matmul_f32_qu8d_qs8c_table;
    while (variant->isa > ceiling) variant++;
    return variant;
}

alb_isa alb_matmul_f32_qu8d_qs8c_variant(alb_isa ceiling) { return selected(ceiling)->isa; }

static alb_tiling tiling_of(const alb_matmul_int8_args *args, const alb_matmul_int8_variant *variant) {
    return alb_tiling_of(args->m, args->n, variant->height, variant->width);
}

// Parts are the tiles of the first product, then those of the second, and so on.
static void run_tiles(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const tiles_context *c = context;
    size_t first = 0;
    for (size_t product = 0; product < c->count && first < end; product++) {
        const alb_matmul_int8_args *args = &c->args[product];
        const alb_tiling tiling = tiling_of(args, c->variant);
        const size_t past = first + alb_tile_count(tiling);
        for (size_t i = begin > first ? begin : first; i < past && i < end; i++)
            c->variant->run(args, alb_tile_at(tiling, i - first));
        first = past;
    }
}

void alb_matmul_many_f32_qu8d_qs8c(alb_isa isa, int threads, size_t count, const alb_matmul_int8_args *args) {
    const alb_matmul_int8_variant *variant = selected(isa);
    size_t tiles = 0, greatest = 0;
    for (size_t product = 0; product < count; product++) {
        const alb_matmul_int8_args *a = &args[product];
        tiles += alb_tile_count(tiling_of(a, variant));
        // With few rows the tiles are low and cheap.
        const size_t rows = a->m < variant->height ? a->m : variant->height, work = rows * variant->width * a->k;
        if (work > greatest) greatest = work;
    }
    tiles_context context = {count, args, variant};
    // A worker gets enough tiles to pay for its start.
    alb_parallel_for(threads, tiles, alb_grain(greatest, 500000), run_tiles, &context);
}

void alb_matmul_f32_qu8d_qs8c(alb_isa isa, int threads, const alb_matmul_int8_args *args) {
    alb_matmul_many_f32_qu8d_qs8c(isa, threads, 1, args);
}
