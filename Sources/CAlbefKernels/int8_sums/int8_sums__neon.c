#if defined(__aarch64__)

#include "int8_sums.h"

#include <arm_neon.h>
#include <string.h>

// ARMv8.0 has no product of bytes that sums in 32 bits. smull and smlal leave the sum of two products of signed bytes in 16 bits,
// which hold it: 2 * 128 * 127 = 32 512; sadalp adds neighbours of these into 32 bits. So the groups are taken in twos, and a
// channel's sum lies in two lanes until the end. 2 rows by 16 channels: 16 accumulators, and 36 multiply-and-add instructions
// of a row for every 5.5 that prepare its bytes.
#define HEIGHT 2
#define QUARTERS 4
#define LANE_BYTES (ALB_SUMS_LANES * ALB_SUMS_GROUP)

typedef struct {
    int32x4_t acc[HEIGHT][2 * QUARTERS];
} partial_sums;

/// Adds the products of one group: `bytes` holds each row's 4 bytes four times.
static inline __attribute__((always_inline)) void add_one(
    const int rows, const int8x16_t *bytes, const int8_t *rhs, partial_sums *sums) {
#pragma clang loop unroll(full)
    for (int v = 0; v < QUARTERS; v++) {
        const int8x16_t weights = vld1q_s8(rhs + 16 * v);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(bytes[r]));
            const int16x8_t high = vmull_high_s8(weights, bytes[r]);
            sums->acc[r][2 * v] = vpadalq_s16(sums->acc[r][2 * v], low);
            sums->acc[r][2 * v + 1] = vpadalq_s16(sums->acc[r][2 * v + 1], high);
        }
    }
}

/// Adds the products of two groups.
static inline __attribute__((always_inline)) void add_two(
    const int rows, const int8x16_t *first, const int8x16_t *second, const int8_t *rhs, partial_sums *sums) {
#pragma clang loop unroll(full)
    for (int v = 0; v < QUARTERS; v++) {
        const int8x16_t weights = vld1q_s8(rhs + 16 * v), following = vld1q_s8(rhs + LANE_BYTES + 16 * v);
        int16x8_t low[HEIGHT], high[HEIGHT];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            low[r] = vmull_s8(vget_low_s8(weights), vget_low_s8(first[r]));
            high[r] = vmull_high_s8(weights, first[r]);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            low[r] = vmlal_s8(low[r], vget_low_s8(following), vget_low_s8(second[r]));
            high[r] = vmlal_high_s8(high[r], following, second[r]);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            sums->acc[r][2 * v] = vpadalq_s16(sums->acc[r][2 * v], low[r]);
            sums->acc[r][2 * v + 1] = vpadalq_s16(sums->acc[r][2 * v + 1], high[r]);
        }
    }
}

/// Adds the sums of `rows` rows, a constant where it is inlined.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    const uint8x8_t flip = vdup_n_u8(0x80);  // b ^ 0x80 is b - 128 as a signed byte
    partial_sums partial;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int v = 0; v < 2 * QUARTERS; v++) partial.acc[r][v] = vdupq_n_s32(0);
    size_t g = 0;
    for (; g + 2 <= groups; g += 2) {
        int8x16_t first[HEIGHT], second[HEIGHT];
        for (int r = 0; r < rows; r++) {
            const uint8x8_t eight = vld1_u8(lhs + (size_t)r * lhs_stride + g * ALB_SUMS_GROUP);
            const int32x2_t bytes = vreinterpret_s32_u8(veor_u8(eight, flip));
            first[r] = vreinterpretq_s8_s32(vdupq_lane_s32(bytes, 0));
            second[r] = vreinterpretq_s8_s32(vdupq_lane_s32(bytes, 1));
        }
        add_two(rows, first, second, rhs + g * LANE_BYTES, &partial);
    }
    if (g < groups) {
        int8x16_t bytes[HEIGHT];
        for (int r = 0; r < rows; r++) {
            uint32_t four;
            memcpy(&four, lhs + (size_t)r * lhs_stride + g * ALB_SUMS_GROUP, sizeof four);
            const int32x2_t low = vreinterpret_s32_u8(veor_u8(vcreate_u8(four), flip));
            bytes[r] = vreinterpretq_s8_s32(vdupq_lane_s32(low, 0));
        }
        add_one(rows, bytes, rhs + g * LANE_BYTES, &partial);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int v = 0; v < QUARTERS; v++) {
            const int32x4_t four = vpaddq_s32(partial.acc[r][2 * v], partial.acc[r][2 * v + 1]);
            vst1q_s32(sums[r] + 4 * v, vaddq_s32(vld1q_s32(sums[r] + 4 * v), four));
        }
}

static void sum(
    size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    memset(sums, 0, rows * sizeof *sums);
    for (size_t g = 0; g < groups; g += ALB_SUMS_CHUNK) {
        const size_t depth = groups - g < ALB_SUMS_CHUNK ? groups - g : ALB_SUMS_CHUNK;
        const uint8_t *bytes = lhs + g * ALB_SUMS_GROUP;
        const int8_t *weights = rhs + g * LANE_BYTES;
        size_t r = 0;
        for (; r + 2 <= rows; r += 2) accumulate(2, depth, bytes + r * lhs_stride, lhs_stride, weights, sums + r);
        if (r < rows) accumulate(1, depth, bytes + r * lhs_stride, lhs_stride, weights, sums + r);
    }
}

const alb_int8_sums alb_int8_sums__neon = {sum, 128};

#endif
