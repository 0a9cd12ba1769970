// Splits Grad-CAM's row operations over rows, and the mean of rows over columns.
#include "../common/variant.h"
#include "gradients.h"

/// In order of preference, the reference last.
static const alb_gradients_variant_entry *const variants[] = {
#if defined(__x86_64__)
    &alb_gradients__avx512vnni,
    &alb_gradients__avx2,
#elif defined(__aarch64__)
    &alb_gradients__neon,
#endif
    &alb_gradients__scalar,
};

static const alb_gradients_variant_entry *pick(alb_isa isa) {
    size_t i = 0;
    while (variants[i]->isa > isa) i++;
    return variants[i];
}

alb_isa alb_gradients_variant(alb_isa ceiling) { return pick(ceiling)->isa; }

/// A chunk of columns of the mean: a few cache lines, so that threads do not share one.
enum { MEAN_COLUMNS = 256 };

typedef struct {
    const alb_gradients_variant_entry *variant;
    const float *a, *b, *reciprocals, *weight;
    const int32_t *ids;
    float *dst;
    size_t a_row, b_row, dst_row, rows, columns, heads;
    float scale;
} job;

static void layer_norm_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++)
        j->variant->layer_norm_backward(
            j->columns, j->a + i * j->a_row, j->b + i * j->b_row, j->reciprocals[i], j->weight, j->dst + i * j->dst_row);
}

void alb_layer_norm_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *g, size_t g_row, const float *normalized,
    size_t normalized_row, const float *reciprocals, const float *weight, float *dst, size_t dst_row) {
    job j = {.variant = pick(isa), .a = g, .a_row = g_row, .b = normalized, .b_row = normalized_row,
             .reciprocals = reciprocals, .weight = weight, .dst = dst, .dst_row = dst_row, .columns = columns};
    alb_parallel_for(threads, rows, alb_grain(columns, 16384), layer_norm_rows, &j);
}

static void gelu_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++)
        j->variant->gelu_backward(j->columns, j->a + i * j->a_row, j->b + i * j->b_row, j->dst + i * j->dst_row);
}

void alb_gelu_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *g, size_t g_row, const float *h, size_t h_row,
    float *dst, size_t dst_row) {
    job j = {.variant = pick(isa), .a = g, .a_row = g_row, .b = h, .b_row = h_row, .dst = dst, .dst_row = dst_row,
             .columns = columns};
    alb_parallel_for(threads, rows, alb_grain(columns, 4096), gelu_rows, &j);
}

static void softmax_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++) {
        const size_t at = i * j->columns;
        j->variant->softmax_backward(j->columns, j->a + at, j->b + at, j->scale, j->dst + at);
    }
}

void alb_softmax_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *dp, const float *p, float scale, float *dst) {
    job j = {.variant = pick(isa), .a = dp, .b = p, .dst = dst, .columns = columns, .scale = scale};
    alb_parallel_for(threads, rows, alb_grain(columns, 16384), softmax_rows, &j);
}

static void l2_normalize_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++)
        j->variant->l2_normalize_backward(j->columns, j->a + i * j->a_row, j->b + i * j->b_row, j->dst + i * j->dst_row);
}

void alb_l2_normalize_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *g, size_t g_row, const float *x, size_t x_row,
    float *dst, size_t dst_row) {
    job j = {.variant = pick(isa), .a = g, .a_row = g_row, .b = x, .b_row = x_row, .dst = dst, .dst_row = dst_row,
             .columns = columns};
    alb_parallel_for(threads, rows, alb_grain(columns, 16384), l2_normalize_rows, &j);
}

static void log_softmax_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++)
        j->variant->log_softmax_backward(
            j->columns, j->a + i * j->a_row, (size_t)j->ids[i], j->weight[i], j->dst + i * j->dst_row);
}

void alb_log_softmax_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *p, size_t p_row, const int32_t *ids,
    const float *weights, float *dst, size_t dst_row) {
    job j = {.variant = pick(isa), .a = p, .a_row = p_row, .ids = ids, .weight = weights, .dst = dst, .dst_row = dst_row,
             .columns = columns};
    alb_parallel_for(threads, rows, alb_grain(columns, 32768), log_softmax_rows, &j);
}

static void cam_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    const size_t keys = j->columns;
    for (size_t t = begin; t < end; t++)
        j->variant->grad_cam(
            keys - 1, j->heads, j->rows * keys, j->a + t * keys + 1, j->b + t * keys + 1, j->dst + t * (keys - 1));
}

void alb_grad_cam(
    alb_isa isa, int threads, size_t heads, size_t queries, size_t keys, const float *p, const float *dp, float *dst) {
    job j = {.variant = pick(isa), .a = p, .b = dp, .dst = dst, .heads = heads, .rows = queries, .columns = keys};
    alb_parallel_for(threads, queries, alb_grain(heads * keys, 16384), cam_rows, &j);
}

static void add_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t i = begin; i < end; i++)
        j->variant->add(j->columns, j->a + i * j->a_row, j->b + i * j->b_row, j->dst + i * j->dst_row);
}

void alb_add(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *a, size_t a_row, const float *b, size_t b_row,
    float *dst, size_t dst_row) {
    job j = {.variant = pick(isa), .a = a, .a_row = a_row, .b = b, .b_row = b_row, .dst = dst, .dst_row = dst_row,
             .columns = columns};
    alb_parallel_for(threads, rows, alb_grain(columns, 32768), add_rows, &j);
}

static void mean_columns(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    j->variant->mean_rows(end - begin, j->rows, j->a_row, j->a + begin, j->dst + begin);
}

void alb_mean_rows(alb_isa isa, int threads, size_t rows, size_t columns, const float *x, size_t x_row, float *dst) {
    job j = {.variant = pick(isa), .a = x, .a_row = x_row, .dst = dst, .rows = rows};
    alb_parallel_for(threads, columns, MEAN_COLUMNS, mean_columns, &j);
}
