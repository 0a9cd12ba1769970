/// Correcting int32 sums by "zero point times column sum" in one instruction, vpdpwssd.
#ifndef ALB_ZERO_POINT_AVX512_H
#define ALB_ZERO_POINT_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#include "target_region.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// An int32 as two int16 whose product with (x, 128 x) adds up to x times it: the low 7 bits and the rest. Holds for sums of at
/// most 32 768 int8 values that are not -128.
static inline __m512i alb_split_sums_avx512(__m512i sums) {
    const __m512i low = _mm512_and_si512(sums, _mm512_set1_epi32(127));
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_srai_epi32(sums, 7), 16));
}

/// The negative zero point, 0...255, as two int16 that go with alb_split_sums_avx512.
static inline int32_t alb_split_zero_point(int32_t zero_point) {
    const uint32_t low = (uint16_t)(int16_t)-zero_point, high = (uint16_t)(int16_t)(-128 * zero_point);
    return (int32_t)(low | high << 16);
}

/// As alb_split_zero_point, in each lane.
static inline __m512i alb_split_zero_point_avx512(int32_t zero_point) {
    return _mm512_set1_epi32(alb_split_zero_point(zero_point));
}

ALB_TARGET_END

#endif
