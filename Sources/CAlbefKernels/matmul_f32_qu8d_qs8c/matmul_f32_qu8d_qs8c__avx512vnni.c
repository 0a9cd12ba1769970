#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>

#include "../common/epilogue_avx512.h"
#include "../common/gelu_int8.h"
#include "../common/zero_point_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// 6 rows by 64 channels: 24 accumulators, 4 registers of weights and 1 of activations of the 32. One depth group is 24 vpdpbusd
// for 4 loads and 6 broadcasts, so the multipliers are the limit. The weights of a panel (64 k bytes) stay in the second-level
// cache while the bands of rows pass over them.
#define HEIGHT 6
#define BLOCKS 4
#define LINE 64

typedef int32_t tile_sums[HEIGHT][BLOCKS][ALB_BLOCK];

/// Weights of the next panel, which the bands of this one ask for, each its share while it computes: without that they would
/// come from memory at the pace of the panel's first band.
typedef struct {
    const int8_t *weights;
    size_t step;  ///< bytes a depth group
} ahead_of_use;

static inline ahead_of_use next_panel(const alb_matmul_int8_args *a, alb_tile tile) {
    const size_t next = tile.channel + tile.channels;
    if (next + tile.channels > a->n) return (ahead_of_use){a->rhs + tile.channel * a->k, 0};
    // In 32 bits a division is short.
    const uint32_t bands = (uint32_t)((a->m + HEIGHT - 1) / HEIGHT);
    const size_t step = (tile.channels * ALB_GROUP + bands - 1) / bands;
    return (ahead_of_use){a->rhs + next * a->k + tile.row / HEIGHT * step * (a->k / ALB_GROUP), step};
}

/// Asks for the lines of one row of the output and of the residual, which are needed after the sums.
static inline void fetch_outputs(const alb_matmul_int8_args *a, alb_tile tile, size_t row) {
    for (size_t n = 0; n < tile.channels; n += ALB_BLOCK) {
        __builtin_prefetch(a->dst + (tile.row + row) * a->dst_stride + tile.channel + n, 1);
        if (a->epilogue.residual)
            __builtin_prefetch(a->epilogue.residual + (tile.row + row) * a->epilogue.residual_stride + tile.channel + n);
    }
}

/// Sums of products of `rows` rows with `blocks` blocks of channels; both are constants where it is inlined, and the sums stay in
/// registers.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, const int blocks, const alb_matmul_int8_args *a, alb_tile tile, __m512i acc[HEIGHT][BLOCKS]) {
    const size_t k = a->k;
    const uint8_t *lhs = a->lhs + tile.row * k;
    const int8_t *rhs = a->rhs + tile.channel * k;
    ahead_of_use ahead = next_panel(a, tile);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_setzero_si512();
    size_t g = 0;
    // The output's lines a row at a time: all at once would hold up the weights.
    for (int row = 0; row < rows; row++) {
        fetch_outputs(a, tile, (size_t)row);
        const size_t end = k / ALB_GROUP * (size_t)(row + 1) / (size_t)rows * ALB_GROUP;
        for (; g < end; g += ALB_GROUP) {
            // Two lines a step at most, and no second one that the next step asks for: more at once would wait for each other.
            // Into the first-level cache, which passes them on to the second: asked for there alone they come later.
            __builtin_prefetch(ahead.weights, 0, 3);
            if (ahead.step > LINE) __builtin_prefetch(ahead.weights + LINE, 0, 3);
            ahead.weights += ahead.step;
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
    }
}

/// The same, stored.
static inline __attribute__((always_inline)) void accumulate_stored(
    const int rows, const int blocks, const alb_matmul_int8_args *a, alb_tile tile, tile_sums sums) {
    __m512i acc[HEIGHT][BLOCKS];
    accumulate(rows, blocks, a, tile, acc);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++) _mm512_storeu_si512(sums[r][b], acc[r][b]);
}

#define CASE(rows, blocks) \
    case (rows) * 8 + (blocks): accumulate_stored(rows, blocks, a, tile, sums); return;
#define CASES(rows) CASE(rows, 1) CASE(rows, 2) CASE(rows, 3) CASE(rows, 4)

static void accumulate_any(size_t blocks, const alb_matmul_int8_args *a, alb_tile tile, tile_sums sums) {
    switch (tile.rows * 8 + blocks) { CASES(1) CASES(2) CASES(3) CASES(4) CASES(5) CASES(6) }
}

/// The epilogue of a tile at the lower or right end of the output.
static void finish(
    alb_activation activation, bool residual, const alb_matmul_int8_args *a, alb_tile tile, tile_sums sums) {
    for (size_t b = 0; b * ALB_BLOCK < tile.channels; b++) {
        const size_t channel = tile.channel + b * ALB_BLOCK;
        const __mmask16 mask = alb_mask_avx512(a->n - channel);
        const __m512i rhs_sums = alb_split_sums_avx512(_mm512_loadu_si512(a->rhs_sums + channel));
        const __m512 rhs_scales = _mm512_loadu_ps(a->rhs_scales + channel);
        const __m512 bias =
            a->epilogue.bias ? _mm512_maskz_loadu_ps(mask, a->epilogue.bias + channel) : _mm512_setzero_ps();
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            const __m512i sum = _mm512_dpwssd_epi32(
                _mm512_loadu_si512(sums[r][b]), alb_split_zero_point_avx512(a->lhs_zero_points[row]), rhs_sums);
            const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(a->lhs_scales[row]), rhs_scales);
            __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, bias);
            y = alb_activate_avx512(y, alb_gelu_int8_avx512, activation);
            if (residual)
                y = _mm512_add_ps(
                    y, _mm512_maskz_loadu_ps(mask, a->epilogue.residual + row * a->epilogue.residual_stride + channel));
            _mm512_mask_storeu_ps(a->dst + row * a->dst_stride + channel, mask, y);
        }
    }
}

/// A tile of full size, with its epilogue on the sums in registers; activation and residual, of which there is one at most, are
/// constants where it is inlined.
static inline __attribute__((always_inline)) void full_tile(
    const alb_activation activation, const bool residual, const alb_matmul_int8_args *a, alb_tile tile) {
    __m512i acc[HEIGHT][BLOCKS];
    accumulate(HEIGHT, BLOCKS, a, tile, acc);
    float *dst = a->dst + tile.row * a->dst_stride + tile.channel;
    // GELU of one block needs the registers that hold the sums of the others: it waits here until there are no sums left.
    _Alignas(64) float before[BLOCKS][HEIGHT][ALB_BLOCK];
    const float *added = residual ? a->epilogue.residual + tile.row * a->epilogue.residual_stride + tile.channel : NULL;
#pragma clang loop unroll(full)
    for (int b = 0; b < BLOCKS; b++) {
        const size_t channel = tile.channel + b * ALB_BLOCK;
        const __m512i rhs_sums = alb_split_sums_avx512(_mm512_loadu_si512(a->rhs_sums + channel));
        const __m512 rhs_scales = _mm512_loadu_ps(a->rhs_scales + channel);
        const __m512 bias = a->epilogue.bias ? _mm512_loadu_ps(a->epilogue.bias + channel) : _mm512_setzero_ps();
        __m512 y[HEIGHT];
#pragma clang loop unroll(full)
        for (int r = 0; r < HEIGHT; r++) {
            const size_t row = tile.row + r;
            const __m512i sum = _mm512_dpwssd_epi32(acc[r][b], alb_split_zero_point_avx512(a->lhs_zero_points[row]), rhs_sums);
            const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(a->lhs_scales[row]), rhs_scales);
            y[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, bias);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < HEIGHT; r++) {
            if (residual)
                y[r] = _mm512_add_ps(y[r], _mm512_loadu_ps(added + r * a->epilogue.residual_stride + b * ALB_BLOCK));
            if (activation == ALB_ACTIVATION_GELU)
                _mm512_store_ps(before[b][r], y[r]);
            else
                _mm512_storeu_ps(dst + r * a->dst_stride + b * ALB_BLOCK, y[r]);
        }
    }
    if (activation != ALB_ACTIVATION_GELU) return;
#pragma clang loop unroll(disable)
    for (int b = 0; b < BLOCKS; b++) {
        __m512 y[HEIGHT];
#pragma clang loop unroll(full)
        for (int r = 0; r < HEIGHT; r++) y[r] = _mm512_load_ps(before[b][r]);
        alb_gelu_int8_many_avx512(y, HEIGHT);
#pragma clang loop unroll(full)
        for (int r = 0; r < HEIGHT; r++) _mm512_storeu_ps(dst + r * a->dst_stride + b * ALB_BLOCK, y[r]);
    }
}

void alb_matmul_f32_qu8d_qs8c__avx512vnni(const alb_matmul_int8_args *a, alb_tile tile) {
    const size_t blocks = (tile.channels + ALB_BLOCK - 1) / ALB_BLOCK;
    const alb_activation activation = a->epilogue.activation;
    const bool residual = a->epilogue.residual != NULL;
    if (tile.rows == HEIGHT && tile.channels == BLOCKS * ALB_BLOCK) {
        if (activation == ALB_ACTIVATION_NONE && !residual) return full_tile(ALB_ACTIVATION_NONE, false, a, tile);
        if (activation == ALB_ACTIVATION_NONE) return full_tile(ALB_ACTIVATION_NONE, true, a, tile);
        if (activation == ALB_ACTIVATION_GELU && !residual) return full_tile(ALB_ACTIVATION_GELU, false, a, tile);
    }
    tile_sums sums;
    accumulate_any(blocks, a, tile, sums);
    finish(activation, residual, a, tile, sums);
}

ALB_TARGET_END

#endif
