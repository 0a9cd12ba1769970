#if defined(__aarch64__)

#include "peak.h"

#include <arm_neon.h>

#include "../common/target_region.h"

// smull, smlal and sadalp: 16 multiply-adds.
void alb_peak_int8__neon(size_t steps) {
    int32x4_t acc[ALB_PEAK_CHAINS];
    int8x8_t lhs = vdup_n_s8(3), rhs = vdup_n_s8(2);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = vdupq_n_s32(0);
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            int16x8_t products = vmull_s8(lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(products);
            products = vmlal_s8(products, lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(products);
            acc[i] = vpadalq_s16(acc[i], products);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

void alb_peak_f32__neon(size_t steps) {
    float32x4_t acc[ALB_PEAK_CHAINS], lhs = vdupq_n_f32(0.5f), rhs = vdupq_n_f32(1.0f);
    for (int i = 0; i < ALB_PEAK_CHAINS; i++) acc[i] = vdupq_n_f32(0.0f);
    for (size_t s = 0; s < steps; s++)
#pragma clang loop unroll(full)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            acc[i] = vfmaq_f32(acc[i], lhs, rhs);
            ALB_PEAK_KEEP_VECTOR(acc[i]);
        }
}

#endif
