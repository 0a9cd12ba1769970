#if defined(__aarch64__)

#include "int8_sums.h"

#include <arm_neon.h>
#include <string.h>

#include "../common/target_region.h"

ALB_TARGET_BEGIN(ALB_I8MM_FEATURES)

// usmmla: 8 bytes of two rows meet 8 bytes of two channels, 32 products of unsigned with signed bytes. Two groups, which lie 64
// bytes apart, are zipped into 8 bytes a channel, once for all rows of a tile: beside the products zipping is as dear as they
// are, and a third of them for each six rows. 6 rows by 16 channels: 24 accumulators, 3 registers of activations, 5 for weights;
// 24 usmmla for 11 loads and 3 insertions.
#define PAIRS 3
#define COLUMNS (ALB_SUMS_LANES / 2)
#define QUARTERS 4
#define STEP_BYTES (2 * ALB_SUMS_LANES * ALB_SUMS_GROUP)
#define STEP_DEPTH (2 * ALB_SUMS_GROUP)

/// Zips groups in twos: [groups / 2][16][8], a last odd group with zeros.
static void zip(size_t groups, const int8_t *rhs, int8_t *dst) {
    const size_t half = STEP_BYTES / 2;
    for (size_t g = 0; g < groups; g += 2) {
        for (int v = 0; v < QUARTERS; v++) {
            const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(rhs + g * half + 16 * v));
            int32x4_t second = vdupq_n_s32(0);
            if (g + 1 < groups) second = vreinterpretq_s32_s8(vld1q_s8(rhs + (g + 1) * half + 16 * v));
            vst1q_s8(dst + g * half + 32 * v, vreinterpretq_s8_s32(vzip1q_s32(first, second)));
            vst1q_s8(dst + g * half + 32 * v + 16, vreinterpretq_s8_s32(vzip2q_s32(first, second)));
        }
    }
}

static inline __attribute__((always_inline)) void add_step(
    const int pairs, const uint8x16_t *bytes, const int8_t *rhs, int32x4_t acc[PAIRS][COLUMNS]) {
#pragma clang loop unroll(full)
    for (int c = 0; c < COLUMNS; c++) {
        const int8x16_t weights = vld1q_s8(rhs + 16 * c);
#pragma clang loop unroll(full)
        for (int p = 0; p < pairs; p++) acc[p][c] = vusmmlaq_s32(acc[p][c], bytes[p], weights);
    }
}

static inline uint8x8_t load_four(const uint8_t *src) {
    uint32_t four;
    memcpy(&four, src, sizeof four);
    return vcreate_u8(four);
}

static inline void add_to(int32_t *dst, int64x2_t sums) {
    vst1q_s32(dst, vaddq_s32(vld1q_s32(dst), vreinterpretq_s32_s64(sums)));
}

/// Adds the sums of `pairs` pairs of rows, a constant where it is inlined. An odd last row is its own partner.
static inline __attribute__((always_inline)) void accumulate(
    const int pairs, size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    const uint8_t *upper[PAIRS], *lower[PAIRS];
    int32x4_t acc[PAIRS][COLUMNS];
#pragma clang loop unroll(full)
    for (int p = 0; p < pairs; p++) {
        const size_t row = 2 * (size_t)p, partner = row + 1 < rows ? row + 1 : row;
        upper[p] = lhs + row * lhs_stride;
        lower[p] = lhs + partner * lhs_stride;
#pragma clang loop unroll(full)
        for (int c = 0; c < COLUMNS; c++) acc[p][c] = vdupq_n_s32(0);
    }
    uint8x16_t bytes[PAIRS];
    const size_t steps = groups / 2;
    for (size_t s = 0; s < steps; s++) {
#pragma clang loop unroll(full)
        for (int p = 0; p < pairs; p++)
            bytes[p] = vcombine_u8(vld1_u8(upper[p] + s * STEP_DEPTH), vld1_u8(lower[p] + s * STEP_DEPTH));
        add_step(pairs, bytes, rhs + s * STEP_BYTES, acc);
    }
    if (groups % 2) {
#pragma clang loop unroll(full)
        for (int p = 0; p < pairs; p++)
            bytes[p] = vcombine_u8(load_four(upper[p] + steps * STEP_DEPTH), load_four(lower[p] + steps * STEP_DEPTH));
        add_step(pairs, bytes, rhs + steps * STEP_BYTES, acc);
    }
    // An accumulator holds two channels of the upper row, then of the lower.
#pragma clang loop unroll(full)
    for (int p = 0; p < pairs; p++)
#pragma clang loop unroll(full)
        for (int v = 0; v < QUARTERS; v++) {
            const int64x2_t low = vreinterpretq_s64_s32(acc[p][2 * v]), high = vreinterpretq_s64_s32(acc[p][2 * v + 1]);
            add_to(sums[2 * p] + 4 * v, vtrn1q_s64(low, high));
            if (2 * (size_t)p + 1 < rows) add_to(sums[2 * p + 1] + 4 * v, vtrn2q_s64(low, high));
        }
}

static void accumulate_any(
    size_t pairs, size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    switch (pairs) {
    case 1: accumulate(1, rows, groups, lhs, lhs_stride, rhs, sums); break;
    case 2: accumulate(2, rows, groups, lhs, lhs_stride, rhs, sums); break;
    default: accumulate(3, rows, groups, lhs, lhs_stride, rhs, sums); break;
    }
}

static void sum(
    size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs,
    int32_t (*sums)[ALB_SUMS_LANES]) {
    int8_t zipped[ALB_SUMS_CHUNK / 2 * STEP_BYTES];
    const size_t pairs = (rows + 1) / 2;
    memset(sums, 0, rows * sizeof *sums);
    for (size_t g = 0; g < groups; g += ALB_SUMS_CHUNK) {
        const size_t depth = groups - g < ALB_SUMS_CHUNK ? groups - g : ALB_SUMS_CHUNK;
        zip(depth, rhs + g * (STEP_BYTES / 2), zipped);
        for (size_t p = 0; p < pairs;) {
            const size_t band = alb_band_height(pairs, p, PAIRS), r = 2 * p;
            accumulate_any(
                band, rows - r, depth, lhs + r * lhs_stride + g * ALB_SUMS_GROUP, lhs_stride, zipped, sums + r);
            p += band;
        }
    }
}

ALB_TARGET_END

const alb_int8_sums alb_int8_sums__i8mm = {sum, 0};

#endif
