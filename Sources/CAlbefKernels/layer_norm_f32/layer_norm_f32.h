#ifndef ALB_LAYER_NORM_F32_H
#define ALB_LAYER_NORM_F32_H

#include "../common/variant.h"
#include "alb_layer_norm.h"

extern const alb_variant alb_layer_norm_f32_table[];

// Parts are rows.
void alb_layer_norm_f32__scalar(void *context, size_t begin, size_t end, int worker);
void alb_layer_norm_f32__avx2(void *context, size_t begin, size_t end, int worker);
void alb_layer_norm_f32__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_layer_norm_f32__neon(void *context, size_t begin, size_t end, int worker);

/// Both operations of alb_layer_norm_qu8d_f32 on `rows` rows in one: the bounds of normalised rows are found while they are in
/// registers.
void alb_layer_norm_qu8d_rows__avx512vnni(
    const alb_layer_norm_args *norm, const alb_quantize_args *quantized, size_t rows);

#endif
