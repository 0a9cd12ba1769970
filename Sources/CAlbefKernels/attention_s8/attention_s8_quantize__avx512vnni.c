// Quantises keys and values for the products of int8 attention, four rows at a time.
#include "attention_s8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/reduce.h"
#include "attention_s8_512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// Bytes of four vectors of int32 that fit into them: in each 128-bit lane four of the first vector, then four of the second and
/// so on.
static inline __m512i fours_of_four(const __m512i q[4]) {
    return _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
}

/// Four keys from the `lane`-th of a panel on; those from `present` on do not exist and give zeros.
static inline void quantize_four_keys(
    const float *k, size_t k_row, size_t present, size_t width, int8_t *panel, size_t lane, float *scales, int32_t *sums) {
    const float *x[4];
    __m512 top[4], inverse[4];
    FOUR x[r] = k + (r < present ? r : 0) * k_row;
    FOUR top[r] = _mm512_setzero_ps();
    for (size_t c = 0; c < width; c += 16) {
        const __mmask16 m = alb_mask_avx512(width - c);
        FOUR {
            // The keys of the next panel: a head's part of a row is short and far from the next, so that nothing else foresees it.
            __builtin_prefetch(x[r] + ALB_ATTENTION_S8_LANES * k_row + c);
            top[r] = _mm512_max_ps(top[r], _mm512_abs_ps(_mm512_maskz_loadu_ps(m, x[r] + c)));
        }
    }
    FOUR {
        const float maximum = r < present ? _mm512_reduce_max_ps(top[r]) : 0.0f;
        const int zero = maximum < ALB_SMALLEST_RANGE;
        inverse[r] = _mm512_set1_ps(zero ? 0.0f : 127.0f / maximum);
        scales[r] = zero ? 0.0f : maximum / 127.0f;
    }
    const size_t groups = alb_round_up(width, ALB_ATTENTION_S8_GROUP) / ALB_ATTENTION_S8_GROUP;
    __m512i total = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g += 4) {
        const __mmask16 m = alb_mask_avx512(width - 4 * g);
        __m512i q[4];
        // At most 127 + 2^-16, which rounds to 127: no bound is needed.
        FOUR q[r] = nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x[r] + 4 * g), inverse[r]));
        const __m512i bytes = fours_of_four(q);
        total = _mm512_dpbusd_epi32(total, _mm512_set1_epi8(1), bytes);
        const __m128i group[4] = {
            _mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1), _mm512_extracti32x4_epi32(bytes, 2),
            _mm512_extracti32x4_epi32(bytes, 3)};
        for (size_t i = 0; i < 4 && g + i < groups; i++)
            _mm_store_si128((__m128i *)(panel + ((g + i) * ALB_ATTENTION_S8_LANES + lane) * ALB_ATTENTION_S8_GROUP), group[i]);
    }
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(total), _mm512_extracti32x8_epi32(total, 1));
    _mm_storeu_si128((__m128i *)sums, _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
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
    for (size_t j = 0; j < tokens; j++) {
        // The channels of the next panel, likewise.
        __builtin_prefetch(x + j * v_row + ALB_ATTENTION_S8_LANES);
        top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(m, x + j * v_row)));
    }
    const __mmask16 used = _mm512_cmp_ps_mask(top, _mm512_set1_ps(ALB_SMALLEST_RANGE), _CMP_GE_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(used, _mm512_set1_ps(127.0f), top);
    _mm512_storeu_ps(
        kv->value_scales + head * lanes + channel, _mm512_maskz_div_ps(used, top, _mm512_set1_ps(127.0f)));
    // In each 128-bit lane: bytes of four channels for each of four tokens become those of four tokens for each of four channels.
    const __m512i transposed = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (size_t j = 0; j < padded; j += 4) {
        __m512i q[4];
        FOUR q[r] = j + r < tokens ? nearest(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + (j + r) * v_row), inverse))
                                   : _mm512_setzero_si512();
        _mm512_store_si512(panel + j * ALB_ATTENTION_S8_LANES, _mm512_shuffle_epi8(fours_of_four(q), transposed));
    }
}

ALB_TARGET_END
#endif
