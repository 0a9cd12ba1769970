#if defined(__aarch64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <arm_neon.h>

#include "../common/epilogue_neon.h"
#include "../common/gelu_int8.h"

#define QUARTERS (ALB_BLOCK / 4)

/// Turns the sums of one row with one block of channels into outputs. `offset` was subtracted from the activations, and so is
/// subtracted from their zero point.
static inline void finish_row(
    const alb_matmul_int8_args *a, size_t row, size_t channel, const int32_t *sums, int32_t offset) {
    const int32x4_t zero_point = vdupq_n_s32(a->lhs_zero_points[row] - offset);
    const float scale = a->lhs_scales[row];
    float32x4_t y[QUARTERS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < QUARTERS; i++) {
        const size_t n = channel + 4 * i;
        const int32x4_t sum = vmlsq_s32(vld1q_s32(sums + 4 * i), zero_point, vld1q_s32(a->rhs_sums + n));
        const float32x4_t scales = vmulq_n_f32(vld1q_f32(a->rhs_scales + n), scale);
        float32x4_t bias = vdupq_n_f32(0.0f);
        if (a->epilogue.bias) bias = alb_load_neon(a->epilogue.bias + n, alb_lanes_neon(n, a->n));
        y[i] = vfmaq_f32(bias, vcvtq_f32_s32(sum), scales);
    }
    alb_finish_block_neon(y, alb_gelu_int8_neon, &a->epilogue, row, channel, a->n);
    float *dst = a->dst + row * a->dst_stride + channel;
#pragma clang loop unroll(full)
    for (size_t i = 0; i < QUARTERS; i++) alb_store_neon(dst + 4 * i, y[i], alb_lanes_neon(channel + 4 * i, a->n));
}

void alb_matmul_f32_qu8d_qs8c_tile_neon(const alb_matmul_int8_args *a, alb_tile tile, const alb_int8_sums *product) {
    int32_t sums[ALB_MATMUL_NEON_HEIGHT][ALB_BLOCK];
    for (size_t channel = tile.channel; channel < tile.channel + tile.channels; channel += ALB_BLOCK) {
        product->run(
            tile.rows, a->k / ALB_GROUP, a->lhs + tile.row * a->k, a->k, a->rhs + channel * a->k, sums);
        for (size_t r = 0; r < tile.rows; r++) finish_row(a, tile.row + r, channel, sums[r], product->offset);
    }
}

void alb_matmul_f32_qu8d_qs8c__neon(const alb_matmul_int8_args *args, alb_tile tile) {
    alb_matmul_f32_qu8d_qs8c_tile_neon(args, tile, &alb_int8_sums__neon);
}

#endif
