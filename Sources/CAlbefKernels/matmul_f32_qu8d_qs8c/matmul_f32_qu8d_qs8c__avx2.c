#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>
#include <string.h>

#include "finish_avx2.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// Both factors are widened to 16 bits and multiplied by vpmaddwd, whose sums of two products are exact in 32 bits; vpmaddubsw
// would saturate (255 * 127 twice is 64 770), and splitting a factor so that it does not costs more than it saves. The even and
// the odd bytes of a group of 4 are two operands, so that a channel's sum stays in its own 32-bit lane.
//
// vpmaddwd and vpaddd, one of each for 16 products, are the limit, and every other vector operation takes a place of theirs. So
// a tile widens its operands once, piece by piece of the depth: the activations of all its rows, and one block of channels
// after the other, which the bands of rows then share. All of it stays in the first-level cache.
#define HEIGHT 6    // rows of a band: with 16 channels 12 accumulators, 2 registers of weights, 1 of activations, 1 of products
#define HALVES 2
#define LANES 8
#define ROWS ALB_MATMUL_INT8_AVX2_ROWS
#define BLOCKS (ALB_MATMUL_INT8_AVX2_CHANNELS / ALB_BLOCK)
#define PIECE 256              // depth of a piece
#define GROUPS (PIECE / ALB_GROUP)
#define FEW 3                  // rows from which widened weights pay

typedef int32_t block_sums[ROWS][ALB_BLOCK];

static inline int32_t group_at(const uint8_t *bytes) {
    int32_t four;
    memcpy(&four, bytes, sizeof four);
    return four;
}

/// Bytes 0 and 2, and bytes 1 and 3, of 8 channels' groups of weights, as 16-bit pairs.
static inline void widen_weights(const int8_t *rhs, __m256i *even, __m256i *odd) {
    const __m256i weights = _mm256_load_si256((const __m256i *)rhs);
    *even = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
    *odd = _mm256_srai_epi16(weights, 8);
}

/// A piece of the activations of a tile's rows: [row][even, odd][group], a pair of 16-bit values each.
static void widen_rows(
    size_t rows, size_t groups, const uint8_t *lhs, size_t k, int32_t widened[ROWS][2][GROUPS]) {
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = lhs + r * k;
        size_t g = 0;
        for (; g + LANES <= groups; g += LANES) {
            const __m256i bytes = _mm256_loadu_si256((const __m256i *)(row + g * ALB_GROUP));
            _mm256_store_si256((__m256i *)(widened[r][0] + g), _mm256_and_si256(bytes, low_bytes));
            _mm256_store_si256((__m256i *)(widened[r][1] + g), _mm256_srli_epi16(bytes, 8));
        }
        for (; g < groups; g++) {
            const int32_t four = group_at(row + g * ALB_GROUP);
            widened[r][0][g] = four & 0x00ff00ff;
            widened[r][1][g] = (int32_t)((uint32_t)four >> 8 & 0x00ff00ff);
        }
    }
}

/// Adds a piece's products of `rows` rows, a constant where it is inlined, with one block of channels.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t groups, const int32_t (*lhs)[2][GROUPS], const __m256i (*rhs)[GROUPS][HALVES],
    int32_t (*sums)[ALB_BLOCK]) {
    __m256i acc[HEIGHT][HALVES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) acc[r][h] = _mm256_load_si256((const __m256i *)sums[r] + h);
    for (int parity = 0; parity < 2; parity++)
        // One step an iteration: with more in flight the compiler runs out of registers.
#pragma clang loop unroll(disable)
        for (size_t g = 0; g < groups; g++) {
            const __m256i low = rhs[parity][g][0], high = rhs[parity][g][1];
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) {
                const __m256i activations = _mm256_set1_epi32(lhs[r][parity][g]);
                acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(activations, low));
                acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(activations, high));
            }
        }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) _mm256_store_si256((__m256i *)sums[r] + h, acc[r][h]);
}

static void accumulate_any(
    size_t rows, size_t groups, const int32_t (*lhs)[2][GROUPS], const __m256i (*rhs)[GROUPS][HALVES],
    int32_t (*sums)[ALB_BLOCK]) {
    switch (rows) {
    case 1: accumulate(1, groups, lhs, rhs, sums); break;
    case 2: accumulate(2, groups, lhs, rhs, sums); break;
    case 3: accumulate(3, groups, lhs, rhs, sums); break;
    case 4: accumulate(4, groups, lhs, rhs, sums); break;
    case 5: accumulate(5, groups, lhs, rhs, sums); break;
    default: accumulate(6, groups, lhs, rhs, sums); break;
    }
}

/// All products of `rows` rows, a constant where it is inlined, with one block of channels, widened where they are used.
static inline __attribute__((always_inline)) void accumulate_few(
    const int rows, size_t k, const uint8_t *lhs, const int8_t *rhs, int32_t (*sums)[ALB_BLOCK]) {
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    __m256i acc[FEW][HALVES];
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < HALVES; h++) acc[r][h] = _mm256_setzero_si256();
    for (size_t g = 0; g < k; g += ALB_GROUP) {
        __m256i even[HALVES], odd[HALVES];
        for (int h = 0; h < HALVES; h++) widen_weights(rhs + g * ALB_BLOCK + 32 * h, &even[h], &odd[h]);
        for (int r = 0; r < rows; r++) {
            const __m256i activations = _mm256_set1_epi32(group_at(lhs + (size_t)r * k + g));
            const __m256i even_activations = _mm256_and_si256(activations, low_bytes);
            const __m256i odd_activations = _mm256_srli_epi16(activations, 8);
            for (int h = 0; h < HALVES; h++) {
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(even_activations, even[h]));
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(odd_activations, odd[h]));
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < HALVES; h++) _mm256_store_si256((__m256i *)sums[r] + h, acc[r][h]);
}

static void run_few(const alb_matmul_int8_args *a, alb_tile tile) {
    _Alignas(32) int32_t sums[FEW][ALB_BLOCK];
    const uint8_t *lhs = a->lhs + tile.row * a->k;
    for (size_t channel = tile.channel; channel < tile.channel + tile.channels; channel += ALB_BLOCK) {
        const int8_t *rhs = a->rhs + channel * a->k;
        switch (tile.rows) {
        case 1: accumulate_few(1, a->k, lhs, rhs, sums); break;
        case 2: accumulate_few(2, a->k, lhs, rhs, sums); break;
        default: accumulate_few(3, a->k, lhs, rhs, sums); break;
        }
        alb_matmul_int8_finish_avx2(a, tile.row, tile.rows, channel, sums[0], ALB_BLOCK);
    }
}

void alb_matmul_f32_qu8d_qs8c__avx2(const alb_matmul_int8_args *a, alb_tile tile) {
    if (tile.rows <= FEW) {
        run_few(a, tile);
        return;
    }
    _Alignas(64) int32_t lhs[ROWS][2][GROUPS];
    _Alignas(64) __m256i rhs[2][GROUPS][HALVES];
    _Alignas(64) block_sums sums[BLOCKS];
    const size_t blocks = (tile.channels + ALB_BLOCK - 1) / ALB_BLOCK;
    const size_t bands = (tile.rows + HEIGHT - 1) / HEIGHT;
    memset(sums, 0, blocks * sizeof(block_sums));
    for (size_t first = 0; first < a->k; first += PIECE) {
        const size_t groups = (a->k - first < PIECE ? a->k - first : PIECE) / ALB_GROUP;
        widen_rows(tile.rows, groups, a->lhs + tile.row * a->k + first, a->k, lhs);
        for (size_t b = 0; b < blocks; b++) {
            const int8_t *weights = a->rhs + (tile.channel + b * ALB_BLOCK) * a->k + first * ALB_BLOCK;
            for (size_t g = 0; g < groups; g++)
                for (size_t h = 0; h < HALVES; h++)
                    widen_weights(weights + g * ALB_BLOCK * ALB_GROUP + 32 * h, &rhs[0][g][h], &rhs[1][g][h]);
            for (size_t band = 0; band < bands; band++) {
                const size_t row = tile.rows * band / bands, end = tile.rows * (band + 1) / bands;
                accumulate_any(end - row, groups, lhs + row, rhs, sums[b] + row);
            }
        }
    }
    for (size_t b = 0; b < blocks; b++)
        alb_matmul_int8_finish_avx2(
            a, tile.row, tile.rows, tile.channel + b * ALB_BLOCK, sums[b][0], ALB_BLOCK);
}

ALB_TARGET_END

#endif
