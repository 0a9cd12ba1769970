#ifndef ALB_SOFTMAX_F32_H
#define ALB_SOFTMAX_F32_H

#include "../common/variant.h"
#include "alb_rows.h"

extern const alb_variant alb_softmax_f32_table[];
extern const alb_variant alb_log_softmax_gather_f32_table[];

/// The last step of a row's log-probabilities, from its maximum and the logarithm of its sum.
static inline void alb_gather_log_softmax(const alb_rows_args *a, size_t row, float maximum, float log_sum) {
    const float *src = a->src + row * a->src_stride;
    size_t begin = row, end = row + 1;
    if (a->id_ends) {
        begin = row ? (size_t)a->id_ends[row - 1] : 0;
        end = (size_t)a->id_ends[row];
    }
    for (size_t i = begin; i < end; i++) a->dst[i * a->dst_stride] = (src[a->ids[i]] - maximum) - log_sum;
}

// Parts are rows.
void alb_softmax_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_softmax_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_softmax_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_softmax_f32__neon(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__neon(void *context, size_t begin, size_t end, int worker);

#endif
