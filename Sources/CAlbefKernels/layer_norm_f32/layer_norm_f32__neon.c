#if defined(__aarch64__)

#include "layer_norm_f32.h"

#include "../common/reduce.h"

/// Columns [j, j + lanes) of row i; lanes is a constant 4 where whole vectors are left.
static inline __attribute__((always_inline)) void columns(
    const alb_layer_norm_args *a, size_t i, size_t j, size_t lanes, float32x4_t means, float32x4_t rs) {
    const float32x4_t x = alb_load_neon(a->src + i * a->src_stride + j, lanes);
    const float32x4_t normalized = vmulq_f32(vsubq_f32(x, means), rs);
    if (a->normalized) alb_store_neon(a->normalized + i * a->n + j, normalized, lanes);
    const float32x4_t weight = alb_load_neon(a->weight + j, lanes), bias = alb_load_neon(a->bias + j, lanes);
    alb_store_neon(a->dst + i * a->dst_stride + j, vfmaq_f32(bias, normalized, weight), lanes);
}

void alb_layer_norm_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_layer_norm_args *a = context;
    const float n = (float)a->n;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        const float mean = alb_r16_sum_neon(src, a->n) / n;
        const float variance = alb_r16_deviation_neon(src, mean, a->n) / n;
        const float r = 1.0f / sqrtf(variance + a->epsilon);
        const float32x4_t means = vdupq_n_f32(mean), rs = vdupq_n_f32(r);
        size_t j = 0;
        for (; j + 4 <= a->n; j += 4) columns(a, i, j, 4, means, rs);
        columns(a, i, j, a->n - j, means, rs);
        if (a->reciprocals) a->reciprocals[i] = r;
    }
}

#endif
