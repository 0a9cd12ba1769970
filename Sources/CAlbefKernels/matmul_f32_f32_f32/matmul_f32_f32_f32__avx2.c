#if defined(__x86_64__)

#include "matmul_f32_f32_f32.h"

#include <immintrin.h>

#include "../common/epilogue_avx2.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// 6 rows by 16 channels: 12 accumulators, 2 registers of weights and 1 of activations of the 16.
#define HEIGHT 6
#define HALVES 2
#define LANES 8

typedef float tile_sums[HEIGHT][ALB_BLOCK];

/// Products of `rows` rows, a constant where it is inlined, with one block of channels.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t k, const float *lhs, size_t lhs_stride, const float *rhs, tile_sums sums) {
    __m256 acc[HEIGHT][HALVES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) acc[r][h] = _mm256_setzero_ps();
    for (size_t i = 0; i < k; i++) {
        const __m256 low = _mm256_load_ps(rhs + i * ALB_BLOCK), high = _mm256_load_ps(rhs + i * ALB_BLOCK + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const __m256 activation = _mm256_set1_ps(lhs[(size_t)r * lhs_stride + i]);
            acc[r][0] = _mm256_fmadd_ps(activation, low, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(activation, high, acc[r][1]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) _mm256_storeu_ps(sums[r] + h * LANES, acc[r][h]);
}

void alb_matmul_f32_f32_f32__avx2(const alb_matmul_f32_args *a, alb_tile tile) {
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
    for (size_t h = 0; h < HALVES; h++) {
        const size_t channel = tile.channel + h * LANES;
        if (channel >= a->n) break;
        const __m256i mask = alb_mask_avx2(alb_lanes_avx2(channel, a->n));
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            __m256 y = _mm256_loadu_ps(sums[r] + h * LANES);
            if (a->epilogue.bias) y = _mm256_add_ps(y, _mm256_maskload_ps(a->epilogue.bias + channel, mask));
            y = alb_finish_avx2(y, alb_gelu_avx2, &a->epilogue, row, channel, mask);
            _mm256_maskstore_ps(a->dst + row * a->dst_stride + channel, mask, y);
        }
    }
}

ALB_TARGET_END

#endif
