#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "resample.h"

// Weights stay whole: 32-bit lanes hold the exact sums, so that the scalar form of the weights serves.
enum { PIXELS = 8 };

void alb_resample_pack__neon(const alb_resample_span *span, size_t taps, void *weights) {
    alb_resample_pack__scalar(span, taps, weights);
}

/// Adds eight values of one channel, weighted.
static inline int32x4_t weighted(int32x4_t sum, uint8x8_t values, int32x4_t low, int32x4_t high) {
    const int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(values));
    sum = vmlaq_s32(sum, vmovl_s16(vget_low_s16(wide)), low);
    return vmlaq_s32(sum, vmovl_high_s16(wide), high);
}

void alb_resample_row__neon(
    const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,
    const void *weights, size_t taps) {
    for (size_t x = 0; x < dst_width; x++) {
        const int32_t *weight = (const int32_t *)weights + x * taps;
        const size_t first = spans[x].first, count = spans[x].count;
        int32x4_t r = vdupq_n_s32(0), g = r, b = r;
        for (size_t j = 0; j < count; j += PIXELS) {
            const uint8_t *pixel = src + (first + j) * 3;
            const size_t left = (src_width - first - j) * 3;
            uint8_t tail[PIXELS * 3] = {0};
            if (left < sizeof tail) pixel = memcpy(tail, pixel, left);
            const uint8x8x3_t rgb = vld3_u8(pixel);
            const int32x4_t low = vld1q_s32(weight + j), high = vld1q_s32(weight + j + 4);
            r = weighted(r, rgb.val[0], low, high);
            g = weighted(g, rgb.val[1], low, high);
            b = weighted(b, rgb.val[2], low, high);
        }
        dst[3 * x] = alb_resample_clamp(alb_resample_half() + vaddvq_s32(r));
        dst[3 * x + 1] = alb_resample_clamp(alb_resample_half() + vaddvq_s32(g));
        dst[3 * x + 2] = alb_resample_clamp(alb_resample_half() + vaddvq_s32(b));
    }
}

void alb_resample_add__neon(const uint8_t *src, int32_t weight, int32_t *sums, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const int16x8_t values = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(src + i)));
        vst1q_s32(sums + i, vmlaq_n_s32(vld1q_s32(sums + i), vmovl_s16(vget_low_s16(values)), weight));
        vst1q_s32(sums + i + 4, vmlaq_n_s32(vld1q_s32(sums + i + 4), vmovl_high_s16(values), weight));
    }
    for (; i < count; i++) sums[i] += weight * src[i];
}

#endif
