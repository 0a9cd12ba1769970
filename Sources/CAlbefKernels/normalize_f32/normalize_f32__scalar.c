#include "normalize_f32.h"

#include "../common/reduce.h"

void alb_l2_normalize_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float length = sqrtf(alb_r16_dot(src, src, a->n));
        length = length > 1e-12f ? length : 1e-12f;
        for (size_t j = 0; j < a->n; j++) dst[j] = src[j] / length;
    }
}

void alb_sum_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) a->dst[i * a->dst_stride] = alb_r16_sum(a->src + i * a->src_stride, a->n);
}
