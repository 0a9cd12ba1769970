#if defined(__x86_64__)

#include "matmul_f32_qu8d_qs8c.h"

#include <immintrin.h>
#include <string.h>

#include "finish_avx2.h"
#include "heavy_pairs_avx2.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// vpmaddubsw multiplies 32 bytes and adds neighbours in 16 bits; vpmaddwd by ones and vpaddd bring the sums to the 32-bit lanes
// of their channels: three instructions for 32 products, and two of them multiplications, which are the limit. It saturates:
// 255 * 127 twice is 64 770. But a pair of weights whose sum is at most 128 in size is safe, since 128 * 255 is 32 640, and of
// weights that are spread as those of trained layers few pairs are heavier. heavy_pairs_avx2.h takes one weight out of each of
// these, and adds its products.
//
// A block whose heavy pairs are many is widened to 16 bits for vpmaddwd, whose sums of two products are exact in 32 bits, with
// its even and its odd bytes apart, so that a channel's sum stays in its lane: four instructions for 32 products. Tiles of few
// rows, which do not pay for a search, take this way too.
#define HEIGHT 6     // rows of a band: with 16 channels 12 accumulators, and one register each for ones and products
#define HALVES 2
#define LANES 8
#define ROWS ALB_MATMUL_INT8_AVX2_ROWS
#define BLOCKS (ALB_MATMUL_INT8_AVX2_CHANNELS / ALB_BLOCK)
#define PIECE ALB_HEAVY_PIECE
#define GROUPS (PIECE / ALB_GROUP)
#define FEW 3        // rows up to which nothing is prepared
#define SEARCHED 16  // rows from which it pays to look for heavy pairs

// Hides where a value comes from, else the compiler makes it anew at every use, or keeps in a register what memory can give.
#define KEEP_VECTOR(value) __asm__("" : "+x"(value))
#define KEEP_ADDRESS(value) __asm__("" : "+r"(value))

typedef int32_t block_sums[ROWS][ALB_BLOCK];

/// A piece of the activations of a tile's rows, side by side, and what is made of it once a block asks for it.
typedef struct {
    _Alignas(64) uint8_t values[ROWS][PIECE];
    _Alignas(64) int32_t widened[ROWS][2 * GROUPS];  ///< all groups' even bytes as 16-bit pairs, then all odd ones
    alb_odd_columns odd;
    int has_widened, has_odd;
} activations;

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

static void widen_rows(size_t rows, size_t groups, activations *lhs) {
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    for (size_t r = 0; r < rows; r++) {
        const __m256i *bytes = (const __m256i *)lhs->values[r];
        int32_t *even = lhs->widened[r], *odd = even + groups;
        // What a last vector writes too much of the even bytes is overwritten by the odd ones.
        for (size_t g = 0; g < groups; g += LANES)
            _mm256_storeu_si256((__m256i *)(even + g), _mm256_and_si256(_mm256_load_si256(bytes + g / LANES), low_bytes));
        for (size_t g = 0; g < groups; g += LANES)
            _mm256_storeu_si256((__m256i *)(odd + g), _mm256_srli_epi16(_mm256_load_si256(bytes + g / LANES), 8));
    }
}

/// Adds the products of `rows` rows with one block of channels to sums, which the `first` ones begin, in `steps` steps of 4
/// bytes or, `widened`, of a 16-bit pair. `rows` and `widened` are constants where it is inlined.
/// @param lhs  `stride` bytes from row to row.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, const int widened, int first, size_t steps, const uint8_t *lhs, size_t stride, const __m256i (*rhs)[HALVES],
    int32_t (*sums)[ALB_BLOCK]) {
    __m256i ones = _mm256_set1_epi16(1);
    if (!widened) KEEP_VECTOR(ones);
    __m256i acc[HEIGHT][HALVES];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++)
            acc[r][h] = first ? _mm256_setzero_si256() : _mm256_load_si256((const __m256i *)sums[r] + h);
    // One step an iteration: with more in flight the compiler runs out of registers.
#pragma clang loop unroll(disable)
    for (size_t step = 0; step < steps; step++) {
        const __m256i *weights = rhs[step];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const __m256i values = _mm256_set1_epi32(group_at(lhs + (size_t)r * stride + 4 * step));
            if (!widened) KEEP_ADDRESS(weights);
#pragma clang loop unroll(full)
            for (int h = 0; h < HALVES; h++) {
                const __m256i products = widened ? _mm256_madd_epi16(values, weights[h])
                                                 : _mm256_madd_epi16(_mm256_maddubs_epi16(values, weights[h]), ones);
                acc[r][h] = _mm256_add_epi32(acc[r][h], products);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int h = 0; h < HALVES; h++) _mm256_store_si256((__m256i *)sums[r] + h, acc[r][h]);
}

/// The same for any number of rows.
static inline __attribute__((always_inline)) void accumulate_bands(
    size_t rows, const int widened, int first, size_t steps, const uint8_t *lhs, size_t stride, const __m256i (*rhs)[HALVES],
    int32_t (*sums)[ALB_BLOCK]) {
    const size_t bands = (rows + HEIGHT - 1) / HEIGHT;
    for (size_t band = 0; band < bands; band++) {
        const size_t row = rows * band / bands;
        const uint8_t *at = lhs + row * stride;
        switch (rows * (band + 1) / bands - row) {
        case 1: accumulate(1, widened, first, steps, at, stride, rhs, sums + row); break;
        case 2: accumulate(2, widened, first, steps, at, stride, rhs, sums + row); break;
        case 3: accumulate(3, widened, first, steps, at, stride, rhs, sums + row); break;
        case 4: accumulate(4, widened, first, steps, at, stride, rhs, sums + row); break;
        case 5: accumulate(5, widened, first, steps, at, stride, rhs, sums + row); break;
        default: accumulate(6, widened, first, steps, at, stride, rhs, sums + row); break;
        }
    }
}

/// Adds a piece's products of a tile's rows with one block of channels to sums, which the `first` piece begins.
static void multiply(
    size_t rows, int first, size_t groups, activations *lhs, const int8_t *rhs, int32_t (*sums)[ALB_BLOCK]) {
    _Alignas(64) __m256i weights[2 * GROUPS][HALVES];
    alb_heavy_pairs heavy;
    if (rows >= SEARCHED && alb_find_heavy(groups, rhs, (int8_t *)weights, &heavy)) {
        accumulate_bands(rows, 0, first, groups, lhs->values[0], sizeof lhs->values[0], weights, sums);
        if (heavy.count == 0) return;
        if (!lhs->has_odd) alb_pick_odd_columns(rows, groups, lhs->values, &lhs->odd);
        lhs->has_odd = 1;
        alb_add_heavy(rows, groups, &lhs->odd, rhs, &heavy, sums);
        return;
    }
    if (!lhs->has_widened) widen_rows(rows, groups, lhs);
    lhs->has_widened = 1;
    for (size_t g = 0; g < groups; g++)
        for (size_t h = 0; h < HALVES; h++)
            widen_weights(
                rhs + g * ALB_BLOCK * ALB_GROUP + h * sizeof(__m256i), &weights[g][h], &weights[groups + g][h]);
    accumulate_bands(
        rows, 1, first, 2 * groups, (const uint8_t *)lhs->widened[0], sizeof lhs->widened[0], weights, sums);
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
    activations lhs;
    _Alignas(64) block_sums sums[BLOCKS];
    const size_t blocks = (tile.channels + ALB_BLOCK - 1) / ALB_BLOCK;
    const size_t all = a->k / ALB_GROUP, pieces = (a->k + PIECE - 1) / PIECE;
    for (size_t piece = 0; piece < pieces; piece++) {
        const size_t first = all * piece / pieces, groups = all * (piece + 1) / pieces - first;
        for (size_t r = 0; r < tile.rows; r++)
            memcpy(lhs.values[r], a->lhs + (tile.row + r) * a->k + first * ALB_GROUP, groups * ALB_GROUP);
        lhs.has_widened = lhs.has_odd = 0;
        for (size_t b = 0; b < blocks; b++)
            multiply(
                tile.rows, piece == 0, groups, &lhs,
                a->rhs + (tile.channel + b * ALB_BLOCK) * a->k + first * ALB_GROUP * ALB_BLOCK, sums[b]);
    }
    for (size_t b = 0; b < blocks; b++)
        alb_matmul_int8_finish_avx2(
            a, tile.row, tile.rows, tile.channel + b * ALB_BLOCK, sums[b][0], ALB_BLOCK);
}

ALB_TARGET_END

#endif
