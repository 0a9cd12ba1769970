/// Quantisation on NEON, for every kernel that turns floats into bytes; the sequence of operations is quantization.h's.
#ifndef ALB_QUANTIZATION_NEON_H
#define ALB_QUANTIZATION_NEON_H

#include "quantization.h"
#include "reduce.h"

/// rne(x) of 4 elements. A NaN counts as far below every quantised value, as in alb_rne, and not as 0.
static inline int32x4_t alb_rne_neon(float32x4_t x) { return vcvtnq_s32_f32(vmaxnmq_f32(x, vdupq_n_f32(-512.0f))); }

/// rne(x * inverse) of up to 16 elements in 16 bits, 0 behind the first n.
static inline int16x8x2_t alb_scaled_neon(const float *x, size_t n, float32x4_t inverse) {
    int16x4_t q[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++)
        q[i] = vqmovn_s32(alb_rne_neon(vmulq_f32(alb_load_neon(x + 4 * i, alb_lanes_neon(4 * (size_t)i, n)), inverse)));
    return (int16x8x2_t){{vcombine_s16(q[0], q[1]), vcombine_s16(q[2], q[3])}};
}

/// clamp(rne(x * inverse) + zero_point, 0, 255) of 16 elements.
static inline uint8x16_t alb_quantized_neon(const float *x, size_t n, float32x4_t inverse, int16x8_t zero_point) {
    const int16x8x2_t q = alb_scaled_neon(x, n, inverse);
    return vcombine_u8(vqmovun_s16(vaddq_s16(q.val[0], zero_point)), vqmovun_s16(vaddq_s16(q.val[1], zero_point)));
}

/// Quantises x[0...n) to dst[0...n), sets dst[n...padded) to 0.
/// @param padded  At most n rounded up to 16.
static inline alb_row_quantization alb_quantize_row_neon(const float *x, size_t n, uint8_t *dst, size_t padded) {
    const size_t whole = n / 16 * 16;
    // vminnmq and vmaxnmq pass over a NaN: it leaves the bounds as they are, as in the scalar form.
    float32x4_t lo[4], hi[4];
    for (int i = 0; i < 4; i++) lo[i] = hi[i] = vdupq_n_f32(0.0f);
    for (size_t j = 0; j < n; j += 16)
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) {
            const float32x4_t y = alb_load_neon(x + j + 4 * i, alb_lanes_neon(j + 4 * (size_t)i, n));
            lo[i] = vminnmq_f32(lo[i], y);
            hi[i] = vmaxnmq_f32(hi[i], y);
        }
    const float lowest = vminnmvq_f32(vminnmq_f32(vminnmq_f32(lo[0], lo[1]), vminnmq_f32(lo[2], lo[3])));
    const float highest = vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(hi[0], hi[1]), vmaxnmq_f32(hi[2], hi[3])));
    const alb_row_quantization row = alb_quantization_of(lowest, highest);
    const float32x4_t inverse = vdupq_n_f32(row.inverse);
    const int16x8_t zero_point = vdupq_n_s16((int16_t)row.zero_point);
    for (size_t j = 0; j < whole; j += 16) vst1q_u8(dst + j, alb_quantized_neon(x + j, 16, inverse, zero_point));
    if (whole < padded) {
        uint8_t tail[16];
        vst1q_u8(tail, alb_quantized_neon(x + whole, n - whole, inverse, zero_point));
        // Padding is 0, not the zero point.
        for (size_t j = whole; j < padded; j++) dst[j] = j < n ? tail[j - whole] : 0;
    }
    return row;
}

#endif
