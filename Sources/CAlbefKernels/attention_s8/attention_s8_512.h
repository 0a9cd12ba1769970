/// What both files of the AVX-512 variant need.
#ifndef ALB_ATTENTION_S8_512_H
#define ALB_ATTENTION_S8_512_H

#include <immintrin.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// rne(x) as int32.
static inline __m512i nearest(__m512 x) {
    return _mm512_cvt_roundps_epi32(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// Rows that are quantised side by side: finding a row's bound and dividing by it are chains that wait for themselves.
#define FOUR ALB_PRAGMA(clang loop unroll(full)) for (size_t r = 0; r < 4; r++)

ALB_TARGET_END

#endif
