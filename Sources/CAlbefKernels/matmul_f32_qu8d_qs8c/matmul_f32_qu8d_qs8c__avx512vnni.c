#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>

#include "../common/epilogue_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// 6 rows by 64 channels: 24 accumulators, 4 registers of weights and 1 of activations of the 32. One depth group is 24 vpdpbusd
// for 4 loads and 6 broadcasts, so the multipliers are the limit. The weights of a panel (64 k bytes) stay in the second-level
// cache while the bands of rows pass over them.
#define HEIGHT 6
#define BLOCKS 4

// Elements of an output, about two second-level caches, from which its lines are fetched ahead.
#define LARGE_OUTPUT ((size_t)512 * 1024)

typedef int32_t tile_sums[HEIGHT][BLOCKS][ALB_BLOCK];

/// Sums of products of `rows` rows with `blocks` blocks of channels; both are constants where it is inlined.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, const int blocks, size_t k, const uint8_t *lhs, const int8_t *rhs, tile_sums sums) {
    __m512i acc[HEIGHT][BLOCKS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_setzero_si512();
    for (size_t g = 0; g < k; g += ALB_GROUP) {
        __m512i weights[BLOCKS];
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++)
            weights[b] = _mm512_load_si512(rhs + (size_t)b * k * ALB_BLOCK + g * ALB_BLOCK);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, lhs + (size_t)r * k + g, sizeof four);
            const __m512i activations = _mm512_set1_epi32(four);
#pragma clang loop unroll(full)
            for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_dpbusd_epi32(acc[r][b], activations, weights[b]);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) _mm512_storeu_si512(sums[r][b], acc[r][b]);
}

#define CASE(rows, blocks) \
    case (rows) * 8 + (blocks): accumulate(rows, blocks, k, lhs, rhs, sums); return;
#define CASES(rows) CASE(rows, 1) CASE(rows, 2) CASE(rows, 3) CASE(rows, 4)

static void accumulate_any(size_t rows, size_t blocks, size_t k, const uint8_t *lhs, const int8_t *rhs, tile_sums sums) {
    switch (rows * 8 + blocks) { CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6) }
}

void alb_matmul_f32_qu8d_qs8c__avx512vnni(const alb_matmul_int8_args *a, alb_tile tile) {
    const size_t blocks = (tile.channels + ALB_BLOCK - 1) / ALB_BLOCK;
    tile_sums sums;
    // Lines of an output that outgrows the caches are fetched while the tile is computed: storing it would stall on them.
    if (a->m * a->n > LARGE_OUTPUT)
        for (size_t r = 0; r < tile.rows; r++)
            for (size_t n = 0; n < tile.channels; n += ALB_BLOCK)
                __builtin_prefetch(a->dst + (tile.row + r) * a->dst_stride + tile.channel + n, 1);
    accumulate_any(tile.rows, blocks, a->k, a->lhs + tile.row * a->k, a->rhs + tile.channel * a->k, sums);
    for (size_t b = 0; b < blocks; b++) {
        const size_t channel = tile.channel + b * ALB_BLOCK;
        const __mmask16 mask = alb_mask_avx512(a->n - channel);
        const __m512i rhs_sums = _mm512_loadu_si512(a->rhs_sums + channel);
        const __m512 rhs_scales = _mm512_loadu_ps(a->rhs_scales + channel);
        const __m512 bias =
            a->epilogue.bias ? _mm512_maskz_loadu_ps(mask, a->epilogue.bias + channel) : _mm512_setzero_ps();
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            __m512i zero = _mm512_mullo_epi32(_mm512_set1_epi32(a->lhs_zero_points[row]), rhs_sums);
            __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums[r][b]), zero));
            __m512 y = _mm512_fmadd_ps(sum, _mm512_mul_ps(_mm512_set1_ps(a->lhs_scales[row]), rhs_scales), bias);
            y = alb_finish_avx512(y, &a->epilogue, row, channel, mask);
            _mm512_mask_storeu_ps(a->dst + row * a->dst_stride + channel, mask, y);
        }
    }
}

ALB_TARGET_END

#endif
