#if defined(__x86_64__)

#include "quantize_qu8d_f32.h"

#include <immintrin.h>

#include "../common/quantization.h"
#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

#define LANES 8

/// rne(x * inverse) + zero_point of 8 elements, not yet clamped. An x that is not finite converts to the least integer and ends
/// at 0, as in the scalar form.
static inline __m256i shifted(const float *src, __m256 inverse, __m256i zero_point) {
    return _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(src), inverse)), zero_point);
}

static inline float least(__m256 x) {
    __m128 four = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float greatest(__m256 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

void alb_quantize_qu8d_f32__avx2(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_quantize_args *a = context;
    const size_t whole = a->k / LANES * LANES;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        uint8_t *dst = a->dst + i * a->dst_stride;
        // The element comes first: a NaN leaves the bound as it is, as in the scalar form.
        __m256 los = _mm256_setzero_ps(), his = _mm256_setzero_ps();
        for (size_t j = 0; j < whole; j += LANES) {
            __m256 x = _mm256_loadu_ps(src + j);
            los = _mm256_min_ps(x, los);
            his = _mm256_max_ps(x, his);
        }
        float lo = least(los), hi = greatest(his);
        for (size_t j = whole; j < a->k; j++) {
            lo = src[j] < lo ? src[j] : lo;
            hi = src[j] > hi ? src[j] : hi;
        }
        alb_row_quantization row = alb_quantization_of(lo, hi);

        const __m256 inverse = _mm256_set1_ps(row.inverse);
        const __m256i zero_point = _mm256_set1_epi32(row.zero_point);
        for (size_t j = 0; j < whole; j += LANES) {
            // Packing saturates twice: to -32768...32767, which keeps every value on its side of 0...255, then to 0...255.
            __m256i q = shifted(src + j, inverse, zero_point);
            __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
            _mm_storel_epi64((__m128i *)(dst + j), _mm_packus_epi16(words, words));
        }
        for (size_t j = whole; j < a->k; j++) dst[j] = alb_quantized(src[j], row);
        for (size_t j = a->k; j < a->dst_stride; j++) dst[j] = 0;
        a->scales[i] = row.scale;
        a->zero_points[i] = row.zero_point;
    }
}

ALB_TARGET_END

#endif
