#if defined(__aarch64__)

#include "transpose_heads_int8.h"

#include <arm_neon.h>

void alb_transpose_heads_int8__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_transpose_heads *a = context;
    static const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    const uint8x16_t turned = vld1q_u8(order);
    for (size_t part = begin; part < end; part++) {
        int32x4_t sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        int8_t *values = a->values + part * a->head_blocks * ALB_SQUARE;
        for (size_t n = 0; n < a->head_blocks; n++, values += ALB_SQUARE) {
            const int8_t *src = alb_square_of(a, part, n);
#pragma clang loop unroll(full)
            for (int c = 0; c < 4; c++)
#pragma clang loop unroll(full)
                for (int k = 0; k < 4; k++) {
                    const int8x16_t x = vqtbl1q_s8(vld1q_s8(src + 64 * k + 16 * c), turned);
                    sums[k] = vpadalq_s16(sums[k], vpaddlq_s8(x));
                    vst1q_s8(values + 64 * c + 16 * k, x);
                }
        }
        for (size_t k = 0; k < 4; k++) {
            vst1q_f32(a->scales + part * ALB_BLOCK + 4 * k, vdupq_n_f32(1.0f));
            vst1q_s32(a->sums + part * ALB_BLOCK + 4 * k, sums[k]);
        }
    }
}

#endif
