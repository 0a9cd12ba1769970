#if defined(__x86_64__)

#include "peak.h"

#include <immintrin.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

// vpmaddubsw, vpmaddwd by ones and vpaddd: 32 multiply-adds.
void alb_peak_int8__avx2(size_t steps) {
    __m256i acc[ALB_PEAK_CHAINS], lhs = _mm256_set1_epi8(3), rhs = _mm256_set1_epi8(2);
    const __m256i ones = _mm256_set1_epi16(1);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = _mm256_setzero_si256();
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            // Else one product would serve all steps.
            ALB_PEAK_KEEP_VECTOR(lhs);
            __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(lhs, rhs), ones);
            acc[i] = _mm256_add_epi32(acc[i], product);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

void alb_peak_f32__avx2(size_t steps) {
    __m256 acc[ALB_PEAK_CHAINS], lhs = _mm256_set1_ps(0.5f), rhs = _mm256_set1_ps(1.0f);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = _mm256_setzero_ps();
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = _mm256_fmadd_ps(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

ALB_TARGET_END

#endif
