// Records every kernel call of a program: linked to its object files with --wrap=NAME for each name of RECORDED below, so that
// what the program calls is the wrapper here. The call's numbers and inputs are written to the file that ALBEF_RECORDING names
// before it runs, and a digest of its outputs after. Calls come from one thread at a time, since a session runs one request.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

void announce(const char *title) { (void)title; }

static FILE *recording(void) {
    static FILE *file;
    static bool opened;
    if (opened) return file;
    opened = true;
    const char *path = getenv("ALBEF_RECORDING");
    if (!path) return NULL;
    file = fopen(path, "wb");
    if (!file || fputs(RECORDING_MAGIC, file) < 0) {
        perror(path);
        exit(73);
    }
    return file;
}

// Entry points that a kernel itself calls are part of its own call.
static int depth;

static visitor begin(const operation *op, void *call) {
    visitor v = {.mode = VISIT_SAVE, .file = depth++ == 0 ? recording() : NULL};
    if (!v.file) return v;
    const size_t length = strlen(op->name);
    if (fputc((int)length, v.file) == EOF || fwrite(op->name, 1, length, v.file) != length) v.failed = true;
    op->describe(call, &v);
    return v;
}

static void end(const visitor *v) {
    depth--;
    if (!v->file) return;
    uint64_t digest = DIGEST_START;
    digest_outputs(v, &digest);
    if (v->failed || fwrite(&digest, sizeof digest, 1, v->file) != 1 || fflush(v->file) != 0) {
        fprintf(stderr, "error: the recording could not be written\n");
        exit(74);
    }
}

/// One wrapper: `parameters` and `arguments` of the entry point, and the call's initialiser.
#define RECORDED(operation_, call_type, entry, parameters, arguments, ...) \
    void __real_##entry parameters;                                        \
    void __wrap_##entry parameters;                                        \
    void __wrap_##entry parameters {                                       \
        call_type call = {__VA_ARGS__};                                    \
        const visitor v = begin(&operation_, &call);                       \
        __real_##entry arguments;                                          \
        end(&v);                                                           \
    }

/// The entry points that take one structure.
#define RECORDED_ARGS(operation_, call_type, entry, args_type, ...) \
    RECORDED(                                                       \
        operation_, call_type, entry, (alb_isa isa, int threads, const args_type *a), (isa, threads, a), __VA_ARGS__)

RECORDED_ARGS(
    operation_matmul_int8, matmul_int8_call, alb_matmul_f32_qu8d_qs8c, alb_matmul_int8_args, .args = *a,
    .in_place = a->epilogue.residual == a->dst)
RECORDED_ARGS(
    operation_matmul_f32, matmul_f32_call, alb_matmul_f32_f32_f32, alb_matmul_f32_args, .args = *a,
    .in_place = a->epilogue.residual == a->dst)
RECORDED_ARGS(
    operation_layer_norm, layer_norm_call, alb_layer_norm_f32, alb_layer_norm_args, .args = *a, .in_place = a->src == a->dst)
RECORDED_ARGS(operation_map, map_call, alb_map_f32, alb_map_args, .args = *a, .in_place = a->src == a->dst)
RECORDED_ARGS(operation_softmax, rows_call, alb_softmax_f32, alb_rows_args, .args = *a, .in_place = a->src == a->dst)
RECORDED_ARGS(
    operation_log_softmax_gather, rows_call, alb_log_softmax_gather_f32, alb_rows_args, .args = *a,
    .ids = a->id_ends ? (size_t)a->id_ends[a->m - 1] : a->m)
RECORDED_ARGS(
    operation_l2_normalize, rows_call, alb_l2_normalize_f32, alb_rows_args, .args = *a, .in_place = a->src == a->dst)
RECORDED_ARGS(operation_sum, rows_call, alb_sum_f32, alb_rows_args, .args = *a)

// Calls whose structure is the entry point's own.
#define RECORDED_SAME(operation_, entry, args_type)                                                             \
    void __real_##entry(alb_isa isa, int threads, const args_type *a);                                         \
    void __wrap_##entry(alb_isa isa, int threads, const args_type *a);                                         \
    void __wrap_##entry(alb_isa isa, int threads, const args_type *a) {                                        \
        args_type call = *a;                                                                                   \
        const visitor v = begin(&operation_, &call);                                                           \
        __real_##entry(isa, threads, a);                                                                       \
        end(&v);                                                                                               \
    }

RECORDED_SAME(operation_quantize, alb_quantize_qu8d_f32, alb_quantize_args)
RECORDED_SAME(operation_linear_backward, alb_linear_backward, alb_linear_backward_args)
RECORDED_SAME(operation_product, alb_product_f32, alb_product_f32_args)
RECORDED_SAME(operation_attention_f32, alb_attention_f32, alb_attention_f32_args)

/// Past the last query of groups.
static size_t group_queries(const alb_attention_f32_groups_args *a) {
    size_t past = 0;
    for (size_t i = 0; i < a->groups; i++) {
        const size_t own = (size_t)a->group[i].query + (size_t)a->group[i].queries;
        past = own > past ? own : past;
    }
    return past;
}

/// Past the last place of their keys.
static size_t group_places(const alb_attention_f32_groups_args *a) {
    size_t past = 0;
    for (size_t i = 0; i < a->groups; i++) {
        const size_t own = (size_t)a->group[i].key + (size_t)a->group[i].keys;
        past = own > past ? own : past;
    }
    return past;
}

/// Past the greatest row of their keys.
static size_t group_keys(const alb_attention_f32_groups_args *a) {
    if (!a->rows) return group_places(a);
    const size_t places = group_places(a);
    size_t past = 0;
    for (size_t i = 0; i < places; i++) past = (size_t)a->rows[i] + 1 > past ? (size_t)a->rows[i] + 1 : past;
    return past;
}

RECORDED_ARGS(
    operation_attention_f32_groups, attention_f32_groups_call, alb_attention_f32_groups, alb_attention_f32_groups_args,
    .args = *a, .queries = group_queries(a), .keys = group_keys(a), .places = group_places(a))
RECORDED(
    operation_layer_norm_quantized, layer_norm_quantized_call, alb_layer_norm_qu8d_f32,
    (alb_isa isa, int threads, const alb_layer_norm_args *norm, const alb_quantize_args *quantized, float *scratch),
    (isa, threads, norm, quantized, scratch), *norm, *quantized, scratch)
RECORDED(
    operation_matmul_together, matmul_together_call, alb_matmul_together_f32_qu8d_qs8c,
    (alb_isa isa, int threads, size_t count, const alb_matmul_int8_args *products), (isa, threads, count, products),
    .products = {products[0], products[count > 1 ? 1 : 0], products[count > 2 ? 2 : 0]}, .count = count)

static absorbed_attention_call absorbed_call(const alb_absorbed_attention_args *a) {
    absorbed_attention_call call = {.args = *a};
    if (a->count > MOST_GROUPS) {
        fprintf(stderr, "error: a recorded call has room for %d groups, not %zu\n", MOST_GROUPS, a->count);
        exit(74);
    }
    for (size_t i = 0; i < a->count; i++) {
        const alb_absorbed_group *group = &a->groups[i];
        call.groups[i] = *group;
        if (group->query + group->rows > call.queries) call.queries = group->query + group->rows;
        if (group->row + group->rows > call.rows) call.rows = group->row + group->rows;
    }
    return call;
}

void __real_alb_absorbed_attention(alb_isa isa, int threads, const alb_absorbed_attention_args *a);
void __wrap_alb_absorbed_attention(alb_isa isa, int threads, const alb_absorbed_attention_args *a);
void __wrap_alb_absorbed_attention(alb_isa isa, int threads, const alb_absorbed_attention_args *a) {
    absorbed_attention_call call = absorbed_call(a);
    const visitor v = begin(&operation_absorbed_attention, &call);
    __real_alb_absorbed_attention(isa, threads, a);
    end(&v);
}

RECORDED(
    operation_transpose_heads, transpose_heads_call, alb_transpose_heads_int8,
    (alb_isa isa, int threads, size_t heads, size_t channels, size_t depth, const int8_t *src, int8_t *values, float *scales,
     int32_t *sums),
    (isa, threads, heads, channels, depth, src, values, scales, sums), heads, channels, depth, src, values, scales, sums)
RECORDED(
    operation_attention_s8_quantize, attention_s8_quantize_call, alb_attention_s8_quantize,
    (alb_isa isa, int threads, const float *k, size_t k_row, const float *v_, size_t v_row, const alb_keys_values_s8 *kv),
    (isa, threads, k, k_row, v_, v_row, kv), .kv = *kv, .k = k, .v = v_, .k_row = k_row, .v_row = v_row)
RECORDED(
    operation_attention_s8, attention_s8_call, alb_attention_s8,
    (alb_isa isa, int threads, size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, float scale,
     float *dst, size_t dst_row, void *scratch),
    (isa, threads, queries, q, q_row, kv, scale, dst, dst_row, scratch), .kv = *kv, .queries = queries, .q_row = q_row,
    .dst_row = dst_row, .q = q, .dst = dst, .scratch = scratch, .scale = scale)

/// 1 where dst is g, 2 where it is x.
static uint8_t place(const float *g, const float *x, const float *dst) { return dst == g ? 1 : dst == x ? 2 : 0; }

RECORDED(
    operation_layer_norm_backward, gradient_call, alb_layer_norm_backward,
    (alb_isa isa, int threads, size_t rows, size_t columns, const float *g, size_t g_row, const float *x, size_t x_row,
     const float *reciprocals, const float *weight, float *dst, size_t dst_row),
    (isa, threads, rows, columns, g, g_row, x, x_row, reciprocals, weight, dst, dst_row), .rows = rows, .columns = columns,
    .g_row = g_row, .x_row = x_row, .dst_row = dst_row, .g = g, .x = x, .reciprocals = reciprocals, .weight = weight,
    .dst = dst, .in_place = place(g, NULL, dst))

#define GRADIENT_PARAMETERS                                                                                          \
    (alb_isa isa, int threads, size_t rows, size_t columns, const float *g, size_t g_row, const float *x, size_t x_row, \
     float *dst, size_t dst_row)
#define GRADIENT_ARGUMENTS (isa, threads, rows, columns, g, g_row, x, x_row, dst, dst_row)
#define RECORDED_GRADIENT(operation_, entry)                                                                          \
    RECORDED(                                                                                                         \
        operation_, gradient_call, entry, GRADIENT_PARAMETERS, GRADIENT_ARGUMENTS, .rows = rows, .columns = columns,  \
        .g_row = g_row, .x_row = x_row, .dst_row = dst_row, .g = g, .x = x, .dst = dst, .in_place = place(g, x, dst))

RECORDED_GRADIENT(operation_gelu_backward, alb_gelu_backward)
RECORDED_GRADIENT(operation_l2_normalize_backward, alb_l2_normalize_backward)
RECORDED_GRADIENT(operation_add, alb_add)
RECORDED(
    operation_softmax_backward, gradient_call, alb_softmax_backward,
    (alb_isa isa, int threads, size_t rows, size_t columns, const float *dp, const float *p, float scale, float *dst),
    (isa, threads, rows, columns, dp, p, scale, dst), .rows = rows, .columns = columns, .g_row = columns, .x_row = columns,
    .dst_row = columns, .g = dp, .x = p, .dst = dst, .scale = scale, .in_place = place(dp, p, dst))
RECORDED(
    operation_log_softmax_backward, gradient_call, alb_log_softmax_backward,
    (alb_isa isa, int threads, size_t rows, size_t columns, const float *p, size_t p_row, const int32_t *ids,
     const float *weights, float *dst, size_t dst_row),
    (isa, threads, rows, columns, p, p_row, ids, weights, dst, dst_row), .rows = rows, .columns = columns, .x_row = p_row,
    .dst_row = dst_row, .x = p, .ids = ids, .weight = weights, .dst = dst, .in_place = dst == p ? 2 : 0)
RECORDED(
    operation_grad_cam, grad_cam_call, alb_grad_cam,
    (alb_isa isa, int threads, size_t heads, size_t queries, size_t keys, const float *p, const float *dp, float *dst),
    (isa, threads, heads, queries, keys, p, dp, dst), .heads = heads, .queries = queries, .keys = keys, .p = p, .dp = dp,
    .dst = dst)
RECORDED(
    operation_mean_rows, gradient_call, alb_mean_rows,
    (alb_isa isa, int threads, size_t rows, size_t columns, const float *x, size_t x_row, float *dst),
    (isa, threads, rows, columns, x, x_row, dst), .rows = rows, .columns = columns, .x_row = x_row, .x = x, .dst = dst)

// --- Pictures, texts and heatmaps

RECORDED(
    operation_resample, resample_call, alb_resample_rgb,
    (alb_isa isa, int threads, const uint8_t *src, size_t src_width, size_t src_height, uint8_t *dst, size_t dst_width,
     size_t dst_height, void *scratch),
    (isa, threads, src, src_width, src_height, dst, dst_width, dst_height, scratch), src_width, src_height, dst_width,
    dst_height, src, dst, scratch)
RECORDED(
    operation_normalize_pixels, pixels_call, alb_normalize_pixels,
    (int threads, size_t size, const uint8_t *src, const float *mean, const float *deviation, float *dst),
    (threads, size, src, mean, deviation, dst), .size = size, .pixels = src, .mean = mean, .deviation = deviation,
    .dst = dst)
RECORDED(
    operation_patches, pixels_call, alb_patches, (int threads, size_t size, size_t patch, const float *src, float *dst),
    (threads, size, patch, src, dst), .size = size, .patch = patch, .src = src, .dst = dst)
RECORDED(
    operation_image_tokens, image_tokens_call, alb_image_tokens,
    (int threads, size_t count, size_t n, const float *patches, size_t patches_stride, const float *cls,
     const float *positions, float *dst, size_t dst_stride),
    (threads, count, n, patches, patches_stride, cls, positions, dst, dst_stride), count, n, patches_stride, dst_stride,
    patches, cls, positions, dst)

/// The words are saved up to the greatest id, in whole blocks of 16.
static size_t used_vocabulary(const alb_embed_args *a) {
    size_t most = 0;
    for (size_t i = 0; i < a->count; i++) most = (size_t)a->ids[i] > most ? (size_t)a->ids[i] : most;
    return most / 16 * 16 + 16;
}

/// As are the positions.
static size_t used_positions(const alb_embed_args *a) {
    size_t most = 0;
    for (size_t i = 0; i < a->count; i++) most = (size_t)a->places[i] > most ? (size_t)a->places[i] : most;
    return most + 1;
}

RECORDED(
    operation_embed, embed_call, alb_embed, (int threads, const alb_embed_args *a), (threads, a), .args = *a,
    .vocabulary = used_vocabulary(a), .positions = used_positions(a))
RECORDED(
    operation_upsample, heatmap_call, alb_upsample_f32,
    (int threads, const float *src, size_t rows, size_t columns, float *dst, size_t dst_rows, size_t dst_columns,
     float *scratch),
    (threads, src, rows, columns, dst, dst_rows, dst_columns, scratch), .rows = rows, .columns = columns,
    .dst_rows = dst_rows, .dst_columns = dst_columns, .src = src, .dst = dst, .scratch = scratch)
RECORDED(
    operation_blur, heatmap_call, alb_blur_f32,
    (int threads, float *map, size_t rows, size_t columns, float sigma, float *scratch),
    (threads, map, rows, columns, sigma, scratch), .rows = rows, .columns = columns, .sigma = sigma, .map = map,
    .scratch = scratch)
RECORDED(
    operation_overlay, heatmap_call, alb_overlay_rgb,
    (int threads, const float *map, const uint8_t *src, size_t count, uint8_t *dst), (threads, map, src, count, dst),
    .rows = 1, .columns = count, .src = map, .picture = src, .pixels = dst)
