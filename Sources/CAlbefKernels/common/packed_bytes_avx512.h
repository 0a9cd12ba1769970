#ifndef ALB_PACKED_BYTES_AVX512_H
#define ALB_PACKED_BYTES_AVX512_H

#include <immintrin.h>
#include <stddef.h>

#include "target_region.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// Four vectors of int32 as bytes in their order, each clamped to 0...255.
static inline __m512i alb_packed_bytes_avx512(const __m512i q[4]) {
    // Packing works within 128-bit lanes: 4 bytes of each of the four vectors, put in order at the end.
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    return _mm512_permutexvar_epi32(
        order, _mm512_packus_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3])));
}

/// clamp(rne(x * inverse) + zero_point, 0, 255) of 64 elements. An x that is not finite converts to the least integer and ends
/// at 0, as in the scalar form.
static inline __m512i alb_quantized_bytes_avx512(const float *x, __m512 inverse, __m512i zero_point) {
    __m512i q[4];
#pragma clang loop unroll(full)
    for (size_t v = 0; v < 4; v++)
        q[v] = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * v), inverse)), zero_point);
    return alb_packed_bytes_avx512(q);
}

ALB_TARGET_END

#endif
