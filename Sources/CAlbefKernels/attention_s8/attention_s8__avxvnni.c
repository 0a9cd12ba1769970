// Int8 attention with vpdpbusd of 256 bits.
#if defined(__x86_64__)

#define VARIANT(name) name##__avxvnni
#define FEATURES ALB_AVXVNNI_FEATURES

#include "attention_s8_256.h"

#include "../common/dot_avxvnni.h"

ALB_TARGET_BEGIN(FEATURES)

enum { ROWS = 6 };  // of a tile

/// Exact sums of `rows` rows of bytes against one panel of 16 lanes, `groups` groups of 4 deep.
static inline __attribute__((always_inline)) void dot_tile(
    const size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_row, const int8_t *rhs, __m256i sum[ROWS][2]) {
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++) {
        const __m256i *r = (const __m256i *)(rhs + g * LANE_BYTES);
        for (size_t i = 0; i < rows; i++) {
            int32_t group;
            memcpy(&group, lhs + i * lhs_row + g * ALB_ATTENTION_S8_GROUP, sizeof group);
            for (int v = 0; v < 2; v++)
                sum[i][v] = alb_dot_avxvnni(sum[i][v], _mm256_set1_epi32(group), _mm256_load_si256(r + v));
        }
    }
}

/// Scores of `rows` queries from `row` on, to the first rows of the scratch, and their maxima.
static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, size_t row, const alb_attention_s8_scratch *scratch,
    float maximum[ROWS]) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    const __m256 least = _mm256_set1_ps(-INFINITY);
    __m256 top[ROWS];
    for (size_t i = 0; i < rows; i++) top[i] = least;
    for (size_t key = 0; key < padded; key += ALB_ATTENTION_S8_LANES) {
        __m256i sum[ROWS][2];
        dot_tile(
            rows, depth / ALB_ATTENTION_S8_GROUP, scratch->q + row * depth, depth,
            alb_s8_head_keys(kv, head) + key * depth, sum);
        for (int v = 0; v < 2; v++) {
            const size_t at = head * padded + key + 8 * (size_t)v;
            const __m256 key_scales = _mm256_load_ps(kv->key_scales + at);
            const __m256i key_sums = _mm256_load_si256((const __m256i *)(kv->key_sums + at));
            for (size_t i = 0; i < rows; i++) {
                const __m256i zeros = _mm256_mullo_epi32(_mm256_set1_epi32(scratch->q_zeros[row + i]), key_sums);
                __m256 u = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i][v], zeros)), key_scales);
                _mm256_store_ps(scratch->scores + i * padded + key + 8 * v, u);
                // A score behind the last key counts for no maximum.
                if (key + 8 * v + 8 > kv->tokens)
                    u = _mm256_blendv_ps(least, u, _mm256_castsi256_ps(mask_from(key + 8 * v, kv->tokens)));
                top[i] = _mm256_max_ps(u, top[i]);
            }
        }
    }
    for (size_t i = 0; i < rows; i++) maximum[i] = reduce_max(top[i]);
}

/// Mixed values of `rows` queries whose bytes are the first rows of the scratch.
static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP);
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    for (size_t channel = 0; channel < lanes; channel += ALB_ATTENTION_S8_LANES) {
        __m256i sum[ROWS][2];
        dot_tile(
            rows, depth / ALB_ATTENTION_S8_GROUP, scratch->p, padded,
            alb_s8_head_values(kv, head) + channel * depth, sum);
        for (int v = 0; v < 2; v++) {
            const size_t at = channel + 8 * (size_t)v;
            const __m256 scales = _mm256_load_ps(kv->value_scales + head * lanes + at);
            for (size_t i = 0; i < rows; i++) {
                const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i][v]), scales);
                _mm256_maskstore_ps(
                    dst + i * dst_row + at, mask_from(at, kv->width),
                    _mm256_mul_ps(y, _mm256_set1_ps(scratch->inverses[i])));
            }
        }
    }
}

/// `rows` queries from `row` on, which are quantised, from scores to mixed values: scores and bytes lie in the first rows of
/// the scratch, few enough to stay in the first-level cache.
static inline __attribute__((always_inline)) void attend_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float scale, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    float maximum[ROWS];
    score_rows(rows, kv, head, row, scratch, maximum);
    for (size_t i = 0; i < rows; i++)
        softmax_row(
            scratch->scores + i * padded, kv->tokens, padded, maximum[i],
            alb_attention_s8_exponent_of(scratch->q_scales[row + i], scale), scratch->p + i * padded, scratch->inverses + i);
    value_rows(rows, kv, head, dst + row * dst_row, dst_row, scratch);
}

void VARIANT(alb_attention_s8_block)(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    for (size_t t = 0; t < queries; t++)
        quantize_query(q + t * q_row, kv->width, scratch->q + t * depth, scratch->q_scales + t, scratch->q_zeros + t);
    size_t t = 0;
    for (; t + ROWS <= queries; t += ROWS) attend_rows(ROWS, kv, head, scale, t, dst, dst_row, scratch);
    for (; t < queries; t++) attend_rows(1, kv, head, scale, t, dst, dst_row, scratch);
}

ALB_TARGET_END

#endif
