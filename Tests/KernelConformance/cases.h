/// The calls of the operations that take more than one structure, for the operations and for the recorder.
#ifndef CASES_H
#define CASES_H

#include "alb_absorbed_attention.h"
#include "alb_attention_f32.h"
#include "alb_attention_s8.h"
#include "alb_compare.h"
#include "alb_gradients.h"
#include "alb_heatmap.h"
#include "alb_input.h"
#include "alb_layer_norm.h"
#include "alb_linear_backward.h"
#include "alb_map.h"
#include "alb_matmul.h"
#include "alb_pack.h"
#include "alb_product.h"
#include "alb_quantize.h"
#include "alb_resample.h"
#include "alb_rows.h"
#include "alb_smoothing.h"
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
    alb_attention_f32_groups_args args;
    size_t queries, keys;  ///< rows of args.q and of args.k
    size_t places;         ///< entries of args.rows
} attention_f32_groups_call;
extern const operation operation_attention_f32_groups;

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
    float scale;
} attention_s8_call;
extern const operation operation_attention_s8;

// --- Several in one

typedef struct {
    alb_layer_norm_args norm;
    alb_quantize_args quantized;
    float *scratch;
} layer_norm_quantized_call;
extern const operation operation_layer_norm_quantized;

enum { MOST_PRODUCTS = 3 };
typedef struct {
    alb_matmul_int8_args products[MOST_PRODUCTS];
    size_t count;
} matmul_together_call;
extern const operation operation_matmul_together;

enum { MOST_GROUPS = 4 };
typedef struct {
    alb_absorbed_attention_args args;
    alb_absorbed_group groups[MOST_GROUPS];
    size_t queries, rows;  ///< rows of args.q and of args.dst
} absorbed_attention_call;
extern const operation operation_absorbed_attention;

/// The 8-bit keys and values of an attention, also for operations of other files.
void describe_keys_values(alb_keys_values_s8 *kv, operand_role role, visitor *v);
/// Padding is 0, sums are those of the keys, scales are no denormals of chance.
void refine_keys_values(const alb_keys_values_s8 *kv, random_source *random);

typedef struct {
    size_t heads, channels, depth;
    const int8_t *src;
    int8_t *values;
    float *scales;
    int32_t *sums;
} transpose_heads_call;
extern const operation operation_transpose_heads;

// --- Rows

typedef struct {
    alb_layer_norm_args args;
    bool in_place;
} layer_norm_call;
extern const operation operation_layer_norm;

typedef struct {
    alb_map_args args;
    bool in_place;
} map_call;
extern const operation operation_map;

typedef struct {
    alb_rows_args args;
    size_t ids;  ///< entries of args.ids, for the log-probability
    bool in_place;
} rows_call;
extern const operation operation_softmax;
extern const operation operation_log_softmax_gather;
extern const operation operation_l2_normalize;
extern const operation operation_sum;

typedef struct {
    size_t m, n, src_stride;
    const float *src;
    uint8_t *dst;  ///< the answer
} all_finite_call;
extern const operation operation_all_finite;

// --- Gradients

/// One call of any of them: rows of up to three inputs, and what else they take.
typedef struct {
    size_t rows, columns, g_row, x_row, dst_row;
    const float *g, *x, *reciprocals, *weight;
    const int32_t *ids;
    float *dst;
    float scale;
    uint8_t in_place;  ///< 1: dst is g, 2: dst is x
} gradient_call;
extern const operation operation_layer_norm_backward;
extern const operation operation_gelu_backward;
extern const operation operation_softmax_backward;
extern const operation operation_l2_normalize_backward;
extern const operation operation_log_softmax_backward;
extern const operation operation_add;
extern const operation operation_mean_rows;

typedef struct {
    size_t heads, queries, keys;
    const float *p, *dp;
    float *dst;
} grad_cam_call;
extern const operation operation_grad_cam;

// --- Pictures, texts and heatmaps

typedef struct {
    size_t src_width, src_height, dst_width, dst_height;
    const uint8_t *src;
    uint8_t *dst;
    void *scratch;
} resample_call;
extern const operation operation_resample;

typedef struct {
    size_t size, patch;
    const uint8_t *pixels;
    const float *src, *mean, *deviation;
    float *dst;
} pixels_call;
extern const operation operation_normalize_pixels;
extern const operation operation_patches;

typedef struct {
    size_t count, n, patches_stride, dst_stride;
    const float *patches, *cls, *positions;
    float *dst;
} image_tokens_call;
extern const operation operation_image_tokens;

typedef struct {
    alb_embed_args args;
    size_t vocabulary;  ///< a multiple of 16
    size_t positions;   ///< rows of positions
} embed_call;
extern const operation operation_embed;

typedef struct {
    size_t rows, columns, dst_rows, dst_columns, count;
    float sigma;
    const float *src;
    const double *boxes;
    const uint8_t *picture;
    float *map, *dst;
    uint8_t *pixels;
    int32_t *labels, *box;
    void *scratch;
} heatmap_call;
extern const operation operation_upsample;
extern const operation operation_box_scores;
extern const operation operation_heatmap_region;
extern const operation operation_rescale;
extern const operation operation_blur;
extern const operation operation_overlay;

// --- Weights, at export

typedef struct {
    size_t channels, depth;
    const float *src;
    const int8_t *int8_values;
    const float *f32_values, *given_scales;
    int8_t *packed_int8;
    float *packed_f32, *scales, *dst;
    int32_t *sums;
    double *report;  ///< the six numbers of alb_pack_report
    uint8_t *finite;
} pack_call;
extern const operation operation_pack_int8;
extern const operation operation_pack_f32;
extern const operation operation_unpack_int8;
extern const operation operation_unpack_f32;

typedef struct {
    size_t rows, columns, stride;
    float share;
    const float *src, *weights;
    const int32_t *given_exponents;
    float *values;
    int32_t *exponents;
    double *comparison;  ///< the four numbers of alb_comparison
} smoothing_call;
extern const operation operation_column_absmax;
extern const operation operation_smoothing_exponents;
extern const operation operation_scale_columns;
extern const operation operation_unscale_rows;
extern const operation operation_compare;

#endif
