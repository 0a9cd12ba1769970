#ifndef ALB_SOFTMAX_F32_H
#define ALB_SOFTMAX_F32_H

#include "../common/variant.h"
#include "alb_rows.h"

extern const alb_variant alb_softmax_f32_table[];
extern const alb_variant alb_log_softmax_gather_f32_table[];

// Parts are rows.
void alb_softmax_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_softmax_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_softmax_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_log_softmax_gather_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);

#endif
