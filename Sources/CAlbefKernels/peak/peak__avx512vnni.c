#if defined(__x86_64__)

#include "peak.h"

#include <immintrin.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

// vpdpbusd: 64 multiply-adds.
void alb_peak_int8__avx512vnni(size_t steps) {
    __m512i acc[ALB_PEAK_CHAINS], lhs = _mm512_set1_epi8(3), rhs = _mm512_set1_epi8(2);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = _mm512_setzero_si512();
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

void alb_peak_f32__avx512vnni(size_t steps) {
    __m512 acc[ALB_PEAK_CHAINS], lhs = _mm512_set1_ps(0.5f), rhs = _mm512_set1_ps(1.0f);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = _mm512_setzero_ps();
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = _mm512_fmadd_ps(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

ALB_TARGET_END

#endif
