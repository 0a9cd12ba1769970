#include "softmax_f32.h"

#include "../common/functions.h"
#include "../common/reduce.h"

static float maximum(const float *x, size_t n) {
    float m = x[0];
    for (size_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

void alb_softmax_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float m = maximum(src, a->n);
        for (size_t j = 0; j < a->n; j++) dst[j] = alb_exp(src[j] - m);
        float sum = alb_r16_sum(dst, a->n);
        for (size_t j = 0; j < a->n; j++) dst[j] = dst[j] / sum;
    }
}

void alb_log_softmax_gather_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_rows_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float m = maximum(src, a->n);
        float acc[ALB_R16_LANES] = {0};
        for (size_t j = 0; j < a->n; j++) acc[j % ALB_R16_LANES] = acc[j % ALB_R16_LANES] + alb_exp(src[j] - m);
        alb_gather_log_softmax(a, i, m, alb_log(alb_r16_fold(acc)));
    }
}
