// Int8 attention with vpdpbusd: one 64-byte load holds 4 bytes of 16 keys or channels, and 4 bytes of a query are broadcast.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/packed_bytes_avx512.h"
#include "../common/reduce.h"
#include "../common/zero_point_avx512.h"
#include "attention_s8_512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

enum {
    ROWS = 6,
    PANELS = 4,
    STEP = PANELS * ALB_ATTENTION_S8_LANES,
    WIDE = 256,           // columns of a head from which on its keys and values do not stay in the caches
    MOST_COLUMNS = 1024,  // of a wide head whose last key may be summed alone
    LANE_BYTES = ALB_ATTENTION_S8_LANES * ALB_ATTENTION_S8_GROUP
};

// --- Queries

/// `rows` rows of q, at most four, to uint8, zeros behind the width up to a multiple of 4. Side by side to the end: with
/// alb_quantize_row_avx512, a row at a time, a wide head takes 0.5 % longer.
static inline __attribute__((always_inline)) void quantize_queries(
    size_t rows, const float *q, size_t q_row, size_t width, const alb_attention_s8_scratch *scratch, size_t first) {
    const size_t padded = alb_round_up(width, ALB_ATTENTION_S8_GROUP);
    const float *x[4];
    __m512 low[4], high[4], inverse[4];
    __m512i zero[4];
    FOUR x[r] = q + (first + (r < rows ? r : 0)) * q_row;
    FOUR low[r] = high[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < width; i += 16) {
        const __mmask16 m = alb_mask_avx512(width - i);
        FOUR {
            const __m512 y = _mm512_maskz_loadu_ps(m, x[r] + i);
            low[r] = _mm512_min_ps(low[r], y);
            high[r] = _mm512_max_ps(high[r], y);
        }
    }
    FOUR {
        const alb_row_quantization row =
            alb_quantization_of(_mm512_reduce_min_ps(low[r]), _mm512_reduce_max_ps(high[r]));
        inverse[r] = _mm512_set1_ps(row.inverse);
        zero[r] = _mm512_set1_epi32(row.zero_point);
        if (r < rows) {
            scratch->q_scales[first + r] = row.scale;
            scratch->q_zeros[first + r] = alb_split_zero_point(row.zero_point);
        }
    }
    size_t i = 0;
    for (; i + 64 <= width; i += 64)
        FOUR {
            const __m512i bytes = alb_quantized_bytes_avx512(x[r] + i, inverse[r], zero[r]);
            if (r < rows) _mm512_storeu_si512(scratch->q + (first + r) * padded + i, bytes);
        }
    for (; i < width; i += 16) {
        const __mmask16 m = alb_mask_avx512(width - i), stored = alb_mask_avx512(padded - i);
        FOUR {
            const __m512i y = nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x[r] + i), inverse[r]));
            const __m512i byte = _mm512_maskz_max_epi32(m, _mm512_add_epi32(y, zero[r]), _mm512_setzero_si512());
            if (r < rows)
                _mm_mask_storeu_epi8(scratch->q + (first + r) * padded + i, stored, _mm512_cvtusepi32_epi8(byte));
        }
    }
}

// --- Products

/// Keys and values of one head, as the products read them.
typedef struct {
    size_t tokens, width, lanes, depth;  ///< lanes: tokens rounded up to a panel; depth: width rounded up to a group
    const int8_t *keys, *values;
    const float *key_scales, *value_scales;
    const int32_t *key_sums;
} head_operands;

static inline head_operands operands_of(const alb_keys_values_s8 *kv, size_t head) {
    const size_t lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    return (head_operands){
        .tokens = kv->tokens, .width = kv->width, .lanes = lanes,
        .depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP),
        .keys = alb_s8_head_keys(kv, head), .values = alb_s8_head_values(kv, head),
        .key_scales = kv->key_scales + head * lanes, .key_sums = kv->key_sums + head * lanes,
        .value_scales = kv->value_scales + head * alb_round_up(kv->width, ALB_ATTENTION_S8_LANES)};
}

static inline __m512i broadcast_group(const uint8_t *bytes) {
    int32_t group;
    memcpy(&group, bytes, sizeof group);
    return _mm512_set1_epi32(group);
}

/// Exact sums of `rows` rows of bytes against `panels` panels of 16 lanes, `groups` groups of 4 deep. Asks for a line of `ahead`
/// at each group, unless that is NULL.
static inline __attribute__((always_inline)) void dot_tile(
    const size_t rows, const size_t panels, size_t groups, const uint8_t *lhs, size_t lhs_row, const int8_t *rhs,
    const int8_t *ahead, __m512i sum[ROWS][PANELS]) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i r[PANELS];
        if (ahead) __builtin_prefetch(ahead + g * LANE_BYTES);
#pragma clang loop unroll(full)
        for (size_t v = 0; v < panels; v++) r[v] = _mm512_load_si512(rhs + (v * groups + g) * LANE_BYTES);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m512i l = broadcast_group(lhs + i * lhs_row + g * ALB_ATTENTION_S8_GROUP);
#pragma clang loop unroll(full)
            for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], l, r[v]);
        }
    }
}

/// Scores of `rows` queries with the keys of `panels` panels, and the rows' maxima so far; a key behind the last one, which only
/// the last panel has, counts for no maximum.
static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, const size_t panels, const head_operands *h, size_t key, size_t row, const int8_t *ahead,
    const alb_attention_s8_scratch *scratch, __m512 *top) {
    const size_t length = alb_s8_row_length(h->tokens);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, h->depth / ALB_ATTENTION_S8_GROUP, scratch->q + row * h->depth, h->depth, h->keys + key * h->depth,
        ahead, sum);
#pragma clang loop unroll(full)
    for (size_t v = 0; v < panels; v++) {
        const size_t at = key + 16 * v;
        const __m512 key_scales = _mm512_load_ps(h->key_scales + at);
        const __m512i key_sums = alb_split_sums_avx512(_mm512_load_si512(h->key_sums + at));
        const __mmask16 present = alb_mask_avx512(h->tokens - at);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m512i s = _mm512_dpwssd_epi32(sum[i][v], _mm512_set1_epi32(scratch->q_zeros[row + i]), key_sums);
            const __m512 u = _mm512_mul_ps(_mm512_cvtepi32_ps(s), key_scales);
            _mm512_store_ps(scratch->scores + (row + i) * length + at, u);
            top[i] = _mm512_mask_max_ps(top[i], present, top[i], u);
        }
    }
}

/// Scores of `rows` queries with all keys of panels [key, past).
static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, const head_operands *h, size_t key, size_t past, size_t row, const int8_t *ahead,
    const alb_attention_s8_scratch *scratch, __m512 *tops) {
    __m512 top[ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) top[i] = tops[row + i];
    for (; key + STEP <= past; key += STEP) score_tile(rows, PANELS, h, key, row, ahead, scratch, top);
    for (; key < past; key += 16) score_tile(rows, 1, h, key, row, ahead, scratch, top);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) tops[row + i] = top[i];
}

/// Scores of `rows` queries with the one key of the last panel, in its first lane: a sum along the columns takes a twelfth of what
/// sixteen lanes take of which one is used.
///
/// @param bytes  That key, zeros behind its width up to a multiple of 64.
static inline __attribute__((always_inline)) void score_last(
    const size_t rows, const head_operands *h, const int8_t *bytes, size_t row, const alb_attention_s8_scratch *scratch,
    __m512 *tops) {
    const size_t at = h->tokens - 1, length = alb_s8_row_length(h->tokens);
    const __m128i key_sum = _mm512_castsi512_si128(alb_split_sums_avx512(_mm512_load_si512(h->key_sums + at)));
    __m512i sum[ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) sum[i] = _mm512_setzero_si512();
    for (size_t c = 0; c < h->depth; c += 64) {
        const __mmask64 m = h->depth - c < 64 ? ((__mmask64)1 << (h->depth - c)) - 1 : ~(__mmask64)0;
        const __m512i key = _mm512_load_si512(bytes + c);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_maskz_loadu_epi8(m, scratch->q + (row + i) * h->depth + c), key);
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) {
        const __m128i s = _mm_dpwssd_epi32(
            _mm_cvtsi32_si128(_mm512_reduce_add_epi32(sum[i])), _mm_cvtsi32_si128(scratch->q_zeros[row + i]), key_sum);
        const __m512 u = _mm512_set1_ps((float)_mm_cvtsi128_si32(s) * h->key_scales[at]);
        _mm512_store_ps(scratch->scores + (row + i) * length + at, u);
        tops[row + i] = _mm512_max_ps(tops[row + i], u);
    }
}

/// The last key of a head, which is the only one of its panel, column after column.
static inline void copy_last_key(const head_operands *h, int8_t *bytes) {
    const int8_t *panel = h->keys + (h->tokens - 1) * h->depth;
    memset(bytes, 0, MOST_COLUMNS);
    for (size_t g = 0; g < h->depth / ALB_ATTENTION_S8_GROUP; g++)
        memcpy(bytes + g * ALB_ATTENTION_S8_GROUP, panel + g * LANE_BYTES, ALB_ATTENTION_S8_GROUP);
}

/// Bytes rne(255 * 2^((u - maximum) * factor)) of `count` vectors of scores, at most four; in the scalar's sequence of operations.
static inline __attribute__((always_inline)) void exponentials(
    const int count, const float *u, __m512 maximum, __m512 factor, __m512 lowest, __m512i byte[4]) {
    __m512 c[4], t[4], r[4], p[4];
    const __m512 shift = _mm512_set1_ps(ALB_ATTENTION_S8_SHIFT);
#define EACH ALB_PRAGMA(clang loop unroll(full)) for (int v = 0; v < count; v++)
    EACH c[v] = _mm512_max_ps(_mm512_sub_ps(_mm512_load_ps(u + 16 * v), maximum), lowest);
    EACH t[v] = _mm512_fmadd_ps(c[v], factor, shift);
    EACH r[v] = _mm512_fmsub_ps(c[v], factor, _mm512_sub_ps(t[v], shift));
    EACH p[v] = _mm512_fmadd_ps(_mm512_set1_ps(ALB_ATTENTION_S8_C3), r[v], _mm512_set1_ps(ALB_ATTENTION_S8_C2));
    EACH p[v] = _mm512_fmadd_ps(p[v], r[v], _mm512_set1_ps(ALB_ATTENTION_S8_C1));
    EACH p[v] = _mm512_fmadd_ps(p[v], r[v], _mm512_set1_ps(ALB_ATTENTION_S8_C0));
    EACH byte[v] = nearest(_mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(p[v]), _mm512_slli_epi32(_mm512_castps_si512(t[v]), 23))));
#undef EACH
}

/// Scores of a whole row to bytes, 0 behind the last key, and the reciprocal of their sum.
static inline __attribute__((always_inline)) void softmax_row(
    size_t row, size_t n, float scale, __m512 top, const alb_attention_s8_scratch *scratch) {
    const alb_attention_s8_exponent exponent = alb_attention_s8_exponent_of(scratch->q_scales[row], scale);
    const __m512 factor = _mm512_set1_ps(exponent.factor), lowest = _mm512_set1_ps(exponent.lowest);
    const __m512 maximum = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    const float *u = scratch->scores + row * alb_s8_row_length(n);
    uint8_t *p = scratch->p + row * alb_s8_row_length(n);
    __m512i sum = _mm512_setzero_si512(), byte[4];
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        exponentials(4, u + j, maximum, factor, lowest, byte);
        const __m512i bytes = alb_packed_bytes_avx512(byte);
        sum = _mm512_dpbusd_epi32(sum, bytes, _mm512_set1_epi8(1));
        _mm512_store_si512(p + j, bytes);
    }
    for (; j < n; j += 16) {
        exponentials(1, u + j, maximum, factor, lowest, byte);
        const __m512i present = _mm512_maskz_mov_epi32(alb_mask_avx512(n - j), byte[0]);
        sum = _mm512_add_epi32(sum, present);
        _mm_store_si128((__m128i *)(p + j), _mm512_cvtepi32_epi8(present));
    }
    scratch->inverses[row] = 1.0f / (float)_mm512_reduce_add_epi32(sum);
}

static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, const size_t panels, const head_operands *h, size_t channel, size_t row, const int8_t *ahead,
    float *dst, size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t depth = alb_round_up(h->tokens, ALB_ATTENTION_S8_GROUP), length = alb_s8_row_length(h->tokens);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->p + row * length, length, h->values + channel * depth,
        ahead, sum);
#pragma clang loop unroll(full)
    for (size_t v = 0; v < panels; v++) {
        const size_t at = channel + 16 * v;
        const __m512 scales = _mm512_load_ps(h->value_scales + at);
        const __mmask16 m = alb_mask_avx512(h->width - at);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i][v]), scales);
            _mm512_mask_storeu_ps(
                dst + (row + i) * dst_row + at, m, _mm512_mul_ps(y, _mm512_set1_ps(scratch->inverses[row + i])));
        }
    }
}

/// Mixed values of `rows` queries in the channels of panels [channel, past).
static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, const head_operands *h, size_t channel, size_t past, size_t row, const int8_t *ahead, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    for (; channel + STEP <= past; channel += STEP)
        value_tile(rows, PANELS, h, channel, row, ahead, dst, dst_row, scratch);
    for (; channel < past; channel += 16) value_tile(rows, 1, h, channel, row, ahead, dst, dst_row, scratch);
}

// A statement for rows [row, row + rows) of a block, in tiles of ROWS, 2 and 1 rows; `rows` is a constant in each.
#define EACH_TILE(queries, statement)                                                                                 \
    do {                                                                                                              \
        size_t row = 0;                                                                                               \
        for (; row + ROWS <= (queries); row += ROWS) { enum { rows = ROWS }; statement; }                             \
        for (; row + 2 <= (queries); row += 2) { enum { rows = 2 }; statement; }                                      \
        for (; row < (queries); row++) { enum { rows = 1 }; statement; }                                              \
    } while (0)

void alb_attention_s8_block__avx512vnni(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *given) {
    // A copy that nobody else sees: what is stored through its pointers cannot change them.
    const alb_attention_s8_scratch own = *given, *const scratch = &own;
    const head_operands h = operands_of(kv, head);
    const size_t lanes = alb_round_up(h.width, ALB_ATTENTION_S8_LANES);
    __m512 tops[ALB_ATTENTION_S8_QUERIES];
    for (size_t t = 0; t < queries; t += 4)
        quantize_queries(queries - t < 4 ? queries - t : 4, q, q_row, h.width, scratch, t);
    for (size_t t = 0; t < queries; t++) tops[t] = _mm512_set1_ps(-INFINITY);
    if (h.width < WIDE) {
        // All keys and values stay in the caches, and the scores of a tile of queries in the first level.
        EACH_TILE(queries, {
            score_rows(rows, &h, 0, h.lanes, row, NULL, scratch, tops);
            for (size_t t = row; t < row + rows; t++) softmax_row(t, h.tokens, scale, tops[t], scratch);
            value_rows(rows, &h, 0, lanes, row, NULL, dst, dst_row, scratch);
        });
        return;
    }
    // A picture's tokens are a square of patches and the class token: often the last is alone in its panel.
    const int alone = h.tokens % ALB_ATTENTION_S8_LANES == 1 && h.depth <= MOST_COLUMNS;
    const size_t panelled = alone ? h.tokens - 1 : h.lanes;
    // Each panel of a wide head is read once for all queries of the block.
    for (size_t key = 0; key < panelled; key += STEP) {
        const size_t past = panelled - key < STEP ? panelled : key + STEP;
        // Each of four full tiles brings a quarter of the next panel's lines; behind the last come values.
        const int8_t *next = past < panelled ? h.keys + past * h.depth : h.values;
        EACH_TILE(queries, score_rows(rows, &h, key, past, row, next + row / ROWS * h.depth * 16, scratch, tops));
    }
    if (alone) {
        _Alignas(64) int8_t bytes[MOST_COLUMNS];
        copy_last_key(&h, bytes);
        EACH_TILE(queries, score_last(rows, &h, bytes, row, scratch, tops));
    }
    for (size_t t = 0; t < queries; t++) softmax_row(t, h.tokens, scale, tops[t], scratch);
    const size_t padded = alb_round_up(h.tokens, ALB_ATTENTION_S8_GROUP);
    for (size_t channel = 0; channel < lanes; channel += STEP) {
        const size_t past = lanes - channel < STEP ? lanes : channel + STEP;
        const int8_t *next = past < lanes ? h.values + past * padded : h.keys;
        EACH_TILE(queries, value_rows(rows, &h, channel, past, row, next + row / ROWS * padded * 16, dst, dst_row, scratch));
    }
}

ALB_TARGET_END
#endif
