#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>

#include "../common/epilogue_avx2.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// Both factors are widened to 16 bits and multiplied by vpmaddwd, whose sums of two products are exact in 32 bits; vpmaddubsw
// would saturate (255 * 127 twice is 64 770). The even and the odd bytes of a group of 4 are two operands, so that a channel's
// sum stays in its own 32-bit lane. 4 rows by 16 channels: 8 accumulators, 2 registers of weights and 2 of activations.
#define HEIGHT 4
#define HALVES 2
#define LANES 8

typedef int32_t tile_sums[HEIGHT][ALB_BLOCK];

/// Sums of products of `rows` rows, a constant where it is inlined, with one block of channels.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t k, const uint8_t *lhs, const int8_t *rhs, tile_sums sums) {
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    __m256i acc[HEIGHT][HALVES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) acc[r][h] = _mm256_setzero_si256();
    for (size_t g = 0; g < k; g += ALB_GROUP) {
        __m256i even[HALVES], odd[HALVES];
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) {
            const __m256i weights = _mm256_load_si256((const __m256i *)(rhs + g * ALB_BLOCK) + h);
            even[h] = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
            odd[h] = _mm256_srai_epi16(weights, 8);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, lhs + (size_t)r * k + g, sizeof four);
            const __m256i activations = _mm256_set1_epi32(four);
            const __m256i even_activations = _mm256_and_si256(activations, low_bytes);
            const __m256i odd_activations = _mm256_srli_epi16(activations, 8);
#pragma clang loop unroll(full)
            for (int h = 0; h < HALVES; h++) {
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(even_activations, even[h]));
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(odd_activations, odd[h]));
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) _mm256_storeu_si256((__m256i *)(sums[r] + LANES * h), acc[r][h]);
}

void alb_matmul_f32_qu8d_qs8c__avx2(const alb_matmul_int8_args *a, alb_tile tile) {
    const uint8_t *lhs = a->lhs + tile.row * a->k;
    const int8_t *rhs = a->rhs + tile.channel * a->k;
    tile_sums sums;
    switch (tile.rows) {
    case 1: accumulate(1, a->k, lhs, rhs, sums); break;
    case 2: accumulate(2, a->k, lhs, rhs, sums); break;
    case 3: accumulate(3, a->k, lhs, rhs, sums); break;
    default: accumulate(4, a->k, lhs, rhs, sums); break;
    }
    for (size_t half = 0; half < HALVES; half++) {
        const size_t channel = tile.channel + half * LANES;
        if (channel >= a->n) break;
        const __m256i mask = alb_mask_avx2(alb_lanes_avx2(channel, a->n));
        const __m256i rhs_sums = _mm256_loadu_si256((const __m256i *)(a->rhs_sums + channel));
        const __m256 rhs_scales = _mm256_loadu_ps(a->rhs_scales + channel);
        const __m256 bias =
            a->epilogue.bias ? _mm256_maskload_ps(a->epilogue.bias + channel, mask) : _mm256_setzero_ps();
        for (size_t r = 0; r < tile.rows; r++) {
            const size_t row = tile.row + r;
            __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(a->lhs_zero_points[row]), rhs_sums);
            __m256i sum = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(sums[r] + LANES * half)), zero);
            __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a->lhs_scales[row]), rhs_scales);
            __m256 y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, bias);
            y = alb_finish_avx2(y, &a->epilogue, row, channel, mask);
            _mm256_maskstore_ps(a->dst + row * a->dst_stride + channel, mask, y);
        }
    }
}

ALB_TARGET_END

#endif
