// Transposes four groups of 4 inputs at a time, so that 16 inputs of a channel lie together, and widens them to floats. A vector
// holds a group of 4 channels, a quarter of a block.
#include "linear_backward.h"

#if defined(__aarch64__)
#include <arm_neon.h>

/// 16 inputs of a channel.
static inline void store_floats(int64x2_t inputs, float *dst) {
    const int8x16_t bytes = vreinterpretq_s8_s64(inputs);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    vst1q_f32(dst, vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
    vst1q_f32(dst + 4, vcvtq_f32_s32(vmovl_high_s16(low)));
    vst1q_f32(dst + 8, vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))));
    vst1q_f32(dst + 12, vcvtq_f32_s32(vmovl_high_s16(high)));
}

static inline int32x4_t load_groups(const int8_t *weights) { return vreinterpretq_s32_s8(vld1q_s8(weights)); }

void alb_unpack_channels__neon(const int8_t *weights, float *dst) {
    for (size_t quarter = 0; quarter < 4; quarter++) {
        for (size_t k = 0; k < ALB_PRODUCT_COLUMNS; k += 16) {
            const int8_t *w = weights + k * ALB_LINEAR_BACKWARD_LANES + 16 * quarter;
            float *to = dst + 4 * quarter * ALB_PRODUCT_COLUMNS + k;
            const int32x4_t a = load_groups(w), b = load_groups(w + 64);
            const int32x4_t c = load_groups(w + 128), d = load_groups(w + 192);
            // Channels 0 and 2, and 1 and 3, of two groups.
            const int64x2_t ab_even = vreinterpretq_s64_s32(vtrn1q_s32(a, b)), ab_odd = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
            const int64x2_t cd_even = vreinterpretq_s64_s32(vtrn1q_s32(c, d)), cd_odd = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
            store_floats(vtrn1q_s64(ab_even, cd_even), to);
            store_floats(vtrn1q_s64(ab_odd, cd_odd), to + ALB_PRODUCT_COLUMNS);
            store_floats(vtrn2q_s64(ab_even, cd_even), to + 2 * ALB_PRODUCT_COLUMNS);
            store_floats(vtrn2q_s64(ab_odd, cd_odd), to + 3 * ALB_PRODUCT_COLUMNS);
        }
    }
}

#endif
