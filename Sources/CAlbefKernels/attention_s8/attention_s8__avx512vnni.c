// Int8 attention with vpdpbusd: one 64-byte load holds 4 bytes of 16 keys or channels, and 4 bytes of a query are broadcast.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"

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

void alb_attention_s8_quantize_keys__avx512vnni(
    const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key) {
    const size_t width = kv->width, lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t groups = alb_round_up(width, ALB_ATTENTION_S8_GROUP) / ALB_ATTENTION_S8_GROUP;
    int8_t *panel = alb_s8_head_keys(kv, head) + key * groups * ALB_ATTENTION_S8_GROUP;
    for (size_t j = 0; j < ALB_ATTENTION_S8_LANES; j++) {
        float *scale = kv->key_scales + head * lanes + key + j;
        int32_t *sum = kv->key_sums + head * lanes + key + j;
        const int present = key + j < kv->tokens;
        const float *x = k + (present ? key + j : 0) * k_row;
        __m512 top = _mm512_setzero_ps();
        if (present)
            for (size_t c = 0; c < width; c += 16)
                top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(alb_mask_avx512(width - c), x + c)));
        const float maximum = _mm512_reduce_max_ps(top);
        const int zero = maximum < ALB_SMALLEST_RANGE;
        const __m512 inverse = _mm512_set1_ps(zero ? 0.0f : 127.0f / maximum);
        __m512i total = _mm512_setzero_si512();
        for (size_t g = 0; g < groups; g += 4) {
            __m512i q = _mm512_setzero_si512();
            if (present) {
                const __mmask16 m = alb_mask_avx512(width - 4 * g);
                q = clamp(nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + 4 * g), inverse)), -127, 127);
            }
            total = _mm512_add_epi32(total, q);
            int32_t fours[4];
            _mm_storeu_si128((__m128i *)fours, _mm512_cvtepi32_epi8(q));
            for (size_t i = 0; i < 4 && g + i < groups; i++)
                memcpy(panel + ((g + i) * ALB_ATTENTION_S8_LANES + j) * ALB_ATTENTION_S8_GROUP, fours + i, 4);
        }
        *scale = zero ? 0.0f : maximum / 127.0f;
        *sum = _mm512_reduce_add_epi32(total);
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

/// One row of q to uint8, zeros behind the width up to a multiple of 4.
static void quantize_query(const float *x, size_t n, uint8_t *q, float *scale, int32_t *zero) {
    __m512 low = _mm512_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += 16) {
        const __m512 y = _mm512_maskz_loadu_ps(alb_mask_avx512(n - i), x + i);
        low = _mm512_min_ps(low, y);
        high = _mm512_max_ps(high, y);
    }
    const alb_row_quantization row = alb_quantization_of(_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high));
    const __m512 inverse = _mm512_set1_ps(row.inverse);
    const __m512i zp = _mm512_set1_epi32(row.zero_point);
    const size_t padded = alb_round_up(n, ALB_ATTENTION_S8_GROUP);
    *scale = row.scale;
    *zero = row.zero_point;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = alb_mask_avx512(n - i);
        const __m512i y = nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), inverse));
        const __m512i byte = _mm512_maskz_mov_epi32(m, clamp(_mm512_add_epi32(y, zp), 0, 255));
        _mm512_mask_cvtepi32_storeu_epi8(q + i, alb_mask_avx512(padded - i), byte);
    }
}

// --- Products

static inline __m512i broadcast_group(const uint8_t *bytes) {
    int32_t group;
    memcpy(&group, bytes, sizeof group);
    return _mm512_set1_epi32(group);
}

/// Exact sums of `rows` rows of bytes against `panels` panels of 16 lanes, `groups` groups of 4 deep.
static inline __attribute__((always_inline)) void dot_tile(
    const size_t rows, const size_t panels, size_t groups, const uint8_t *lhs, size_t lhs_row, const int8_t *rhs,
    __m512i sum[ROWS][PANELS]) {
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i r[PANELS];
        for (size_t v = 0; v < panels; v++) r[v] = _mm512_load_si512(rhs + (v * groups + g) * LANE_BYTES);
        for (size_t i = 0; i < rows; i++) {
            const __m512i l = broadcast_group(lhs + i * lhs_row + g * ALB_ATTENTION_S8_GROUP);
            for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], l, r[v]);
        }
    }
}

static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, const size_t panels, const alb_keys_values_s8 *kv, size_t head, float factor, size_t key,
    size_t row, const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->q + row * depth, depth,
        alb_s8_head_keys(kv, head) + key * depth, sum);
    const __m512 factors = _mm512_set1_ps(factor);
    for (size_t v = 0; v < panels; v++) {
        const size_t at = head * padded + key + 16 * v;
        const __m512 key_scales = _mm512_load_ps(kv->key_scales + at);
        const __m512i key_sums = _mm512_load_si512(kv->key_sums + at);
        for (size_t i = 0; i < rows; i++) {
            const __m512i zeros = _mm512_mullo_epi32(_mm512_set1_epi32(scratch->q_zeros[row + i]), key_sums);
            const __m512 s = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum[i][v], zeros));
            const __m512 scale = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(scratch->q_scales[row + i]), key_scales), factors);
            _mm512_store_ps(scratch->scores + (row + i) * padded + key + 16 * v, _mm512_mul_ps(s, scale));
        }
    }
}

static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float factor, size_t row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    size_t key = 0;
    for (; key + 16 * PANELS <= padded; key += 16 * PANELS) score_tile(rows, PANELS, kv, head, factor, key, row, scratch);
    for (; key < padded; key += 16) score_tile(rows, 1, kv, head, factor, key, row, scratch);
}

/// Scores of a whole row to bytes and their sum; bytes behind the last key are 0.
static void softmax_row(const float *x, size_t n, size_t padded, uint8_t *p, float *total) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 top = lowest;
    for (size_t j = 0; j < n; j += 16)
        top = _mm512_max_ps(top, _mm512_mask_loadu_ps(lowest, alb_mask_avx512(n - j), x + j));
    const __m512 maximum = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    __m512i sum = _mm512_setzero_si512();
    for (size_t j = 0; j < padded; j += 16) {
        const __m512 e = alb_exp_avx512(_mm512_sub_ps(_mm512_load_ps(x + j), maximum));
        const __m512i byte =
            _mm512_maskz_mov_epi32(alb_mask_avx512(n - j), nearest(_mm512_mul_ps(_mm512_set1_ps(255.0f), e)));
        sum = _mm512_add_epi32(sum, byte);
        _mm_store_si128((__m128i *)(p + j), _mm512_cvtepi32_epi8(byte));
    }
    *total = (float)_mm512_reduce_add_epi32(sum);
}

static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, const size_t panels, const alb_keys_values_s8 *kv, size_t head, size_t channel, size_t row,
    float *dst, size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP);
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    __m512i sum[ROWS][PANELS];
    dot_tile(
        rows, panels, depth / ALB_ATTENTION_S8_GROUP, scratch->p + row * padded, padded,
        alb_s8_head_values(kv, head) + channel * depth, sum);
    for (size_t v = 0; v < panels; v++) {
        const __m512 scales = _mm512_load_ps(kv->value_scales + head * lanes + channel + 16 * v);
        const __mmask16 m = alb_mask_avx512(kv->width - channel - 16 * v);
        for (size_t i = 0; i < rows; i++) {
            const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i][v]), scales);
            _mm512_mask_storeu_ps(
                dst + (row + i) * dst_row + channel + 16 * v, m,
                _mm512_div_ps(y, _mm512_set1_ps(scratch->totals[row + i])));
        }
    }
}

static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    size_t channel = 0;
    for (; channel + 16 * PANELS <= lanes; channel += 16 * PANELS)
        value_tile(rows, PANELS, kv, head, channel, row, dst, dst_row, scratch);
    for (; channel < lanes; channel += 16) value_tile(rows, 1, kv, head, channel, row, dst, dst_row, scratch);
}

void alb_attention_s8_block__avx512vnni(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    for (size_t t = 0; t < queries; t++)
        quantize_query(q + t * q_row, kv->width, scratch->q + t * depth, scratch->q_scales + t, scratch->q_zeros + t);
    size_t t = 0;
    for (; t + ROWS <= queries; t += ROWS) score_rows(ROWS, kv, head, scale, t, scratch);
    for (; t + 2 <= queries; t += 2) score_rows(2, kv, head, scale, t, scratch);
    for (; t < queries; t++) score_rows(1, kv, head, scale, t, scratch);
    for (t = 0; t < queries; t++)
        softmax_row(scratch->scores + t * padded, kv->tokens, padded, scratch->p + t * padded, scratch->totals + t);
    t = 0;
    for (; t + ROWS <= queries; t += ROWS) value_rows(ROWS, kv, head, t, dst, dst_row, scratch);
    for (; t + 2 <= queries; t += 2) value_rows(2, kv, head, t, dst, dst_row, scratch);
    for (; t < queries; t++) value_rows(1, kv, head, t, dst, dst_row, scratch);
}

ALB_TARGET_END
#endif
