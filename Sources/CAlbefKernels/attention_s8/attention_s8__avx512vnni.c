// Int8 attention with vpdpbusd: one 64-byte load holds 4 bytes of 16 keys or channels, and 4 bytes of a query are broadcast.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"
#include "../common/zero_point_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

enum {
    ROWS = 6,
    PANELS = 4,
    STEP = PANELS * ALB_ATTENTION_S8_LANES,
    WIDE = 256,  // columns of a head from which on its keys and values do not stay in the caches
    LANE_BYTES = ALB_ATTENTION_S8_LANES * ALB_ATTENTION_S8_GROUP
};

/// rne(x) as int32.
static inline __m512i nearest(__m512 x) {
    return _mm512_cvt_roundps_epi32(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline __m512i clamp(__m512i q, int low, int high) {
    return _mm512_min_epi32(_mm512_max_epi32(q, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
}

// --- Quantisation

// Rows that are quantised side by side: finding a row's bound and dividing by it are chains that wait for themselves.
#define FOUR ALB_PRAGMA(clang loop unroll(full)) for (size_t r = 0; r < 4; r++)

/// Four keys from the `lane`-th of a panel on; those from `present` on do not exist and give zeros.
static inline void quantize_four_keys(
    const float *k, size_t k_row, size_t present, size_t width, int8_t *panel, size_t lane, float *scales, int32_t *sums) {
    const float *x[4];
    __m512 top[4], inverse[4];
    __m512i total[4];
    FOUR x[r] = k + (r < present ? r : 0) * k_row;
    FOUR top[r] = _mm512_setzero_ps();
    FOUR total[r] = _mm512_setzero_si512();
    for (size_t c = 0; c < width; c += 16) {
        const __mmask16 m = alb_mask_avx512(width - c);
        FOUR top[r] = _mm512_max_ps(top[r], _mm512_abs_ps(_mm512_maskz_loadu_ps(m, x[r] + c)));
    }
    FOUR {
        const float maximum = r < present ? _mm512_reduce_max_ps(top[r]) : 0.0f;
        const int zero = maximum < ALB_SMALLEST_RANGE;
        inverse[r] = _mm512_set1_ps(zero ? 0.0f : 127.0f / maximum);
        scales[r] = zero ? 0.0f : maximum / 127.0f;
    }
    const size_t groups = alb_round_up(width, ALB_ATTENTION_S8_GROUP) / ALB_ATTENTION_S8_GROUP;
    for (size_t g = 0; g < groups; g += 4) {
        const __mmask16 m = alb_mask_avx512(width - 4 * g);
        __m128i bytes[4];
        FOUR {
            // At most 127 + 2^-16, which rounds to 127: no bound is needed.
            const __m512i q = nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x[r] + 4 * g), inverse[r]));
            total[r] = _mm512_add_epi32(total[r], q);
            bytes[r] = _mm512_cvtepi32_epi8(q);
        }
        // Four keys' fours of each group become neighbours.
        const __m128i low01 = _mm_unpacklo_epi32(bytes[0], bytes[1]), high01 = _mm_unpackhi_epi32(bytes[0], bytes[1]);
        const __m128i low23 = _mm_unpacklo_epi32(bytes[2], bytes[3]), high23 = _mm_unpackhi_epi32(bytes[2], bytes[3]);
        const __m128i group[4] = {
            _mm_unpacklo_epi64(low01, low23), _mm_unpackhi_epi64(low01, low23), _mm_unpacklo_epi64(high01, high23),
            _mm_unpackhi_epi64(high01, high23)};
        for (size_t i = 0; i < 4 && g + i < groups; i++)
            _mm_store_si128((__m128i *)(panel + ((g + i) * ALB_ATTENTION_S8_LANES + lane) * ALB_ATTENTION_S8_GROUP), group[i]);
    }
    FOUR sums[r] = _mm512_reduce_add_epi32(total[r]);
}

void alb_attention_s8_quantize_keys__avx512vnni(
    const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key) {
    const size_t lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    int8_t *panel = alb_s8_head_keys(kv, head) + key * alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    for (size_t lane = 0; lane < ALB_ATTENTION_S8_LANES; lane += 4) {
        const size_t at = head * lanes + key + lane;
        const size_t present = key + lane < kv->tokens ? kv->tokens - key - lane : 0;
        quantize_four_keys(
            k + (present ? key + lane : 0) * k_row, k_row, present, kv->width, panel, lane, kv->key_scales + at,
            kv->key_sums + at);
    }
}

void alb_attention_s8_quantize_values__avx512vnni(
    const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel) {
    const size_t tokens = kv->tokens, lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    const size_t padded = alb_round_up(tokens, ALB_ATTENTION_S8_GROUP);
    const __mmask16 m = alb_mask_avx512(kv->width - channel);
    int8_t *panel = alb_s8_head_values(kv, head) + channel * padded;
    const float *x = v + channel;
    __m512 top = _mm512_setzero_ps();
    for (size_t j = 0; j < tokens; j++) top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(m, x + j * v_row)));
    const __mmask16 used = _mm512_cmp_ps_mask(top, _mm512_set1_ps(ALB_SMALLEST_RANGE), _CMP_GE_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(used, _mm512_set1_ps(127.0f), top);
    _mm512_storeu_ps(
        kv->value_scales + head * lanes + channel, _mm512_maskz_div_ps(used, top, _mm512_set1_ps(127.0f)));
    for (size_t j = 0; j < padded; j += 4) {
        __m512i packed = _mm512_setzero_si512();
        for (size_t i = 0; i < 4 && j + i < tokens; i++) {
            const __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + (j + i) * v_row), inverse);
            const __m512i byte = _mm512_and_si512(clamp(nearest(y), -127, 127), _mm512_set1_epi32(0xff));
            packed = _mm512_or_si512(packed, _mm512_slli_epi32(byte, (unsigned)(8 * i)));
        }
        _mm512_store_si512(panel + j * ALB_ATTENTION_S8_LANES, packed);
    }
}

/// `rows` rows of q, at most four, to uint8, zeros behind the width up to a multiple of 4.
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
    for (size_t i = 0; i < width; i += 16) {
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

/// Exact sums of `rows` rows of bytes against `panels` panels of 16 lanes, `groups` groups of 4 deep.
static inline __attribute__((always_inline)) void dot_tile(
    const size_t rows, const size_t panels, size_t groups, const uint8_t *lhs, size_t lhs_row, const int8_t *rhs,
    __m512i sum[ROWS][PANELS]) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i r[PANELS];
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
    const size_t rows, const size_t panels, const head_operands *h, size_t key, size_t row,
    const alb_attention_s8_scratch *scratch, __m512 *top) {
    const size_t length = alb_s8_row_length(h->tokens);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, h->depth / ALB_ATTENTION_S8_GROUP, scratch->q + row * h->depth, h->depth, h->keys + key * h->depth,
        sum);
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
    const size_t rows, const head_operands *h, size_t key, size_t past, size_t row,
    const alb_attention_s8_scratch *scratch, __m512 *tops) {
    __m512 top[ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) top[i] = tops[row + i];
    for (; key + STEP <= past; key += STEP) score_tile(rows, PANELS, h, key, row, scratch, top);
    for (; key < past; key += 16) score_tile(rows, 1, h, key, row, scratch, top);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) tops[row + i] = top[i];
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
    // Packing works within 128-bit lanes: 4 bytes of each of the four vectors, put in order at the end.
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const float *u = scratch->scores + row * alb_s8_row_length(n);
    uint8_t *p = scratch->p + row * alb_s8_row_length(n);
    __m512i sum = _mm512_setzero_si512(), byte[4];
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        exponentials(4, u + j, maximum, factor, lowest, byte);
        const __m512i packed =
            _mm512_packus_epi16(_mm512_packus_epi32(byte[0], byte[1]), _mm512_packus_epi32(byte[2], byte[3]));
        const __m512i bytes = _mm512_permutexvar_epi32(order, packed);
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
    const size_t rows, const size_t panels, const head_operands *h, size_t channel, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    const size_t depth = alb_round_up(h->tokens, ALB_ATTENTION_S8_GROUP), length = alb_s8_row_length(h->tokens);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->p + row * length, length, h->values + channel * depth, sum);
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
    const size_t rows, const head_operands *h, size_t channel, size_t past, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    for (; channel + STEP <= past; channel += STEP)
        value_tile(rows, PANELS, h, channel, row, dst, dst_row, scratch);
    for (; channel < past; channel += 16) value_tile(rows, 1, h, channel, row, dst, dst_row, scratch);
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
            score_rows(rows, &h, 0, h.lanes, row, scratch, tops);
            for (size_t t = row; t < row + rows; t++) softmax_row(t, h.tokens, scale, tops[t], scratch);
            value_rows(rows, &h, 0, lanes, row, dst, dst_row, scratch);
        });
        return;
    }
    // Each panel of a wide head is read once for all queries of the block.
    for (size_t key = 0; key < h.lanes; key += STEP) {
        const size_t past = h.lanes - key < STEP ? h.lanes : key + STEP;
        EACH_TILE(queries, score_rows(rows, &h, key, past, row, scratch, tops));
    }
    for (size_t t = 0; t < queries; t++) softmax_row(t, h.tokens, scale, tops[t], scratch);
    for (size_t channel = 0; channel < lanes; channel += STEP) {
        const size_t past = lanes - channel < STEP ? lanes : channel + STEP;
        EACH_TILE(queries, value_rows(rows, &h, channel, past, row, dst, dst_row, scratch));
    }
}

ALB_TARGET_END
#endif
