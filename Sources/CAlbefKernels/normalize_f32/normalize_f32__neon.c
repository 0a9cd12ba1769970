#if defined(__aarch64__)

#include "normalize_f32.h"

#include "../common/reduce.h"

void alb_l2_normalize_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float length = sqrtf(alb_r16_dot_neon(src, src, a->n));
        length = length > 1e-12f ? length : 1e-12f;
        const float32x4_t lengths = vdupq_n_f32(length);
        size_t j = 0;
        for (; j + 4 <= a->n; j += 4) vst1q_f32(dst + j, vdivq_f32(vld1q_f32(src + j), lengths));
        alb_store_neon(dst + j, vdivq_f32(alb_load_neon(src + j, a->n - j), lengths), a->n - j);
    }
}

void alb_sum_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++)
        a->dst[i * a->dst_stride] = alb_r16_sum_neon(a->src + i * a->src_stride, a->n);
}

#endif
