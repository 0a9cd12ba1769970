// Transposes four groups of 4 inputs at a time, so that 16 inputs of a channel lie together, and widens them to floats.
#include "linear_backward.h"

#if defined(__x86_64__)
#include <immintrin.h>

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline void store_floats(__m128i bytes, float *dst) {
    _mm512_store_ps(dst, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

/// Each 128-bit lane holds a channel, four channels after the lane before.
static inline void store_lanes(__m512i lanes, float *dst) {
    store_floats(_mm512_castsi512_si128(lanes), dst);
    store_floats(_mm512_extracti32x4_epi32(lanes, 1), dst + 4 * ALB_PRODUCT_COLUMNS);
    store_floats(_mm512_extracti32x4_epi32(lanes, 2), dst + 8 * ALB_PRODUCT_COLUMNS);
    store_floats(_mm512_extracti32x4_epi32(lanes, 3), dst + 12 * ALB_PRODUCT_COLUMNS);
}

void alb_unpack_channels__avx512vnni(const int8_t *weights, float *dst) {
    for (size_t k = 0; k < ALB_PRODUCT_COLUMNS; k += 16) {
        const int8_t *w = weights + k * ALB_LINEAR_BACKWARD_LANES;
        const __m512i a = _mm512_loadu_si512(w), b = _mm512_loadu_si512(w + 64);
        const __m512i c = _mm512_loadu_si512(w + 128), d = _mm512_loadu_si512(w + 192);
        const __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
        const __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
        store_lanes(_mm512_unpacklo_epi64(ab_low, cd_low), dst + k);
        store_lanes(_mm512_unpackhi_epi64(ab_low, cd_low), dst + k + ALB_PRODUCT_COLUMNS);
        store_lanes(_mm512_unpacklo_epi64(ab_high, cd_high), dst + k + 2 * ALB_PRODUCT_COLUMNS);
        store_lanes(_mm512_unpackhi_epi64(ab_high, cd_high), dst + k + 3 * ALB_PRODUCT_COLUMNS);
    }
}

ALB_TARGET_END
#endif
