#if defined(__x86_64__)

#include <immintrin.h>

#include "resample.h"

// A weight is split into three signed bytes, weight = d2 * 2^16 + d1 * 2^8 + d0, and each digit's exact sum is made by
// VNNI's product of unsigned and signed bytes.
enum { DIGITS = 3, PIXELS = 16 };

void alb_resample_pack__avx512vnni(const alb_resample_span *span, size_t taps, void *weights) {
    int8_t *digits = weights;
    for (size_t j = 0; j < taps; j++) {
        int32_t rest = j < span->count ? alb_resample_weight(span, span->first + j) : 0;
        for (size_t d = 0; d < DIGITS; d++) {
            int32_t digit = ((rest + 128) & 255) - 128;
            digits[d * taps + j] = (int8_t)digit;
            rest = (rest - digit) >> 8;
        }
    }
}

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// Digits of 16 taps: those of four neighbouring taps in every 32 bits of a 128-bit lane.
static inline __m512i digits_of(const int8_t *digits) {
    const __m512i order = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_epi32(order, _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)digits)));
}

void alb_resample_row__avx512vnni(
    const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,
    const void *weights, size_t taps) {
    // Four pixels to a lane, then four values of one channel to 32 bits: r0 r1 r2 r3 g0 g1 g2 g3 b0 b1 b2 b3 - - - -
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15);
    const __m512i channels = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    for (size_t x = 0; x < dst_width; x++) {
        const int8_t *digits = (const int8_t *)weights + x * taps * sizeof(int32_t);
        size_t first = spans[x].first, count = spans[x].count;
        __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0, sum2 = sum0;
        for (size_t j = 0; j < count; j += PIXELS) {
            size_t left = (src_width - first - j) * 3;
            __mmask64 mask = (1ull << (left < PIXELS * 3 ? left : PIXELS * 3)) - 1;
            __m512i values = _mm512_maskz_loadu_epi8(mask, src + (first + j) * 3);
            values = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(lanes, values), channels);
            sum0 = _mm512_dpbusd_epi32(sum0, values, digits_of(digits + j));
            sum1 = _mm512_dpbusd_epi32(sum1, values, digits_of(digits + taps + j));
            sum2 = _mm512_dpbusd_epi32(sum2, values, digits_of(digits + 2 * taps + j));
        }
        __m512i all = _mm512_add_epi32(sum0, _mm512_add_epi32(_mm512_slli_epi32(sum1, 8), _mm512_slli_epi32(sum2, 16)));
        __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(alb_resample_half())), ALB_RESAMPLE_BITS);
        sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(sum);
        dst[3 * x] = (uint8_t)rgb;
        dst[3 * x + 1] = (uint8_t)(rgb >> 8);
        dst[3 * x + 2] = (uint8_t)(rgb >> 16);
    }
}

void alb_resample_add__avx512vnni(const uint8_t *src, int32_t weight, int32_t *sums, size_t count) {
    const __m512i factor = _mm512_set1_epi32(weight);
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512i values = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, src + i));
        __m512i sum = _mm512_maskz_loadu_epi32(mask, sums + i);
        _mm512_mask_storeu_epi32(sums + i, mask, _mm512_add_epi32(sum, _mm512_mullo_epi32(values, factor)));
    }
}

ALB_TARGET_END

#endif
