#include "transpose_heads_int8.h"

void alb_transpose_heads_int8(
    alb_isa isa, int threads, size_t heads, size_t channels, size_t depth, const int8_t *src, int8_t *values, float *scales,
    int32_t *sums) {
    alb_transpose_heads context = {channels / heads / ALB_BLOCK, depth / ALB_BLOCK, src, values, scales, sums};
    const alb_variant *variant = alb_select(alb_transpose_heads_int8_table, isa);
    alb_parallel_for(
        threads, heads * context.depth_blocks, alb_grain(context.head_blocks * ALB_SQUARE, 65536), variant->run, &context);
}
