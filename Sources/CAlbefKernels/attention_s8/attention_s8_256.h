// Quantisation and softmax of int8 attention with 256-bit registers, for the variants that include this after they defined
//
//   VARIANT(name)  the name with the variant's suffix
//   FEATURES       the instruction set of everything here
#include "attention_s8.h"

#include <immintrin.h>
#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(FEATURES)

enum { LANE_BYTES = ALB_ATTENTION_S8_LANES * ALB_ATTENTION_S8_GROUP };

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

void VARIANT(alb_attention_s8_quantize_keys)(
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

void VARIANT(alb_attention_s8_quantize_values)(
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

// --- Softmax

/// `vectors` vectors of scores to bytes rne(255 * 2^((x - maximum) * factor)) as int32, side by side: each is a chain that
/// waits for itself.
static inline __attribute__((always_inline)) void probabilities(
    const int vectors, const float *x, __m256 maximum, __m256 factor, __m256 lowest, __m256i byte[4]) {
    const __m256 shift = _mm256_set1_ps(ALB_ATTENTION_S8_SHIFT);
    __m256 c[4], t[4], p[4];
#define EACH ALB_PRAGMA(clang loop unroll(full)) for (int v = 0; v < vectors; v++)
    // The difference comes first: a NaN becomes `lowest`, as in the scalar form.
    EACH c[v] = _mm256_max_ps(_mm256_sub_ps(_mm256_load_ps(x + 8 * v), maximum), lowest);
    EACH t[v] = _mm256_fmadd_ps(c[v], factor, shift);
    EACH c[v] = _mm256_fmsub_ps(c[v], factor, _mm256_sub_ps(t[v], shift));
    EACH p[v] = _mm256_fmadd_ps(_mm256_set1_ps(ALB_ATTENTION_S8_C3), c[v], _mm256_set1_ps(ALB_ATTENTION_S8_C2));
    EACH p[v] = _mm256_fmadd_ps(p[v], c[v], _mm256_set1_ps(ALB_ATTENTION_S8_C1));
    EACH p[v] = _mm256_fmadd_ps(p[v], c[v], _mm256_set1_ps(ALB_ATTENTION_S8_C0));
    EACH byte[v] = nearest(_mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p[v]), _mm256_slli_epi32(_mm256_castps_si256(t[v]), 23))));
#undef EACH
}

/// Scores of a whole row to bytes, and 1 / their sum; bytes behind the last key are 0.
static void softmax_row(
    const float *x, size_t n, size_t padded, float greatest, alb_attention_s8_exponent exponent, uint8_t *p, float *inverse) {
    const __m256 maximum = _mm256_set1_ps(greatest);
    const __m256 factor = _mm256_set1_ps(exponent.factor), lowest = _mm256_set1_ps(exponent.lowest);
    __m256i sum = _mm256_setzero_si256();
    __m256i byte[4];
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        probabilities(4, x + j, maximum, factor, lowest, byte);
        // Packing works within 128-bit lanes: 4 bytes of each of the four vectors, put in order at the end.
        const __m256i packed =
            _mm256_packus_epi16(_mm256_packs_epi32(byte[0], byte[1]), _mm256_packs_epi32(byte[2], byte[3]));
        const __m256i bytes = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
        _mm256_storeu_si256((__m256i *)(p + j), bytes);
    }
    for (; j < padded; j += 8) {
        probabilities(1, x + j, maximum, factor, lowest, byte);
        const int64_t bytes = low_bytes(_mm256_and_si256(mask_from(j, n), byte[0]));
        sum = _mm256_add_epi64(
            sum, _mm256_sad_epu8(_mm256_zextsi128_si256(_mm_cvtsi64_si128(bytes)), _mm256_setzero_si256()));
        memcpy(p + j, &bytes, sizeof bytes);
    }
    // Sums of 64 bits whose upper halves are 0.
    *inverse = 1.0f / (float)reduce_add(sum);
}

ALB_TARGET_END
