// Transposes four groups of 4 inputs at a time, so that 16 inputs of a channel lie together, and widens them to floats. A vector
// holds a group of 8 channels, half of a block.
#include "linear_backward.h"

#if defined(__x86_64__)
#include <immintrin.h>

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline void store_floats(__m128i bytes, float *dst) {
    _mm256_store_ps(dst, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
    _mm256_store_ps(dst + 8, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))));
}

/// Each 128-bit lane holds a channel, the second four channels after the first.
static inline void store_lanes(__m256i lanes, float *dst) {
    store_floats(_mm256_castsi256_si128(lanes), dst);
    store_floats(_mm256_extracti128_si256(lanes, 1), dst + 4 * ALB_PRODUCT_COLUMNS);
}

void alb_unpack_channels__avx2(const int8_t *weights, float *dst) {
    for (size_t half = 0; half < 2; half++) {
        for (size_t k = 0; k < ALB_PRODUCT_COLUMNS; k += 16) {
            const __m256i *w = (const __m256i *)(weights + k * ALB_LINEAR_BACKWARD_LANES) + half;
            float *to = dst + 8 * half * ALB_PRODUCT_COLUMNS + k;
            const __m256i a = _mm256_loadu_si256(w), b = _mm256_loadu_si256(w + 2);
            const __m256i c = _mm256_loadu_si256(w + 4), d = _mm256_loadu_si256(w + 6);
            const __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
            const __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
            store_lanes(_mm256_unpacklo_epi64(ab_low, cd_low), to);
            store_lanes(_mm256_unpackhi_epi64(ab_low, cd_low), to + ALB_PRODUCT_COLUMNS);
            store_lanes(_mm256_unpacklo_epi64(ab_high, cd_high), to + 2 * ALB_PRODUCT_COLUMNS);
            store_lanes(_mm256_unpackhi_epi64(ab_high, cd_high), to + 3 * ALB_PRODUCT_COLUMNS);
        }
    }
}

ALB_TARGET_END
#endif
