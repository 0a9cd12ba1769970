#if defined(__aarch64__)

#include "peak.h"

#include <arm_neon.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_DOTPROD_FEATURES)

// sdot: 16 multiply-adds.
void alb_peak_int8__dotprod(size_t steps) {
    int32x4_t acc[ALB_PEAK_CHAINS];
    int8x16_t lhs = vdupq_n_s8(3), rhs = vdupq_n_s8(2);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = vdupq_n_s32(0);
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = vdotq_laneq_s32(acc[i], lhs, rhs, 0);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

ALB_TARGET_END

#endif
