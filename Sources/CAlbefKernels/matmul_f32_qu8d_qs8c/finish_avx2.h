/// From int32 sums to outputs, 8 channels at a time: what the 256-bit variants share.
#ifndef ALB_MATMUL_INT8_FINISH_AVX2_H
#define ALB_MATMUL_INT8_FINISH_AVX2_H

#include <immintrin.h>

#include "../common/epilogue_avx2.h"
#include "../common/gelu_int8.h"
#include "matmul_f32_qu8d_qs8c.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

#define ALB_FINISH_LANES 8

/// Finishes `rows` rows of one block of 16 channels, or of what there is of it.
/// @param sums  Sums of products of the first row; `stride` int32 from row to row.
static inline void alb_matmul_int8_finish_avx2(
    const alb_matmul_int8_args *a, size_t row, size_t rows, size_t block, const int32_t *sums, size_t stride) {
    for (size_t half = 0; half < ALB_BLOCK; half += ALB_FINISH_LANES) {
        const size_t channel = block + half;
        if (channel >= a->n) break;
        const __m256i mask = alb_mask_avx2(alb_lanes_avx2(channel, a->n));
        const __m256i rhs_sums = _mm256_loadu_si256((const __m256i *)(a->rhs_sums + channel));
        const __m256 rhs_scales = _mm256_loadu_ps(a->rhs_scales + channel);
        const __m256 bias =
            a->epilogue.bias ? _mm256_maskload_ps(a->epilogue.bias + channel, mask) : _mm256_setzero_ps();
        for (size_t r = 0; r < rows; r++) {
            const __m256i products = _mm256_loadu_si256((const __m256i *)(sums + r * stride + half));
            __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(a->lhs_zero_points[row + r]), rhs_sums);
            __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a->lhs_scales[row + r]), rhs_scales);
            __m256 y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(products, zero)), scale, bias);
            y = alb_finish_avx2(y, alb_gelu_int8_avx2, &a->epilogue, row + r, channel, mask);
            float *dst = a->dst + (row + r) * a->dst_stride + channel;
            // A masked store is microcoded on some CPUs: a dozen cycles.
            if (channel + ALB_FINISH_LANES <= a->n)
                _mm256_storeu_ps(dst, y);
            else
                _mm256_maskstore_ps(dst, mask, y);
        }
    }
}

ALB_TARGET_END

#endif
