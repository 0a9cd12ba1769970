#ifndef ALB_QUANTIZE_QU8D_F32_H
#define ALB_QUANTIZE_QU8D_F32_H

#include "../common/variant.h"
#include "alb_quantize.h"

extern const alb_variant alb_quantize_qu8d_f32_table[];

// Parts are rows.
void alb_quantize_qu8d_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_quantize_qu8d_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_quantize_qu8d_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_quantize_qu8d_f32__neon(void *context, size_t begin, size_t end, int worker);

#endif
