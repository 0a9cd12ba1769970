#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "resample.h"

// A weight has 24 bits with its sign, more than the 16 of a multiply-add: it is split into weight = high * 2^12 + low,
// and the two exact sums are put together at the end.
enum { LOW_BITS = 12, PIXELS = 4 };

void alb_resample_pack__avx2(const alb_resample_span *span, size_t taps, void *weights) {
    int16_t *low = weights, *high = low + taps;
    for (size_t j = 0; j < taps; j++) {
        int32_t weight = j < span->count ? alb_resample_weight(span, span->first + j) : 0;
        int32_t rest = ((weight + (1 << (LOW_BITS - 1))) & ((1 << LOW_BITS) - 1)) - (1 << (LOW_BITS - 1));
        low[j] = (int16_t)rest;
        high[j] = (int16_t)((weight - rest) >> LOW_BITS);
    }
}

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// Weights of four taps: the pair of taps 0 and 1 in every 32 bits of the lower half, that of 2 and 3 in the upper half.
static inline __m256i pairs(const int16_t *weights) {
    const __m256i order = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)weights)), order);
}

void alb_resample_row__avx2(
    const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,
    const void *weights, size_t taps) {
    // Four pixels to 16-bit pairs of one channel: r0 r1 g0 g1 b0 b1 - - | r2 r3 g2 g3 b2 b3 - -
    const __m256i spread = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    for (size_t x = 0; x < dst_width; x++) {
        const int16_t *low = (const int16_t *)weights + 2 * x * taps, *high = low + taps;
        size_t first = spans[x].first, count = spans[x].count;
        __m256i low_sum = _mm256_setzero_si256(), high_sum = low_sum;
        for (size_t j = 0; j < count; j += PIXELS) {
            const uint8_t *pixel = src + (first + j) * 3;
            size_t left = (src_width - first - j) * 3;
            uint8_t tail[16] = {0};
            if (left < sizeof tail) pixel = memcpy(tail, pixel, left);
            __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pixel)), spread);
            low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(values, pairs(low + j)));
            high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(values, pairs(high + j)));
        }
        __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high_sum, LOW_BITS), low_sum);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(alb_resample_half())), ALB_RESAMPLE_BITS);
        sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
        uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(sum);
        dst[3 * x] = (uint8_t)rgb;
        dst[3 * x + 1] = (uint8_t)(rgb >> 8);
        dst[3 * x + 2] = (uint8_t)(rgb >> 16);
    }
}

void alb_resample_add__avx2(const uint8_t *src, int32_t weight, int32_t *sums, size_t count) {
    const __m256i factor = _mm256_set1_epi32(weight);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i values = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(src + i)));
        __m256i sum = _mm256_loadu_si256((const __m256i *)(sums + i));
        _mm256_storeu_si256((__m256i *)(sums + i), _mm256_add_epi32(sum, _mm256_mullo_epi32(values, factor)));
    }
    for (; i < count; i++) sums[i] += weight * src[i];
}

ALB_TARGET_END

#endif
