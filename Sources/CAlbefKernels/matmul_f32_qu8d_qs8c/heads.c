// Splits the head-by-head product into tiles: those of a plain product of one head, shifted to the head's rows and channels.
#include "matmul_f32_qu8d_qs8c.h"

typedef struct {
    const alb_matmul_int8_args *args;
    const alb_matmul_int8_variant *variant;
    alb_tiling tiling;  ///< of one head
    size_t dst_head;
} heads_context;

static void run_tiles(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const heads_context *c = context;
    const size_t tiles = alb_tile_count(c->tiling);
    for (size_t i = begin; i < end; i++) {
        const size_t head = i / tiles;
        alb_matmul_int8_args args = *c->args;
        args.lhs += head * args.m * args.k;
        args.lhs_scales += head * args.m;
        args.lhs_zero_points += head * args.m;
        // The tile's channel, which is counted over all heads, is a column of dst too.
        const size_t shift = head * (c->dst_head - c->tiling.channels);
        args.dst += shift;
        if (args.epilogue.residual) args.epilogue.residual += shift;
        alb_tile tile = alb_tile_at(c->tiling, i % tiles);
        tile.channel += head * c->tiling.channels;
        c->variant->run(&args, tile);
    }
}

void alb_matmul_heads_f32_qu8d_qs8c(
    alb_isa isa, int threads, size_t heads, size_t dst_head, const alb_matmul_int8_args *args) {
    const alb_matmul_int8_variant *variant = alb_matmul_f32_qu8d_qs8c_table;
    while (variant->isa > isa) variant++;
    heads_context context = {
        args, variant, alb_tiling_of(args->m, args->n / heads, variant->height, variant->width), dst_head};
    const size_t rows = args->m < variant->height ? args->m : variant->height;
    const size_t channels = args->n / heads < variant->width ? args->n / heads : variant->width;
    alb_parallel_for(
        threads, heads * alb_tile_count(context.tiling), alb_grain(rows * channels * args->k, 500000), run_tiles, &context);
}
