#if defined(__x86_64__)

#include "matmul_f32_f32_f32.h"

#include <immintrin.h>

#include "../common/epilogue_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// 6 rows by 64 channels: 24 accumulators. Vectors run over channels, so that every output keeps one accumulator.
#define HEIGHT 6
#define BLOCKS 4

typedef float tile_sums[HEIGHT][BLOCKS][ALB_BLOCK];

/// Products of `rows` rows with `blocks` blocks of channels; both are constants where it is inlined.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, const int blocks, size_t k, const float *lhs, size_t lhs_stride, const float *rhs, tile_sums sums) {
    __m512 acc[HEIGHT][BLOCKS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_setzero_ps();
    for (size_t i = 0; i < k; i++) {
        __m512 weights[BLOCKS];
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) weights[b] = _mm512_load_ps(rhs + ((size_t)b * k + i) * ALB_BLOCK);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const __m512 activation = _mm512_set1_ps(lhs[(size_t)r * lhs_stride + i]);
#pragma clang loop unroll(full)
            for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_fmadd_ps(activation, weights[b], acc[r][b]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) _mm512_storeu_ps(sums[r][b], acc[r][b]);
}

#define CASE(rows, blocks) \
    case (rows) * 8 + (blocks): accumulate(rows, blocks, k, lhs, lhs_stride, rhs, sums); return;
#define CASES(rows) CASE(rows, 1) CASE(rows, 2) CASE(rows, 3) CASE(rows, 4)

static void accumulate_any(
    size_t rows, size_t blocks, size_t k, const float *lhs, size_t lhs_stride, const float *rhs, tile_sums sums) {
    switch (rows * 8 + blocks) { CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6) }
}

void alb_matmul_f32_f32_f32__avx512vnni(const alb_matmul_f32_args *a, alb_tile tile) {
    const size_t blocks = (tile.channels + ALB_BLOCK - 1) / ALB_BLOCK;
    tile_sums sums;
    accumulate_any(
        tile.rows, blocks, a->k, a->lhs + tile.row * a->lhs_stride, a->lhs_stride, a->rhs + tile.channel * a->k, sums);
    for (size_t b = 0; b < blocks; b++) {
        const size_t channel = tile.channel + b * ALB_BLOCK;
        const __mmask16 mask = alb_mask_avx512(a->n - channel);
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            __m512 y = _mm512_loadu_ps(sums[r][b]);
            if (a->epilogue.bias) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, a->epilogue.bias + channel));
            y = alb_finish_avx512(y, alb_gelu_avx512, &a->epilogue, row, channel, mask);
            _mm512_mask_storeu_ps(a->dst + row * a->dst_stride + channel, mask, y);
        }
    }
}

ALB_TARGET_END

#endif
