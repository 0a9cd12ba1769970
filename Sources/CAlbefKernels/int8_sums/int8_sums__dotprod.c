#if defined(__aarch64__)

#include "int8_sums.h"

#include <arm_neon.h>
#include <string.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_DOTPROD_FEATURES)

// sdot by element: 4 bytes of a row meet 4 channels. It multiplies signed bytes only, so the activations are lowered by 128.
// 6 rows by 16 channels: 24 accumulators and 6 registers of activations of the 32, which leaves 2 for weights as they come;
// 96 sdot for 22 loads and 6 exclusive ors.
#define HEIGHT 6
#define QUARTERS 4
#define LANE_BYTES (ALB_SUMS_LANES * ALB_SUMS_GROUP)

#define ADD_GROUP(lane)                                                                                 \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < QUARTERS; v++) {                             \
        const int8x16_t weights = vld1q_s8(rhs + (g + (lane)) * LANE_BYTES + 16 * v);                   \
        _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)                               \
            acc[r][v] = vdotq_laneq_s32(acc[r][v], weights, bytes[r], lane);                            \
    }

/// Adds the sums of `rows` rows, a constant where it is inlined.
static inline __attribute__((always_inline)) void accumulate(
    const int rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    const uint8x16_t flip = vdupq_n_u8(0x80);  // b ^ 0x80 is b - 128 as a signed byte
    int32x4_t acc[HEIGHT][QUARTERS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int v = 0; v < QUARTERS; v++) acc[r][v] = vdupq_n_s32(0);
    size_t g = 0;
    for (; g + 4 <= groups; g += 4) {
        int8x16_t bytes[HEIGHT];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            const uint8x16_t sixteen = vld1q_u8(lhs + (size_t)r * lhs_stride + g * ALB_SUMS_GROUP);
            bytes[r] = vreinterpretq_s8_u8(veorq_u8(sixteen, flip));
        }
        ADD_GROUP(0)
        ADD_GROUP(1)
        ADD_GROUP(2)
        ADD_GROUP(3)
    }
    for (; g < groups; g++) {
        int8x16_t bytes[HEIGHT];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            uint32_t four;
            memcpy(&four, lhs + (size_t)r * lhs_stride + g * ALB_SUMS_GROUP, sizeof four);
            bytes[r] = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(four)), flip));
        }
        ADD_GROUP(0)
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int v = 0; v < QUARTERS; v++)
            vst1q_s32(sums[r] + 4 * v, vaddq_s32(vld1q_s32(sums[r] + 4 * v), acc[r][v]));
}

static void accumulate_any(
    size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    switch (rows) {
    case 1: accumulate(1, groups, lhs, lhs_stride, rhs, sums); break;
    case 2: accumulate(2, groups, lhs, lhs_stride, rhs, sums); break;
    case 3: accumulate(3, groups, lhs, lhs_stride, rhs, sums); break;
    case 4: accumulate(4, groups, lhs, lhs_stride, rhs, sums); break;
    case 5: accumulate(5, groups, lhs, lhs_stride, rhs, sums); break;
    default: accumulate(6, groups, lhs, lhs_stride, rhs, sums); break;
    }
}

static void sum(
    size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    memset(sums, 0, rows * sizeof *sums);
    for (size_t g = 0; g < groups; g += ALB_SUMS_CHUNK) {
        const size_t depth = groups - g < ALB_SUMS_CHUNK ? groups - g : ALB_SUMS_CHUNK;
        for (size_t r = 0; r < rows;) {
            const size_t band = alb_band_height(rows, r, HEIGHT);
            accumulate_any(
                band, depth, lhs + r * lhs_stride + g * ALB_SUMS_GROUP, lhs_stride, rhs + g * LANE_BYTES, sums + r);
            r += band;
        }
    }
}

ALB_TARGET_END

const alb_int8_sums alb_int8_sums__dotprod = {sum, 128};

#endif
