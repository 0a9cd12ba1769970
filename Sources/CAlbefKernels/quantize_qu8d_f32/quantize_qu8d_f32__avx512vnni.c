#if defined(__x86_64__)

#include "quantize_qu8d_f32.h"

#include <immintrin.h>

#include "../common/packed_bytes_avx512.h"
#include "../common/quantization.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

#define LANES 16

/// clamp(rne(x * inverse) + zero_point, 0, 255) in the lowest byte of each lane. An x that is not finite converts to the least
/// integer and ends at 0, as in the scalar form.
static inline __m128i quantized(__m512 x, __m512 inverse, __m512i zero_point) {
    __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)), zero_point);
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512()));
}

void alb_quantize_qu8d_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_quantize_args *a = context;
    const size_t whole = a->k / LANES * LANES;
    const __mmask16 tail = alb_mask_avx512(a->k - whole), tail_padded = alb_mask_avx512(a->dst_stride - whole);
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        uint8_t *dst = a->dst + i * a->dst_stride;
        // The element comes first: a NaN leaves the bound as it is, as in the scalar form.
        __m512 lo = _mm512_setzero_ps(), hi = _mm512_setzero_ps();
        for (size_t j = 0; j < whole; j += LANES) {
            __m512 x = _mm512_loadu_ps(src + j);
            lo = _mm512_min_ps(x, lo);
            hi = _mm512_max_ps(x, hi);
        }
        __m512 last = _mm512_maskz_loadu_ps(tail, src + whole);
        lo = _mm512_min_ps(last, lo);
        hi = _mm512_max_ps(last, hi);
        alb_row_quantization row = alb_quantization_of(_mm512_reduce_min_ps(lo), _mm512_reduce_max_ps(hi));

        const __m512 inverse = _mm512_set1_ps(row.inverse);
        const __m512i zero_point = _mm512_set1_epi32(row.zero_point);
        size_t j = 0;
        for (; j + 4 * LANES <= whole; j += 4 * LANES)
            _mm512_storeu_si512(dst + j, alb_quantized_bytes_avx512(src + j, inverse, zero_point));
        for (; j < whole; j += LANES)
            _mm_storeu_si128((__m128i *)(dst + j), quantized(_mm512_loadu_ps(src + j), inverse, zero_point));
        // Padding is 0, not the zero point.
        __m128i q = _mm_maskz_mov_epi8(tail, quantized(last, inverse, zero_point));
        _mm_mask_storeu_epi8(dst + whole, tail_padded, q);
        a->scales[i] = row.scale;
        a->zero_points[i] = row.zero_point;
    }
}

ALB_TARGET_END

#endif
