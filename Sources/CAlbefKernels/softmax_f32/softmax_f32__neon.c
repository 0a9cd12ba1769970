#if defined(__aarch64__)

#include "softmax_f32.h"

#include "../common/functions.h"
#include "../common/reduce.h"

static inline float maximum(const float *x, size_t n) {
    float32x4_t m = vdupq_n_f32(x[0]);
    size_t j = 0;
    for (; j + 4 <= n; j += 4) m = vmaxq_f32(m, vld1q_f32(x + j));
    float greatest = vmaxvq_f32(m);
    for (; j < n; j++) greatest = x[j] > greatest ? x[j] : greatest;
    return greatest;
}

/// R16 of exp(src - m), and the terms in dst when given.
static inline float exponentials(const float *src, size_t n, float m, float *dst) {
    const float32x4_t ms = vdupq_n_f32(m);
    float32x4_t acc[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    size_t j = 0;
    for (; j + 16 <= n; j += 16)
        for (int q = 0; q < 4; q++) {
            const float32x4_t e = alb_exp_neon(vsubq_f32(vld1q_f32(src + j + 4 * q), ms));
            acc[q] = vaddq_f32(acc[q], e);
            if (dst) vst1q_f32(dst + j + 4 * q, e);
        }
    for (int q = 0; j < n; q++, j += 4) {
        const size_t lanes = alb_lanes_neon(j, n);
        const float32x4_t e = alb_exp_neon(vsubq_f32(alb_load_neon(src + j, lanes), ms));
        acc[q] = vbslq_f32(alb_mask_neon(lanes), vaddq_f32(acc[q], e), acc[q]);
        if (dst) alb_store_neon(dst + j, e, lanes);
    }
    return alb_r16_fold_neon(acc);
}

void alb_softmax_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        const float32x4_t sum = vdupq_n_f32(exponentials(src, a->n, maximum(src, a->n), dst));
        size_t j = 0;
        for (; j + 4 <= a->n; j += 4) vst1q_f32(dst + j, vdivq_f32(vld1q_f32(dst + j), sum));
        alb_store_neon(dst + j, vdivq_f32(alb_load_neon(dst + j, a->n - j), sum), a->n - j);
    }
}

void alb_log_softmax_gather_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        const float m = maximum(src, a->n);
        alb_gather_log_softmax(a, i, m, alb_log(exponentials(src, a->n, m, NULL)));
    }
}

#endif
