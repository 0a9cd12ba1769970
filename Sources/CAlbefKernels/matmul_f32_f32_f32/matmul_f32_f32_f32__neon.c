#if defined(__aarch64__)

#include "matmul_f32_f32_f32.h"

#include "../common/epilogue_neon.h"

// 6 rows by 16 channels: 24 accumulators, 4 registers of weights and one of an activation of the 32.
#define HEIGHT 6
#define QUARTERS 4
#define LANES 4

typedef float tile_sums[HEIGHT][ALB_BLOCK];

/// Products of `rows` rows, a constant where it is inlined, with one block of channels.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t k, const float *lhs, size_t lhs_stride, const float *rhs, tile_sums sums) {
    float32x4_t acc[HEIGHT][QUARTERS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) acc[r][q] = vdupq_n_f32(0.0f);
    for (size_t i = 0; i < k; i++) {
        float32x4_t weights[QUARTERS];
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) weights[q] = vld1q_f32(rhs + i * ALB_BLOCK + q * LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const float activation = lhs[(size_t)r * lhs_stride + i];
#pragma clang loop unroll(full)
            for (int q = 0; q < QUARTERS; q++) acc[r][q] = vfmaq_n_f32(acc[r][q], weights[q], activation);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int q = 0; q < QUARTERS; q++) vst1q_f32(sums[r] + q * LANES, acc[r][q]);
}

void alb_matmul_f32_f32_f32__neon(const alb_matmul_f32_args *a, alb_tile tile) {
    const float *lhs = a->lhs + tile.row * a->lhs_stride;
    const float *rhs = a->rhs + tile.channel * a->k;
    tile_sums sums;
    switch (tile.rows) {
    case 1: accumulate(1, a->k, lhs, a->lhs_stride, rhs, sums); break;
    case 2: accumulate(2, a->k, lhs, a->lhs_stride, rhs, sums); break;
    case 3: accumulate(3, a->k, lhs, a->lhs_stride, rhs, sums); break;
    case 4: accumulate(4, a->k, lhs, a->lhs_stride, rhs, sums); break;
    case 5: accumulate(5, a->k, lhs, a->lhs_stride, rhs, sums); break;
    default: accumulate(6, a->k, lhs, a->lhs_stride, rhs, sums); break;
    }
    for (size_t q = 0; q < QUARTERS; q++) {
        const size_t channel = tile.channel + q * LANES;
        if (channel >= a->n) break;
        const size_t lanes = alb_lanes_neon(channel, a->n);
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            float32x4_t y = vld1q_f32(sums[r] + q * LANES);
            if (a->epilogue.bias) y = vaddq_f32(y, alb_load_neon(a->epilogue.bias + channel, lanes));
            y = alb_finish_neon(y, alb_gelu_neon, &a->epilogue, row, channel, lanes);
            alb_store_neon(a->dst + row * a->dst_stride + channel, y, lanes);
        }
    }
}

#endif
