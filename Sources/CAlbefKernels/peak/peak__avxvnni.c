#if defined(__x86_64__)

#include "peak.h"

#include <immintrin.h>

#include "../common/dot_avxvnni.h"

ALB_TARGET_BEGIN(ALB_AVXVNNI_FEATURES)

// vpdpbusd: 32 multiply-adds. Floats have nothing beyond AVX2 here.
void alb_peak_int8__avxvnni(size_t steps) {
    __m256i acc[ALB_PEAK_CHAINS], lhs = _mm256_set1_epi8(3), rhs = _mm256_set1_epi8(2);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = _mm256_setzero_si256();
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = alb_dot_avxvnni(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

ALB_TARGET_END

#endif
