#ifndef ALB_PACKED_BYTES_AVX512_H
#define ALB_PACKED_BYTES_AVX512_H

#include <immintrin.h>
#include <stddef.h>

#include "quantization.h"
#include "reduce.h"
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

/// A row of `k` elements to bytes, zeros behind them up to `padded`, which is k rounded up to a multiple of 4.
static inline void alb_quantize_row_avx512(
    const float *src, size_t k, alb_row_quantization row, uint8_t *dst, size_t padded) {
    const __m512 inverse = _mm512_set1_ps(row.inverse);
    const __m512i zero_point = _mm512_set1_epi32(row.zero_point);
    size_t j = 0;
    for (; j + 64 <= k; j += 64) _mm512_storeu_si512(dst + j, alb_quantized_bytes_avx512(src + j, inverse, zero_point));
    for (; j < padded; j += 16) {
        const __mmask16 present = alb_mask_avx512(k - j), stored = alb_mask_avx512(padded - j);
        const __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(present, src + j), inverse);
        __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(x), zero_point);
        // Padding is 0, not the zero point.
        q = _mm512_maskz_max_epi32(present, q, _mm512_setzero_si512());
        _mm_mask_storeu_epi8(dst + j, stored, _mm512_cvtusepi32_epi8(q));
    }
}

ALB_TARGET_END

#endif
