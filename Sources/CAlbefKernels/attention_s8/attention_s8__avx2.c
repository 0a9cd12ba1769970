// Int8 attention without VNNI. Bytes are widened to 16 bits and met by vpmaddwd, which cannot saturate here: bytes 0 and 2 of
// each group of 4 in one vector, bytes 1 and 3 in another, so that both sums land in the lane of their key or channel.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

enum { ROWS = 4, LANE_BYTES = ALB_ATTENTION_S8_LANES * ALB_ATTENTION_S8_GROUP };

static inline __m256i mask_from(size_t i, size_t n) { return alb_mask_avx2(alb_lanes_avx2(i, n)); }

/// rne(x) as int32: the rounding mode is to nearest even inside of a kernel.
static inline __m256i nearest(__m256 x) { return _mm256_cvtps_epi32(x); }

static inline __m256i clamp(__m256i q, int low, int high) {
    return _mm256_min_epi32(_mm256_max_epi32(q, _mm256_set1_epi32(low)), _mm256_set1_epi32(high));
}

static inline __m256 absolute(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

static inline float reduce_max(__m256 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

static inline int32_t reduce_add(__m256i x) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/// The low bytes of 8 int32 in -128...255, in order.
static inline int64_t low_bytes(__m256i x) {
    const __m256i pick = _mm256_setr_epi8(
        0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        -1, -1);
    const __m256i bytes = _mm256_shuffle_epi8(x, pick);
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    return _mm_cvtsi128_si64(both);
}

// --- Quantisation

void alb_attention_s8_quantize_keys__avx2(
    const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key) {
    const size_t width = kv->width, lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t groups = alb_round_up(width, ALB_ATTENTION_S8_GROUP) / ALB_ATTENTION_S8_GROUP;
    int8_t *panel = alb_s8_head_keys(kv, head) + key * groups * ALB_ATTENTION_S8_GROUP;
    for (size_t j = 0; j < ALB_ATTENTION_S8_LANES; j++) {
        const int present = key + j < kv->tokens;
        const float *x = k + (present ? key + j : 0) * k_row;
        __m256 top = _mm256_setzero_ps();
        if (present)
            for (size_t c = 0; c < width; c += 8)
                top = _mm256_max_ps(top, absolute(_mm256_maskload_ps(x + c, mask_from(c, width))));
        const float maximum = reduce_max(top);
        const int zero = maximum < ALB_SMALLEST_RANGE;
        const __m256 inverse = _mm256_set1_ps(zero ? 0.0f : 127.0f / maximum);
        __m256i total = _mm256_setzero_si256();
        for (size_t g = 0; g < groups; g += 2) {
            __m256i q = _mm256_setzero_si256();
            if (present)
                q = clamp(
                    nearest(_mm256_mul_ps(_mm256_maskload_ps(x + 4 * g, mask_from(4 * g, width)), inverse)), -127, 127);
            total = _mm256_add_epi32(total, q);
            const int64_t bytes = low_bytes(q);
            const int32_t fours[2] = {(int32_t)bytes, (int32_t)(bytes >> 32)};
            for (size_t i = 0; i < 2 && g + i < groups; i++)
                memcpy(panel + ((g + i) * ALB_ATTENTION_S8_LANES + j) * ALB_ATTENTION_S8_GROUP, fours + i, 4);
        }
        kv->key_scales[head * lanes + key + j] = zero ? 0.0f : maximum / 127.0f;
        kv->key_sums[head * lanes + key + j] = reduce_add(total);
    }
}

void alb_attention_s8_quantize_values__avx2(
    const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel) {
    const size_t tokens = kv->tokens, lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    const size_t padded = alb_round_up(tokens, ALB_ATTENTION_S8_GROUP);
    int8_t *panel = alb_s8_head_values(kv, head) + channel * padded;
    for (size_t half = 0; half < ALB_ATTENTION_S8_LANES; half += 8) {
        const __m256i m = mask_from(channel + half, kv->width);
        const float *x = v + channel + half;
        __m256 top = _mm256_setzero_ps();
        for (size_t j = 0; j < tokens; j++) top = _mm256_max_ps(top, absolute(_mm256_maskload_ps(x + j * v_row, m)));
        const __m256 used = _mm256_cmp_ps(top, _mm256_set1_ps(ALB_SMALLEST_RANGE), _CMP_GE_OQ);
        const __m256 inverse = _mm256_and_ps(used, _mm256_div_ps(_mm256_set1_ps(127.0f), top));
        _mm256_storeu_ps(
            kv->value_scales + head * lanes + channel + half,
            _mm256_and_ps(used, _mm256_div_ps(top, _mm256_set1_ps(127.0f))));
        for (size_t j = 0; j < padded; j += 4) {
            __m256i packed = _mm256_setzero_si256();
            for (size_t i = 0; i < 4 && j + i < tokens; i++) {
                const __m256 y = _mm256_mul_ps(_mm256_maskload_ps(x + (j + i) * v_row, m), inverse);
                const __m256i byte = _mm256_and_si256(clamp(nearest(y), -127, 127), _mm256_set1_epi32(0xff));
                packed = _mm256_or_si256(packed, _mm256_slli_epi32(byte, (int)(8 * i)));
            }
            _mm256_store_si256((__m256i *)(panel + j * ALB_ATTENTION_S8_LANES + half * ALB_ATTENTION_S8_GROUP), packed);
        }
    }
}

/// One row of q to uint8, zeros behind the width up to a multiple of 4.
static void quantize_query(const float *x, size_t n, uint8_t *q, float *scale, int32_t *zero) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += 8) {
        const __m256 y = _mm256_maskload_ps(x + i, mask_from(i, n));
        low = _mm256_min_ps(low, y);
        high = _mm256_max_ps(high, y);
    }
    const float lowest = -reduce_max(_mm256_sub_ps(_mm256_setzero_ps(), low));
    const alb_row_quantization row = alb_quantization_of(lowest, reduce_max(high));
    const __m256 inverse = _mm256_set1_ps(row.inverse);
    const __m256i zp = _mm256_set1_epi32(row.zero_point);
    const size_t padded = alb_round_up(n, ALB_ATTENTION_S8_GROUP);
    *scale = row.scale;
    *zero = row.zero_point;
    for (size_t i = 0; i < n; i += 8) {
        const __m256i m = mask_from(i, n);
        const __m256i y = nearest(_mm256_mul_ps(_mm256_maskload_ps(x + i, m), inverse));
        const int64_t bytes = low_bytes(_mm256_and_si256(m, clamp(_mm256_add_epi32(y, zp), 0, 255)));
        memcpy(q + i, &bytes, padded - i < 8 ? padded - i : 8);
    }
}

// --- Products

/// Exact sums of `rows` rows of bytes against one panel of 16 lanes, `groups` groups of 4 deep.
static inline __attribute__((always_inline)) void dot_tile(
    const size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_row, const int8_t *rhs, __m256i sum[ROWS][2]) {
    const __m256i low_half = _mm256_set1_epi32(0x00ff00ff);
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++) {
        __m256i even[2], odd[2];
        for (int v = 0; v < 2; v++) {
            const __m256i r = _mm256_load_si256((const __m256i *)(rhs + g * LANE_BYTES + 32 * v));
            even[v] = _mm256_srai_epi16(_mm256_slli_epi16(r, 8), 8);
            odd[v] = _mm256_srai_epi16(r, 8);
        }
        for (size_t i = 0; i < rows; i++) {
            int32_t group;
            memcpy(&group, lhs + i * lhs_row + g * ALB_ATTENTION_S8_GROUP, sizeof group);
            const __m256i l = _mm256_set1_epi32(group);
            const __m256i l_even = _mm256_and_si256(l, low_half), l_odd = _mm256_srli_epi16(l, 8);
            for (int v = 0; v < 2; v++) {
                const __m256i both = _mm256_add_epi32(_mm256_madd_epi16(l_even, even[v]), _mm256_madd_epi16(l_odd, odd[v]));
                sum[i][v] = _mm256_add_epi32(sum[i][v], both);
            }
        }
    }
}

static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, float factor, size_t row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    const __m256 factors = _mm256_set1_ps(factor);
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
                const __m256 s = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i][v], zeros));
                const __m256 scale =
                    _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(scratch->q_scales[row + i]), key_scales), factors);
                _mm256_store_ps(scratch->scores + (row + i) * padded + key + 8 * v, _mm256_mul_ps(s, scale));
            }
        }
    }
}

/// Scores of a whole row to bytes and their sum; bytes behind the last key are 0.
static void softmax_row(const float *x, size_t n, size_t padded, uint8_t *p, float *total) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 top = lowest;
    for (size_t j = 0; j < n; j += 8) {
        const __m256 y = _mm256_load_ps(x + j);
        top = _mm256_max_ps(top, _mm256_blendv_ps(lowest, y, _mm256_castsi256_ps(mask_from(j, n))));
    }
    const __m256 maximum = _mm256_set1_ps(reduce_max(top));
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < padded; j += 8) {
        const __m256 e = alb_exp_avx2(_mm256_sub_ps(_mm256_load_ps(x + j), maximum));
        const __m256i byte = _mm256_and_si256(mask_from(j, n), nearest(_mm256_mul_ps(_mm256_set1_ps(255.0f), e)));
        sum = _mm256_add_epi32(sum, byte);
        const int64_t bytes = low_bytes(byte);
        memcpy(p + j, &bytes, sizeof bytes);
    }
    *total = (float)reduce_add(sum);
}

static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, const alb_keys_values_s8 *kv, size_t head, size_t row, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP);
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    for (size_t channel = 0; channel < lanes; channel += ALB_ATTENTION_S8_LANES) {
        __m256i sum[ROWS][2];
        dot_tile(
            rows, depth / ALB_ATTENTION_S8_GROUP, scratch->p + row * padded, padded,
            alb_s8_head_values(kv, head) + channel * depth, sum);
        for (int v = 0; v < 2; v++) {
            const size_t at = channel + 8 * (size_t)v;
            const __m256 scales = _mm256_load_ps(kv->value_scales + head * lanes + at);
            for (size_t i = 0; i < rows; i++) {
                const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i][v]), scales);
                _mm256_maskstore_ps(
                    dst + (row + i) * dst_row + at, mask_from(at, kv->width),
                    _mm256_div_ps(y, _mm256_set1_ps(scratch->totals[row + i])));
            }
        }
    }
}

void alb_attention_s8_block__avx2(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    for (size_t t = 0; t < queries; t++)
        quantize_query(q + t * q_row, kv->width, scratch->q + t * depth, scratch->q_scales + t, scratch->q_zeros + t);
    size_t t = 0;
    for (; t + ROWS <= queries; t += ROWS) score_rows(ROWS, kv, head, scale, t, scratch);
    for (; t < queries; t++) score_rows(1, kv, head, scale, t, scratch);
    for (t = 0; t < queries; t++)
        softmax_row(scratch->scores + t * padded, kv->tokens, padded, scratch->p + t * padded, scratch->totals + t);
    t = 0;
    for (; t + ROWS <= queries; t += ROWS) value_rows(ROWS, kv, head, t, dst, dst_row, scratch);
    for (; t < queries; t++) value_rows(1, kv, head, t, dst, dst_row, scratch);
}

ALB_TARGET_END
#endif
