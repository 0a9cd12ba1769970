#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>
#include <string.h>

#include "../common/dot_avxvnni.h"
#include "finish_avx2.h"

ALB_TARGET_BEGIN(ALB_AVXVNNI_FEATURES)

// 6 rows by 16 channels: 12 accumulators, 2 registers of weights and 1 of activations of the 16. The weights of a panel (16 k
// bytes) stay in the first-level cache while the bands of rows pass over them.
#define HEIGHT 6
#define HALVES 2

typedef int32_t tile_sums[HEIGHT][ALB_BLOCK];

/// Sums of products of `rows` rows, a constant where it is inlined, with one block of channels.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t k, const uint8_t *lhs, const int8_t *rhs, tile_sums sums) {
    __m256i acc[HEIGHT][HALVES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) acc[r][h] = _mm256_setzero_si256();
    for (size_t g = 0; g < k; g += ALB_GROUP) {
        const __m256i *weights = (const __m256i *)(rhs + g * ALB_BLOCK);
        const __m256i low = _mm256_load_si256(weights), high = _mm256_load_si256(weights + 1);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, lhs + (size_t)r * k + g, sizeof four);
            const __m256i activations = _mm256_set1_epi32(four);
            acc[r][0] = alb_dot_avxvnni(acc[r][0], activations, low);
            acc[r][1] = alb_dot_avxvnni(acc[r][1], activations, high);
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) _mm256_storeu_si256((__m256i *)sums[r] + h, acc[r][h]);
}

void alb_matmul_f32_qu8d_qs8c__avxvnni(const alb_matmul_int8_args *a, alb_tile tile) {
    const uint8_t *lhs = a->lhs + tile.row * a->k;
    const int8_t *rhs = a->rhs + tile.channel * a->k;
    tile_sums sums;
    switch (tile.rows) {
    case 1: accumulate(1, a->k, lhs, rhs, sums); break;
    case 2: accumulate(2, a->k, lhs, rhs, sums); break;
    case 3: accumulate(3, a->k, lhs, rhs, sums); break;
    case 4: accumulate(4, a->k, lhs, rhs, sums); break;
    case 5: accumulate(5, a->k, lhs, rhs, sums); break;
    default: accumulate(6, a->k, lhs, rhs, sums); break;
    }
    alb_matmul_int8_finish_avx2(a, tile.row, tile.rows, tile.channel, sums[0], ALB_BLOCK);
}

ALB_TARGET_END

#endif
