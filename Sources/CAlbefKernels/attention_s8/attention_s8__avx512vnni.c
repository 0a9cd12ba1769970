// Int8 attention with vpdpbusd: one 64-byte load holds 4 bytes of 16 keys or channels, and 4 bytes of a query are broadcast.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"
#include "../common/zero_point_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

enum { ROWS = 6, PANELS = 4, LANE_BYTES = ALB_ATTENTION_S8_LANES * ALB_ATTENTION_S8_GROUP };

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
static inline void quantize_queries(
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
            scratch->q_zeros[first + r] = row.zero_point;
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

/// Scores or bytes of a row of the scratch, for whole fours of panels. Six such rows fit where the layout has room for all queries
/// of a part at whole panels.
static inline size_t row_length(const alb_keys_values_s8 *kv) {
    return alb_round_up(kv->tokens, PANELS * ALB_ATTENTION_S8_LANES);
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

/// Scores of `rows` queries from `row` on with the keys of `panels` panels, and the rows' maxima so far; a key behind the last
/// one, which only the last panel has, counts for no maximum.
static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, const size_t panels, const alb_keys_values_s8 *kv, size_t head, size_t key, size_t row,
    const alb_attention_s8_scratch *scratch, __m512 factor, __m512 top[ROWS]) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->q + row * depth, depth,
        alb_s8_head_keys(kv, head) + key * depth, sum);
#pragma clang loop unroll(full)
    for (size_t v = 0; v < panels; v++) {
        const size_t at = head * padded + key + 16 * v;
        const __m512 key_scales = _mm512_load_ps(kv->key_scales + at);
        const __m512i key_sums = alb_split_sums_avx512(_mm512_load_si512(kv->key_sums + at));
        const __mmask16 present = alb_mask_avx512(kv->tokens - key - 16 * v);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m512i s =
                _mm512_dpwssd_epi32(sum[i][v], alb_split_zero_point_avx512(scratch->q_zeros[row + i]), key_sums);
            const __m512 scale = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(scratch->q_scales[row + i]), key_scales), factor);
            const __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(s), scale);
            _mm512_store_ps(scratch->scores + i * row_length(kv) + key + 16 * v, x);
            top[i] = _mm512_mask_max_ps(top[i], present, top[i], x);
        }
    }
}

/// Bytes rne(255 exp(x - maximum)) of four vectors of scores; exp's sequence of operations. x is at most `maximum`, and where exp
/// would be 0 the exponential of its lowest argument rounds to 0 as well.
static inline __m512i probabilities(const float *x, __m512 maximum) {
    __m512 c[4], n[4], p[4];
    __m512i byte[4];
#define EACH ALB_PRAGMA(clang loop unroll(full)) for (int v = 0; v < 4; v++)
    EACH c[v] = _mm512_max_ps(_mm512_sub_ps(_mm512_load_ps(x + 16 * v), maximum), _mm512_set1_ps(ALB_EXP_LOWEST));
    EACH n[v] = _mm512_roundscale_ps(
        _mm512_mul_ps(c[v], _mm512_set1_ps(ALB_EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    EACH c[v] = _mm512_fmadd_ps(n[v], _mm512_set1_ps(-ALB_EXP_LN2_HIGH), c[v]);
    EACH c[v] = _mm512_fmadd_ps(n[v], _mm512_set1_ps(-ALB_EXP_LN2_LOW), c[v]);
    EACH p[v] = _mm512_fmadd_ps(_mm512_set1_ps(ALB_EXP_E6), c[v], _mm512_set1_ps(ALB_EXP_E5));
    EACH p[v] = _mm512_fmadd_ps(p[v], c[v], _mm512_set1_ps(ALB_EXP_E4));
    EACH p[v] = _mm512_fmadd_ps(p[v], c[v], _mm512_set1_ps(ALB_EXP_E3));
    EACH p[v] = _mm512_fmadd_ps(p[v], c[v], _mm512_set1_ps(ALB_EXP_E2));
    EACH p[v] = _mm512_fmadd_ps(p[v], c[v], _mm512_set1_ps(1.0f));
    EACH p[v] = _mm512_fmadd_ps(p[v], c[v], _mm512_set1_ps(1.0f));
    // 2^n p is normal: the scaling is exact.
    EACH byte[v] = nearest(_mm512_mul_ps(_mm512_set1_ps(255.0f), _mm512_scalef_ps(p[v], n[v])));
#undef EACH
    // Packing works within 128-bit lanes: 4 bytes of each of the four vectors, put in order at the end.
    const __m512i packed =
        _mm512_packus_epi16(_mm512_packus_epi32(byte[0], byte[1]), _mm512_packus_epi32(byte[2], byte[3]));
    return _mm512_permutexvar_epi32(
        _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0), packed);
}

/// Scores of a whole row to bytes and their sum; bytes behind the last key are 0.
static inline void softmax_row(const float *x, size_t n, float maximum, uint8_t *p, float *total) {
    const __m512 top = _mm512_set1_ps(maximum);
    __m512i sum = _mm512_setzero_si512();
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        const __m512i bytes = probabilities(x + j, top);
        sum = _mm512_dpbusd_epi32(sum, bytes, _mm512_set1_epi8(1));
        _mm512_store_si512(p + j, bytes);
    }
    for (; j < n; j += 16) {
        const __m512 e = alb_exp_avx512(_mm512_sub_ps(_mm512_load_ps(x + j), top));
        const __m512i byte =
            _mm512_maskz_mov_epi32(alb_mask_avx512(n - j), nearest(_mm512_mul_ps(_mm512_set1_ps(255.0f), e)));
        sum = _mm512_add_epi32(sum, byte);
        _mm_store_si128((__m128i *)(p + j), _mm512_cvtepi32_epi8(byte));
    }
    *total = (float)_mm512_reduce_add_epi32(sum);
}

/// Probabilities of `rows` queries from `row` on, in the first rows of the scratch: few enough to stay in the first-level cache.
static inline __attribute__((always_inline)) void probability_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float scale, size_t row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const __m512 factor = _mm512_set1_ps(scale);
    __m512 top[ROWS];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++) top[i] = _mm512_set1_ps(-INFINITY);
    size_t key = 0;
    for (; key + 16 * PANELS <= padded; key += 16 * PANELS) score_tile(rows, PANELS, kv, head, key, row, scratch, factor, top);
    for (; key < padded; key += 16) score_tile(rows, 1, kv, head, key, row, scratch, factor, top);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < rows; i++)
        softmax_row(
            scratch->scores + i * row_length(kv), kv->tokens, _mm512_reduce_max_ps(top[i]),
            scratch->p + i * row_length(kv), scratch->totals + i);
}

static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, const size_t panels, const alb_keys_values_s8 *kv, size_t head, size_t channel, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP);
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->p, row_length(kv),
        alb_s8_head_values(kv, head) + channel * depth, sum);
#pragma clang loop unroll(full)
    for (size_t v = 0; v < panels; v++) {
        const __m512 scales = _mm512_load_ps(kv->value_scales + head * lanes + channel + 16 * v);
        const __mmask16 m = alb_mask_avx512(kv->width - channel - 16 * v);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i][v]), scales);
            _mm512_mask_storeu_ps(
                dst + i * dst_row + channel + 16 * v, m, _mm512_div_ps(y, _mm512_set1_ps(scratch->totals[i])));
        }
    }
}

/// `rows` queries from `row` on, which are quantised, from scores to mixed values.
static inline __attribute__((always_inline)) void attend_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float scale, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    probability_rows(rows, kv, head, scale, row, scratch);
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    size_t channel = 0;
    for (; channel + 16 * PANELS <= lanes; channel += 16 * PANELS)
        value_tile(rows, PANELS, kv, head, channel, dst + row * dst_row, dst_row, scratch);
    for (; channel < lanes; channel += 16) value_tile(rows, 1, kv, head, channel, dst + row * dst_row, dst_row, scratch);
}

void alb_attention_s8_block__avx512vnni(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    for (size_t t = 0; t < queries; t += 4)
        quantize_queries(queries - t < 4 ? queries - t : 4, q, q_row, kv->width, scratch, t);
    size_t t = 0;
    for (; t + ROWS <= queries; t += ROWS) attend_rows(ROWS, kv, head, scale, t, dst, dst_row, scratch);
    for (; t + 2 <= queries; t += 2) attend_rows(2, kv, head, scale, t, dst, dst_row, scratch);
    for (; t < queries; t++) attend_rows(1, kv, head, scale, t, dst, dst_row, scratch);
}

ALB_TARGET_END
#endif
