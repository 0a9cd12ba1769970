// Int8 attention without an int8 dot product. Bytes are widened to 16 bits for vpmaddwd, which cannot saturate here: bytes 0
// and 2 of each group of 4 in one vector, bytes 1 and 3 in another, so that both sums land in the lane of their key or channel.
// The rows of a part are widened once a piece of the depth, queries without their zero points, and a panel's piece once for all
// rows.
#if defined(__x86_64__)

#define VARIANT(name) name##__avx2
#define FEATURES ALB_AVX2_FEATURES

#include "attention_s8_256.h"

ALB_TARGET_BEGIN(FEATURES)

enum {
    ROWS = 6,             // of a band: 12 accumulators, 2 registers of a panel, 1 of a row, 1 of products
    PIECE = 64,           // groups of a piece: rows and panel together stay in the first-level cache
    STRIDE = 2 * PIECE,   // int32 from row to row of widened rows
    PANELS = 4,           // panels of values whose sums are taken together
    QUERIES = ALB_ATTENTION_S8_QUERIES
};

/// Does something with a band of `rows` rows, where it is a constant.
#define FOR_ROWS(rows, what)  \
    switch (rows) {           \
    case 1: what(1); break;   \
    case 2: what(2); break;   \
    case 3: what(3); break;   \
    case 4: what(4); break;   \
    case 5: what(5); break;   \
    default: what(6); break;  \
    }

#define EACH_ROW_AND_HALF                                                  \
    ALB_PRAGMA(clang loop unroll(full)) for (size_t i = 0; i < rows; i++)  \
        ALB_PRAGMA(clang loop unroll(full)) for (size_t v = 0; v < 2; v++)

/// `groups` groups of each row, less its zero point where there are any: all groups' even bytes, then all odd ones.
static inline __attribute__((always_inline)) void widen_rows(
    size_t rows, size_t groups, const uint8_t *bytes, size_t row_bytes, const int32_t *zeros, int32_t *widened) {
    for (size_t i = 0; i < rows; i++, bytes += row_bytes, widened += STRIDE) {
        const __m256i zero = _mm256_set1_epi16(zeros ? (int16_t)zeros[i] : 0);
        size_t g = 0;
        for (; g + 8 <= groups; g += 8) {
            const __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + g * ALB_ATTENTION_S8_GROUP));
            const __m256i even = _mm256_and_si256(x, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(x, 8);
            _mm256_storeu_si256((__m256i *)(widened + g), _mm256_sub_epi16(even, zero));
            _mm256_storeu_si256((__m256i *)(widened + groups + g), _mm256_sub_epi16(odd, zero));
        }
        for (; g < groups; g++) {
            int32_t group;
            memcpy(&group, bytes + g * ALB_ATTENTION_S8_GROUP, sizeof group);
            const __m128i x = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(group));
            const __m128i apart = _mm_shufflelo_epi16(_mm_sub_epi16(x, _mm256_castsi256_si128(zero)), 0xd8);
            widened[g] = _mm_cvtsi128_si32(apart);
            widened[groups + g] = _mm_extract_epi32(apart, 1);
        }
    }
}

/// `groups` groups of a panel in the same order.
static void widen_panel(size_t groups, const int8_t *panel, __m256i (*widened)[2]) {
    for (size_t g = 0; g < groups; g++)
        for (size_t v = 0; v < 2; v++) {
            const __m256i x = _mm256_load_si256((const __m256i *)(panel + g * LANE_BYTES) + v);
            widened[g][v] = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
            widened[groups + g][v] = _mm256_srai_epi16(x, 8);
        }
}

/// Adds exact products of `rows` widened rows and a widened panel.
static inline __attribute__((always_inline)) void dot_band(
    const size_t rows, size_t steps, const int32_t *lhs, const __m256i (*rhs)[2], __m256i sum[ROWS][2]) {
#pragma clang loop unroll(disable)
    for (size_t step = 0; step < steps; step++) {
        const __m256i low = rhs[step][0], high = rhs[step][1];
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m256i l = _mm256_set1_epi32(lhs[i * STRIDE + step]);
            sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(l, low));
            sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(l, high));
        }
    }
}

/// A piece of the depth of a product.
typedef struct {
    size_t groups;
    int first, last;  ///< whether sums begin and end here
} piece;

/// Scores of `rows` queries from `row` on with one panel of keys, and the rows' maxima so far. Until the last piece the scratch
/// holds sums instead of scores.
static inline __attribute__((always_inline)) void score_band(
    const size_t rows, piece part, const int32_t *lhs, const __m256i (*rhs)[2], const alb_keys_values_s8 *kv, size_t head,
    size_t key, size_t row, const alb_attention_s8_scratch *scratch, __m256 *top) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    float *scores = scratch->scores + row * padded + key;
    __m256i sum[ROWS][2];
    EACH_ROW_AND_HALF sum[i][v] =
        part.first ? _mm256_setzero_si256() : _mm256_load_si256((const __m256i *)(scores + i * padded) + v);
    dot_band(rows, 2 * part.groups, lhs + row * STRIDE, rhs, sum);
    if (!part.last) {
        EACH_ROW_AND_HALF _mm256_store_si256((__m256i *)(scores + i * padded) + v, sum[i][v]);
        return;
    }
    const __m256 least = _mm256_set1_ps(-INFINITY);
    const int whole = key + ALB_ATTENTION_S8_LANES <= kv->tokens;
    EACH_ROW_AND_HALF {
        const size_t at = head * padded + key + 8 * v;
        __m256 u = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i][v]), _mm256_load_ps(kv->key_scales + at));
        _mm256_store_ps(scores + i * padded + 8 * v, u);
        // A score behind the last key counts for no maximum.
        if (!whole) u = _mm256_blendv_ps(least, u, _mm256_castsi256_ps(mask_from(key + 8 * v, kv->tokens)));
        top[row + i] = _mm256_max_ps(u, top[row + i]);
    }
}

/// Scores of all queries of a part, and their maxima.
static void scores(
    size_t queries, const alb_keys_values_s8 *kv, size_t head, const alb_attention_s8_scratch *scratch, __m256 *top) {
    _Alignas(32) int32_t lhs[QUERIES * STRIDE];
    __m256i rhs[2 * PIECE][2];
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP), groups = depth / ALB_ATTENTION_S8_GROUP;
    const size_t bands = (queries + ROWS - 1) / ROWS;
    for (size_t i = 0; i < queries; i++) top[i] = _mm256_set1_ps(-INFINITY);
    for (size_t g = 0; g < groups; g += PIECE) {
        const piece part = {groups - g < PIECE ? groups - g : PIECE, g == 0, groups - g <= PIECE};
        widen_rows(queries, part.groups, scratch->q + g * ALB_ATTENTION_S8_GROUP, depth, scratch->q_zeros, lhs);
        for (size_t key = 0; key < kv->tokens; key += ALB_ATTENTION_S8_LANES) {
            widen_panel(part.groups, alb_s8_head_keys(kv, head) + key * depth + g * LANE_BYTES, rhs);
            for (size_t band = 0; band < bands; band++) {
                const size_t row = queries * band / bands;
#define SCORE(rows) score_band(rows, part, lhs, rhs, kv, head, key, row, scratch, top)
                FOR_ROWS(queries * (band + 1) / bands - row, SCORE)
            }
        }
    }
}

static inline __attribute__((always_inline)) void value_band(
    const size_t rows, piece part, const int32_t *lhs, const __m256i (*rhs)[2], __m256i (*sums)[2]) {
    __m256i sum[ROWS][2];
    EACH_ROW_AND_HALF sum[i][v] = part.first ? _mm256_setzero_si256() : sums[i][v];
    dot_band(rows, 2 * part.groups, lhs, rhs, sum);
    EACH_ROW_AND_HALF sums[i][v] = sum[i][v];
}

/// Mixed values of all queries of a part in up to PANELS panels of channels.
static void mixed_values(
    size_t queries, const alb_keys_values_s8 *kv, size_t head, size_t channel, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    _Alignas(32) int32_t lhs[QUERIES * STRIDE];
    __m256i rhs[2 * PIECE][2], sums[PANELS][QUERIES][2];
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP), groups = depth / ALB_ATTENTION_S8_GROUP;
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES), left = (lanes - channel) / ALB_ATTENTION_S8_LANES;
    const size_t panels = left < PANELS ? left : PANELS, bands = (queries + ROWS - 1) / ROWS;
    for (size_t g = 0; g < groups; g += PIECE) {
        const piece part = {groups - g < PIECE ? groups - g : PIECE, g == 0, groups - g <= PIECE};
        widen_rows(queries, part.groups, scratch->p + g * ALB_ATTENTION_S8_GROUP, padded, NULL, lhs);
        for (size_t panel = 0; panel < panels; panel++) {
            const size_t first = channel + panel * ALB_ATTENTION_S8_LANES;
            widen_panel(part.groups, alb_s8_head_values(kv, head) + first * depth + g * LANE_BYTES, rhs);
            for (size_t band = 0; band < bands; band++) {
                const size_t row = queries * band / bands;
#define VALUE(rows) value_band(rows, part, lhs + row * STRIDE, rhs, sums[panel] + row)
                FOR_ROWS(queries * (band + 1) / bands - row, VALUE)
            }
        }
    }
    for (size_t i = 0; i < queries; i++)
        for (size_t c = 0; c < 2 * panels; c++) {
            const size_t at = channel + 8 * c;
            const __m256 scales = _mm256_load_ps(kv->value_scales + head * lanes + at);
            const __m256 y = _mm256_mul_ps(
                _mm256_mul_ps(_mm256_cvtepi32_ps(sums[c / 2][i][c % 2]), scales), _mm256_set1_ps(scratch->inverses[i]));
            float *out = dst + i * dst_row + at;
            // A masked store is microcoded on some CPUs: a dozen cycles.
            if (at + 8 <= kv->width)
                _mm256_storeu_ps(out, y);
            else
                _mm256_maskstore_ps(out, mask_from(at, kv->width), y);
        }
}

void VARIANT(alb_attention_s8_block)(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    __m256 top[QUERIES];
    for (size_t t = 0; t < queries; t++)
        quantize_query(q + t * q_row, kv->width, scratch->q + t * depth, scratch->q_scales + t, scratch->q_zeros + t);
    scores(queries, kv, head, scratch, top);
    for (size_t t = 0; t < queries; t++)
        softmax_row(
            scratch->scores + t * padded, kv->tokens, padded, reduce_max(top[t]),
            alb_attention_s8_exponent_of(scratch->q_scales[t], scale), scratch->p + t * padded, scratch->inverses + t);
    for (size_t channel = 0; channel < kv->width; channel += PANELS * ALB_ATTENTION_S8_LANES)
        mixed_values(queries, kv, head, channel, dst, dst_row, scratch);
}

ALB_TARGET_END

#endif
