#if defined(__x86_64__)

#include "quantize_qu8d_f32.h"

#include <immintrin.h>

#include "../common/packed_bytes_avx512.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

#define LANES 16

void alb_quantize_qu8d_f32__avx512vnni(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_quantize_args *a = context;
    const size_t whole = a->k / LANES * LANES;
    const __mmask16 tail = alb_mask_avx512(a->k - whole);
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
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
        const alb_row_quantization row = alb_quantization_of(_mm512_reduce_min_ps(lo), _mm512_reduce_max_ps(hi));
        alb_quantize_row_avx512(src, a->k, row, a->dst + i * a->dst_stride, a->dst_stride);
        a->scales[i] = row.scale;
        a->zero_points[i] = row.zero_point;
    }
}

ALB_TARGET_END

#endif
