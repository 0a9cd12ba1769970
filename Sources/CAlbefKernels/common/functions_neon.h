/// The NEON forms of functions.h, which includes this: four lanes, the same sequence of IEEE operations. Note the order of
/// arguments: vfmaq_f32(c, a, b) is fmaf(a, b, c).
#ifndef ALB_FUNCTIONS_NEON_H
#define ALB_FUNCTIONS_NEON_H

#include "functions.h"

static inline float32x4_t alb_exp_neon(float32x4_t x) {
    const float32x4_t lowest = vdupq_n_f32(ALB_EXP_LOWEST), highest = vdupq_n_f32(ALB_EXP_HIGHEST);
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t c = vminq_f32(vmaxq_f32(x, lowest), highest);
    float32x4_t n = vrndnq_f32(vmulq_f32(c, vdupq_n_f32(ALB_EXP_LOG2E)));
    float32x4_t r = vfmaq_f32(c, n, vdupq_n_f32(-ALB_EXP_LN2_HIGH));
    r = vfmaq_f32(r, n, vdupq_n_f32(-ALB_EXP_LN2_LOW));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(ALB_EXP_E5), vdupq_n_f32(ALB_EXP_E6), r);
    p = vfmaq_f32(vdupq_n_f32(ALB_EXP_E4), p, r);
    p = vfmaq_f32(vdupq_n_f32(ALB_EXP_E3), p, r);
    p = vfmaq_f32(vdupq_n_f32(ALB_EXP_E2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    int32x4_t shifted = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    float32x4_t y = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), shifted));
    y = vbslq_f32(vcltq_f32(x, lowest), vdupq_n_f32(0.0f), y);
    y = vbslq_f32(vcgtq_f32(x, highest), vdupq_n_f32(INFINITY), y);
    return vbslq_f32(vceqq_f32(x, x), y, x);
}

static inline float32x4_t alb_log_neon(float32x4_t x) {
    uint32x4_t small = vcltq_f32(x, vdupq_n_f32(ALB_LOG_SMALLEST_NORMAL));
    float32x4_t scaled = vbslq_f32(small, vmulq_f32(x, vdupq_n_f32(ALB_LOG_DENORMAL_SCALE)), x);
    const int32x4_t base = vdupq_n_s32(ALB_LOG_SQRT_HALF_BITS);
    int32x4_t bits = vsubq_s32(vreinterpretq_s32_f32(scaled), base);
    int32x4_t lowered = vandq_s32(vreinterpretq_s32_u32(small), vdupq_n_s32(ALB_LOG_DENORMAL_EXPONENT));
    float32x4_t e = vcvtq_f32_s32(vsubq_s32(vshrq_n_s32(bits, 23), lowered));
    int32x4_t mantissa = vaddq_s32(vandq_s32(bits, vdupq_n_s32(0x7fffff)), base);
    float32x4_t f = vsubq_f32(vreinterpretq_f32_s32(mantissa), vdupq_n_f32(1.0f));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L7), vdupq_n_f32(ALB_LOG_L8), f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L6), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L5), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L4), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L3), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L2), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L1), p, f);
    p = vfmaq_f32(vdupq_n_f32(ALB_LOG_L0), p, f);
    float32x4_t square = vmulq_f32(f, f);
    float32x4_t y = vfmaq_f32(vmulq_f32(e, vdupq_n_f32(ALB_EXP_LN2_LOW)), vmulq_f32(square, f), p);
    y = vfmaq_f32(y, vdupq_n_f32(-0.5f), square);
    y = vfmaq_f32(vaddq_f32(f, y), e, vdupq_n_f32(ALB_EXP_LN2_HIGH));
    const float32x4_t zero = vdupq_n_f32(0.0f);
    y = vbslq_f32(vcltq_f32(x, vdupq_n_f32(INFINITY)), y, x);
    y = vbslq_f32(vcltq_f32(x, zero), vdupq_n_f32(NAN), y);
    return vbslq_f32(vceqq_f32(x, zero), vdupq_n_f32(-INFINITY), y);
}

/// Where the four bytes of each of the entries i (0...15) of a row lie: float i at bytes 4 i ... 4 i + 3.
static inline uint8x16_t alb_lookup_places_neon(int32x4_t i) {
    // The four sums of a lane do not carry into each other.
    return vreinterpretq_u8_s32(vaddq_s32(vmulq_s32(i, vdupq_n_s32(0x04040404)), vdupq_n_s32(0x03020100)));
}

/// Four entries of a row of sixteen, by the positions of their bytes: sixteen floats are one table of 64 bytes.
static inline float32x4_t alb_lookup_neon(const float *row, uint8x16_t bytes) {
    return vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4((const uint8_t *)row), bytes));
}

static inline float32x4_t alb_erf_neon(float32x4_t x) {
    float32x4_t a = vabsq_f32(x);
    float32x4_t scaled = vminq_f32(vmulq_f32(a, vdupq_n_f32(4.0f)), vdupq_n_f32(15.0f));
    int32x4_t i = vcvtq_s32_f32(scaled);
    float32x4_t t = vfmaq_f32(a, vcvtq_f32_s32(i), vdupq_n_f32(-0.25f));
    uint8x16_t bytes = alb_lookup_places_neon(i);
    float32x4_t p = alb_lookup_neon(alb_erf_coefficients[5], bytes);
    for (int k = 4; k >= 0; k--) p = vfmaq_f32(alb_lookup_neon(alb_erf_coefficients[k], bytes), p, t);
    p = vbslq_f32(vcgeq_f32(a, vdupq_n_f32(ALB_ERF_LIMIT)), vdupq_n_f32(1.0f), p);
    return vbslq_f32(vdupq_n_u32(0x80000000u), x, p);
}

static inline float32x4_t alb_gelu_neon(float32x4_t x) {
    float32x4_t e = alb_erf_neon(vmulq_f32(x, vdupq_n_f32(ALB_SQRT_HALF)));
    return vmulq_f32(vmulq_f32(vdupq_n_f32(0.5f), x), vaddq_f32(vdupq_n_f32(1.0f), e));
}

/// A selection and no vmaxq_f32, which would turn -0 into +0.
static inline float32x4_t alb_relu_neon(float32x4_t x) {
    const float32x4_t zero = vdupq_n_f32(0.0f);
    return vbslq_f32(vcgtq_f32(zero, x), zero, x);
}

#endif
