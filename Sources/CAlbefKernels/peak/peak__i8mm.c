#if defined(__aarch64__)

#include "peak.h"

#include <arm_neon.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_I8MM_FEATURES)

// usmmla: 32 multiply-adds.
void alb_peak_int8__i8mm(size_t steps) {
    int32x4_t acc[ALB_PEAK_CHAINS];
    uint8x16_t lhs = vdupq_n_u8(3);
    int8x16_t rhs = vdupq_n_s8(2);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = vdupq_n_s32(0);
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = vusmmlaq_s32(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

ALB_TARGET_END

#endif
