/// The calls of the operations that take more than one structure, for the operations and for the recorder.
#ifndef CASES_H
#define CASES_H

#include "alb_attention_f32.h"
#include "alb_attention_s8.h"
#include "alb_layer_norm.h"
#include "alb_linear_backward.h"
#include "alb_map.h"
#include "alb_matmul.h"
#include "alb_product.h"
#include "alb_quantize.h"
#include "alb_resample.h"
#include "alb_rows.h"
#include "conformance.h"

typedef struct {
    alb_matmul_int8_args args;
    bool in_place;  ///< the residual is dst
} matmul_int8_call;
extern const operation operation_matmul_int8;

typedef struct {
    alb_matmul_f32_args args;
    bool in_place;  ///< the residual is dst
} matmul_f32_call;
extern const operation operation_matmul_f32;

typedef alb_quantize_args quantize_call;
extern const operation operation_quantize;

typedef alb_linear_backward_args linear_backward_call;
extern const operation operation_linear_backward;

typedef alb_product_f32_args product_call;
extern const operation operation_product;

typedef alb_attention_f32_args attention_f32_call;
extern const operation operation_attention_f32;

typedef struct {
    alb_keys_values_s8 kv;
    const float *k, *v;
    size_t k_row, v_row;
} attention_s8_quantize_call;
extern const operation operation_attention_s8_quantize;

typedef struct {
    alb_keys_values_s8 kv;
    size_t queries, q_row, dst_row;
    const float *q;
    float *dst;
    void *scratch;
} attention_s8_call;
extern const operation operation_attention_s8;

#endif
