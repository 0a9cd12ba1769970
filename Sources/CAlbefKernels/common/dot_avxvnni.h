/// The one instruction that AVX-VNNI adds to AVX2.
#ifndef ALB_DOT_AVXVNNI_H
#define ALB_DOT_AVXVNNI_H

#include <immintrin.h>

#include "target_region.h"

ALB_TARGET_BEGIN(ALB_AVXVNNI_FEATURES)

/// acc + the products of 4 neighbouring bytes, in each of 8 lanes: lhs is unsigned, rhs signed. No intermediate saturates.
static inline __m256i alb_dot_avxvnni(__m256i acc, __m256i lhs, __m256i rhs) {
#if defined(ALB_AVXVNNI_EVEX)
    return _mm256_dpbusd_epi32(acc, lhs, rhs);
#else
    return _mm256_dpbusd_avx_epi32(acc, lhs, rhs);
#endif
}

ALB_TARGET_END

#endif
