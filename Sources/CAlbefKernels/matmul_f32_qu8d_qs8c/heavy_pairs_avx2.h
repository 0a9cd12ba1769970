/// Pairs of neighbouring weights that vpmaddubsw could saturate, and the products of what is taken out of them.
///
/// A pair is heavy when its sum is more than 128 in size: 129 * 255 has no place in 16 bits. Without the second of its weights
/// it is light. The second weights of a group's two pairs meet activations 1 and 3 of it, which lie ready as 16-bit pairs, rows
/// side by side: a weight that is taken out costs a few instructions for every 8 rows.
#ifndef ALB_HEAVY_PAIRS_AVX2_H
#define ALB_HEAVY_PAIRS_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "matmul_f32_qu8d_qs8c.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

#define ALB_HEAVY_PIECE 512  // depth that is looked at together: its activations stay in the first-level cache
#define ALB_HEAVY_MOST 2     // heavy ones of a group's 32 pairs up to which it pays to take weights out
#define ALB_HEAVY_VECTORS (ALB_MATMUL_INT8_AVX2_ROWS / 8)

/// Activations 1 and 3 of each group, as 16-bit pairs: [group][row], zeros up to a multiple of 8 rows.
typedef struct {
    __m256i pairs[ALB_HEAVY_PIECE / ALB_GROUP][ALB_HEAVY_VECTORS];
} alb_odd_columns;

/// The heavy pairs in a piece of one block of channels: 32 bits a group, two of each channel.
typedef struct {
    size_t count;
    uint64_t masks[ALB_HEAVY_PIECE / ALB_GROUP / 2];
} alb_heavy_pairs;

/// Takes the second weights of heavy pairs out of 8 channels' weights.
/// @param mask  Becomes a mask of these pairs.
static inline __m256i alb_light_weights(__m256i weights, __m256i *mask) {
    const __m256i sizes = _mm256_abs_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), weights));
    *mask = _mm256_cmpgt_epi16(sizes, _mm256_set1_epi16(128));
    return _mm256_andnot_si256(_mm256_slli_epi16(*mask, 8), weights);
}

/// Copies a piece of one block of channels to `light`, without the second weights of heavy pairs, and lists these.
/// @return  Whether they are few enough to pay; else it gave up on the way.
static inline int alb_find_heavy(size_t groups, const int8_t *rhs, int8_t *light, alb_heavy_pairs *heavy) {
    const size_t most = ALB_HEAVY_MOST * groups;
    heavy->count = 0;
    for (size_t g = 0; g < groups && heavy->count <= most; g++) {
        const __m256i *weights = (const __m256i *)(rhs + g * ALB_BLOCK * ALB_GROUP);
        __m256i *to = (__m256i *)(light + g * ALB_BLOCK * ALB_GROUP), low, high;
        _mm256_store_si256(to, alb_light_weights(_mm256_load_si256(weights), &low));
        _mm256_store_si256(to + 1, alb_light_weights(_mm256_load_si256(weights + 1), &high));
        // Packing works within 128-bit lanes: the middle quarters change places.
        const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
        const uint64_t mask = (uint32_t)_mm256_movemask_epi8(both);
        heavy->masks[g / 2] = g % 2 ? heavy->masks[g / 2] | mask << 32 : mask;
        heavy->count += (size_t)__builtin_popcountll(mask);
    }
    return heavy->count <= most;
}

/// Lane j of x[i] becomes lane i of x[j].
static inline void alb_transpose_8x8(__m256i x[8]) {
    __m256i pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            fours[i + 2 * j] = _mm256_unpacklo_epi64(pairs[i + j], pairs[i + 2 + j]);
            fours[i + 2 * j + 1] = _mm256_unpackhi_epi64(pairs[i + j], pairs[i + 2 + j]);
        }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
    }
}

static inline void alb_pick_odd_columns(
    size_t rows, size_t groups, const uint8_t (*values)[ALB_HEAVY_PIECE], alb_odd_columns *odd) {
    for (size_t v = 0; 8 * v < rows; v++)
        for (size_t g = 0; g < groups; g += 8) {
            __m256i x[8];
            for (size_t i = 0; i < 8; i++)
                x[i] = 8 * v + i < rows ? _mm256_load_si256((const __m256i *)(values[8 * v + i] + g * ALB_GROUP))
                                        : _mm256_setzero_si256();
            alb_transpose_8x8(x);
            for (size_t i = 0; i < 8; i++) odd->pairs[g + i][v] = _mm256_srli_epi16(x[i], 8);
        }
}

/// Adds the products of the weights that light ones lack to the sums of `rows` rows.
static inline void alb_add_heavy(
    size_t rows, size_t groups, const alb_odd_columns *odd, const int8_t *rhs, const alb_heavy_pairs *heavy,
    int32_t (*sums)[ALB_BLOCK]) {
    __m256i products[ALB_BLOCK][ALB_HEAVY_VECTORS];
    const size_t vectors = (rows + 7) / 8;
    for (size_t c = 0; c < ALB_BLOCK; c++) memset(products[c], 0, vectors * sizeof(__m256i));
    for (size_t g = 0; g < groups; g += 2)
        for (uint64_t mask = heavy->masks[g / 2]; mask; mask &= mask - 1) {
            const size_t pair = (size_t)__builtin_ctzll(mask), group = g + pair / 32, channel = pair % 32 / 2;
            const int32_t weight = rhs[g * ALB_BLOCK * ALB_GROUP + 2 * pair + 1];
            const __m256i weights = _mm256_set1_epi32(pair % 2 ? (int32_t)((uint32_t)weight << 16) : weight & 0xffff);
            for (size_t v = 0; v < vectors; v++)
                products[channel][v] =
                    _mm256_add_epi32(products[channel][v], _mm256_madd_epi16(odd->pairs[group][v], weights));
        }
    for (size_t v = 0; v < vectors; v++)
        for (size_t h = 0; h < 2; h++) {
            __m256i x[8];
            for (size_t i = 0; i < 8; i++) x[i] = products[8 * h + i][v];
            alb_transpose_8x8(x);
            for (size_t i = 0; i < 8 && 8 * v + i < rows; i++) {
                __m256i *sum = (__m256i *)sums[8 * v + i] + h;
                _mm256_store_si256(sum, _mm256_add_epi32(_mm256_load_si256(sum), x[i]));
            }
        }
}

ALB_TARGET_END

#endif
