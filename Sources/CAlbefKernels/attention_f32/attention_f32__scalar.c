// The definition of float attention: one query at a time, its scores in a row.
#include "attention_f32.h"

#include "../common/functions.h"
#include "../common/reduce.h"

void alb_attention_f32_block__scalar(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores) {
    (void)packed;
    const size_t width = args->width;
    const float scale = alb_attention_scale(width);
    for (size_t t = query; t < query + queries; t++) {
        const size_t n = alb_attention_f32_visible(args, t);
        const float *q = args->q + t * args->q_row + head * width;
        float *dst = args->dst + t * args->dst_row + head * width;

        float maximum = -INFINITY;
        for (size_t j = 0; j < n; j++) {
            const float *k = args->k + j * args->k_row + head * width;
            float sum = 0;
            for (size_t c = 0; c < width; c++) sum = fmaf(q[c], k[c], sum);
            scores[j] = sum * scale;
            maximum = scores[j] > maximum ? scores[j] : maximum;
        }
        for (size_t j = 0; j < n; j++) scores[j] = alb_exp(scores[j] - maximum);
        const float total = alb_r16_sum(scores, n);
        for (size_t j = 0; j < n; j++) scores[j] = scores[j] / total;

        for (size_t c = 0; c < width; c++) {
            float sum = 0;
            for (size_t j = 0; j < n; j++) sum = fmaf(scores[j], args->v[j * args->v_row + head * width + c], sum);
            dst[c] = sum;
        }
        if (args->probabilities) {
            float *row = args->probabilities + (head * args->queries + t) * args->keys;
            for (size_t j = 0; j < args->keys; j++) row[j] = j < n ? scores[j] : 0.0f;
        }
    }
}
