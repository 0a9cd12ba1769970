#include "layer_norm_f32.h"

#include "../common/reduce.h"

void alb_layer_norm_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_layer_norm_args *a = context;
    const float n = (float)a->n;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        float *dst = a->dst + i * a->dst_stride;
        float mean = alb_r16_sum(src, a->n) / n;
        float variance = alb_r16_deviation(src, mean, a->n) / n;
        float r = 1.0f / sqrtf(variance + a->epsilon);
        for (size_t j = 0; j < a->n; j++) {
            float normalized = (src[j] - mean) * r;
            if (a->normalized) a->normalized[i * a->n + j] = normalized;
            dst[j] = fmaf(normalized, a->weight[j], a->bias[j]);
        }
        if (a->reciprocals) a->reciprocals[i] = r;
    }
}
