#if defined(__aarch64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <arm_neon.h>

#include "../common/epilogue_neon.h"

#define LANES 4

/// Turns the sums of one row with one block of channels into outputs. `offset` was subtracted from the activations, and so is
/// subtracted from their zero point.
static inline void finish_row(
    const alb_matmul_int8_args *a, size_t row, size_t channel, const int32_t *sums, int32_t offset) {
    const int32x4_t zero_point = vdupq_n_s32(a->lhs_zero_points[row] - offset);
    const float scale = a->lhs_scales[row];
    for (size_t n = channel; n < channel + ALB_BLOCK && n < a->n; n += LANES) {
        const size_t lanes = a->n - n;
        const int32x4_t sum = vmlsq_s32(vld1q_s32(sums + n - channel), zero_point, vld1q_s32(a->rhs_sums + n));
        const float32x4_t bias = a->epilogue.bias ? alb_load_neon(a->epilogue.bias + n, lanes) : vdupq_n_f32(0.0f);
        const float32x4_t scales = vmulq_n_f32(vld1q_f32(a->rhs_scales + n), scale);
        float32x4_t y = vfmaq_f32(bias, vcvtq_f32_s32(sum), scales);
        y = alb_finish_neon(y, &a->epilogue, row, n, lanes);
        alb_store_neon(a->dst + row * a->dst_stride + n, y, lanes);
    }
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
