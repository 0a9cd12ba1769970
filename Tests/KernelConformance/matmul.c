// Linear layers forward and backward, quantisation of their inputs, and strided products.
#include <string.h>

#include "cases.h"

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// --- Epilogue

static void draw_epilogue(alb_epilogue *epilogue, bool *in_place, size_t n, size_t dst_stride, shape_source *shape) {
    epilogue->bias = chance(shape, 3) ? WANTED : NULL;
    epilogue->activation = (alb_activation)chance(shape, 3);
    epilogue->residual = chance(shape, 2) ? WANTED : NULL;
    *in_place = epilogue->residual && chance(shape, 2);
    epilogue->residual_stride = *in_place ? dst_stride : n + gap(shape);
}

static void describe_epilogue(alb_epilogue *epilogue, bool *in_place, size_t n, visitor *v) {
    NUMBER(epilogue->activation);
    NUMBER(epilogue->residual_stride);
    NUMBER(*in_place);
    if (OPTIONAL(epilogue->bias)) VECTOR(ROLE_INPUT, epilogue->bias, KIND_F32, n);
}

/// dst with its residual, which may be the same memory.
static void describe_dst(
    alb_epilogue *epilogue, bool in_place, float **dst, size_t m, size_t n, size_t dst_stride, visitor *v) {
    const bool residual = OPTIONAL(epilogue->residual);
    if (residual && in_place) {
        MATRIX(ROLE_IN_OUT, *dst, KIND_F32, m, n, dst_stride);
        if (v->mode != VISIT_SAVE) epilogue->residual = *dst;
        return;
    }
    if (residual) MATRIX(ROLE_INPUT, epilogue->residual, KIND_F32, m, n, epilogue->residual_stride);
    MATRIX(ROLE_OUTPUT, *dst, KIND_F32, m, n, dst_stride);
}

// --- Int8 linear layer

static void draw_matmul_int8(void *call, shape_source *shape) {
    matmul_int8_call *c = call;
    alb_matmul_int8_args *a = &c->args;
    a->m = extent(shape, 13, EDGES(1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 97));
    a->n = extent(shape, 40, EDGES(1, 8, 15, 16, 17, 33, 48, 63, 64, 65, 200));
    a->k = round_up(extent(shape, 60, EDGES(4, 8, 12, 16, 20, 64, 68, 516)), 4);
    // Depths at which variants that sum in chunks begin another one.
    static const size_t deep[] = {1020, 1024, 1028, 1064, 2048, 3076};
    if (!shape->edges && chance(shape, 40) == 0) a->k = deep[chance(shape, sizeof deep / sizeof deep[0])];
    a->dst_stride = a->n + gap(shape);
    draw_epilogue(&a->epilogue, &c->in_place, a->n, a->dst_stride, shape);
}

static void describe_matmul_int8(void *call, visitor *v) {
    matmul_int8_call *c = call;
    alb_matmul_int8_args *a = &c->args;
    NUMBER(a->m);
    NUMBER(a->n);
    NUMBER(a->k);
    NUMBER(a->dst_stride);
    const size_t padded = round_up(a->n, 16);
    describe_epilogue(&a->epilogue, &c->in_place, a->n, v);
    VECTOR(ROLE_INPUT, a->lhs, KIND_U8, a->m * a->k);
    VECTOR(ROLE_INPUT, a->lhs_scales, KIND_F32, a->m);
    VECTOR(ROLE_INPUT, a->lhs_zero_points, KIND_I32, a->m);
    ALIGNED(ROLE_INPUT, a->rhs, KIND_S8, padded * a->k);
    VECTOR(ROLE_INPUT, a->rhs_scales, KIND_F32, padded);
    VECTOR(ROLE_INPUT, a->rhs_sums, KIND_I32, padded);
    describe_dst(&a->epilogue, c->in_place, &a->dst, a->m, a->n, a->dst_stride, v);
}

/// Padding channels hold zeros, and sums are those of the weights. Variants may treat weights of which few neighbours, or none,
/// add up to more than 128 in another way, a block of 16 channels at a time: some have such.
static void refine_matmul_int8(void *call, random_source *random) {
    const alb_matmul_int8_args *a = &((matmul_int8_call *)call)->args;
    size_t whole = 1;  // one in so many weights
    int8_t *rhs = (int8_t *)a->rhs;
    float *scales = (float *)a->rhs_scales;
    int32_t *sums = (int32_t *)a->rhs_sums;
    for (size_t n = 0; n < round_up(a->n, 16); n++) {
        if (n % 16 == 0) whole = random_chance(random, 3) ? 1 : random_chance(random, 2) ? 8 : SIZE_MAX;
        sums[n] = 0;
        for (size_t k = 0; k < a->k; k++) {
            int8_t *weight = rhs + n / 16 * a->k * 16 + k / 4 * 64 + n % 16 * 4 + k % 4;
            if (n >= a->n) *weight = 0;
            if (!random_chance(random, whole)) *weight = (int8_t)((*weight + (*weight > 0) - (*weight < 0)) / 2);
            sums[n] += *weight;
        }
        if (n >= a->n) scales[n] = 0.0f;
    }
}

static void run_matmul_int8(const void *call, alb_isa isa, int threads) {
    alb_matmul_f32_qu8d_qs8c(isa, threads, &((const matmul_int8_call *)call)->args);
}

const operation operation_matmul_int8 = {
    "matmul_f32_qu8d_qs8c", sizeof(matmul_int8_call), draw_matmul_int8, describe_matmul_int8, refine_matmul_int8,
    run_matmul_int8, alb_matmul_f32_qu8d_qs8c_variant};

// --- Float linear layer

static void draw_matmul_f32(void *call, shape_source *shape) {
    matmul_f32_call *c = call;
    alb_matmul_f32_args *a = &c->args;
    a->m = extent(shape, 13, EDGES(1, 2, 3, 4, 5, 6, 7, 8, 13, 50));
    a->n = extent(shape, 40, EDGES(1, 8, 15, 16, 17, 33, 64, 65, 150));
    a->k = extent(shape, 60, EDGES(1, 2, 3, 4, 7, 16, 33, 100));
    a->lhs_stride = a->k + gap(shape);
    a->dst_stride = a->n + gap(shape);
    draw_epilogue(&a->epilogue, &c->in_place, a->n, a->dst_stride, shape);
}

static void describe_matmul_f32(void *call, visitor *v) {
    matmul_f32_call *c = call;
    alb_matmul_f32_args *a = &c->args;
    NUMBER(a->m);
    NUMBER(a->n);
    NUMBER(a->k);
    NUMBER(a->lhs_stride);
    NUMBER(a->dst_stride);
    describe_epilogue(&a->epilogue, &c->in_place, a->n, v);
    MATRIX(ROLE_INPUT, a->lhs, KIND_F32, a->m, a->k, a->lhs_stride);
    ALIGNED(ROLE_INPUT, a->rhs, KIND_F32, round_up(a->n, 16) * a->k);
    describe_dst(&a->epilogue, c->in_place, &a->dst, a->m, a->n, a->dst_stride, v);
}

static void run_matmul_f32(const void *call, alb_isa isa, int threads) {
    alb_matmul_f32_f32_f32(isa, threads, &((const matmul_f32_call *)call)->args);
}

const operation operation_matmul_f32 = {
    "matmul_f32_f32_f32", sizeof(matmul_f32_call), draw_matmul_f32, describe_matmul_f32, NULL, run_matmul_f32,
    alb_matmul_f32_f32_f32_variant};

// --- Quantisation of rows

static void draw_quantize(void *call, shape_source *shape) {
    quantize_call *a = call;
    a->m = extent(shape, 6, EDGES(1, 2, 7, 300));
    a->k = extent(shape, 90, EDGES(1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 127, 256));
    a->src_stride = a->k + gap(shape);
    a->dst_stride = round_up(a->k, 4);
}

static void describe_quantize(void *call, visitor *v) {
    quantize_call *a = call;
    NUMBER(a->m);
    NUMBER(a->k);
    NUMBER(a->src_stride);
    NUMBER(a->dst_stride);
    MATRIX(ROLE_INPUT, a->src, KIND_F32, a->m, a->k, a->src_stride);
    VECTOR(ROLE_OUTPUT, a->dst, KIND_U8, a->m * a->dst_stride);
    VECTOR(ROLE_OUTPUT, a->scales, KIND_F32, a->m);
    VECTOR(ROLE_OUTPUT, a->zero_points, KIND_I32, a->m);
}

static void run_quantize(const void *call, alb_isa isa, int threads) { alb_quantize_qu8d_f32(isa, threads, call); }

const operation operation_quantize = {
    "quantize_qu8d_f32", sizeof(quantize_call), draw_quantize, describe_quantize, NULL, run_quantize,
    alb_quantize_qu8d_f32_variant};

// --- Backward through a linear layer

static void draw_linear_backward(void *call, shape_source *shape) {
    linear_backward_call *a = call;
    a->rows = extent(shape, 6, EDGES(1, 2, 3, 5, 13));
    a->channels = extent(shape, 40, EDGES(1, 4, 15, 16, 17, 33, 64));
    a->depth = extent(shape, 60, EDGES(1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 65, 200));
    a->g_row = a->channels + gap(shape);
    a->dst_row = a->depth + gap(shape);
    a->accumulate = chance(shape, 2);
    if (choice(shape, 2))
        a->float_weights = WANTED;
    else
        a->int8_weights = WANTED;
}

static void describe_linear_backward(void *call, visitor *v) {
    linear_backward_call *a = call;
    NUMBER(a->rows);
    NUMBER(a->channels);
    NUMBER(a->depth);
    NUMBER(a->g_row);
    NUMBER(a->dst_row);
    NUMBER(a->accumulate);
    const size_t padded = round_up(a->channels, 16);
    MATRIX(ROLE_INPUT, a->g, KIND_F32, a->rows, a->channels, a->g_row);
    if (OPTIONAL(a->float_weights)) ALIGNED(ROLE_INPUT, a->float_weights, KIND_F32, padded * a->depth);
    if (OPTIONAL(a->int8_weights)) {
        ALIGNED(ROLE_INPUT, a->int8_weights, KIND_S8, padded * round_up(a->depth, 4));
        VECTOR(ROLE_INPUT, a->scales, KIND_F32, padded);
    }
    MATRIX(a->accumulate ? ROLE_IN_OUT : ROLE_OUTPUT, a->dst, KIND_F32, a->rows, a->depth, a->dst_row);
}

static void run_linear_backward(const void *call, alb_isa isa, int threads) { alb_linear_backward(isa, threads, call); }

const operation operation_linear_backward = {
    "linear_backward", sizeof(linear_backward_call), draw_linear_backward, describe_linear_backward, NULL,
    run_linear_backward, alb_linear_backward_variant};

// --- Strided products

static void draw_product(void *call, shape_source *shape) {
    product_call *a = call;
    a->batch = extent(shape, 3, EDGES(1, 3));
    a->rows = extent(shape, 12, EDGES(1, 3, 7, 8, 9, 17, 40));
    a->columns = extent(shape, 24, EDGES(1, 7, 15, 16, 17, 33, 70));
    a->depth = extent(shape, 40, EDGES(1, 2, 16, 63, 64, 65, 130)) - (shape->edges ? 0 : 1);
    const size_t lhs_gap = gap(shape), rhs_gap = gap(shape);
    if (chance(shape, 2)) {
        a->lhs_depth = 1;
        a->lhs_row = a->depth + lhs_gap;
        a->lhs_batch = a->rows * a->lhs_row;
    } else {
        a->lhs_row = 1;
        a->lhs_depth = a->rows + lhs_gap;
        a->lhs_batch = a->depth * a->lhs_depth;
    }
    if (chance(shape, 2)) {
        a->rhs_column = 1;
        a->rhs_depth = a->columns + rhs_gap;
        a->rhs_batch = a->depth * a->rhs_depth;
    } else {
        a->rhs_depth = 1;
        a->rhs_column = a->depth + rhs_gap;
        a->rhs_batch = a->columns * a->rhs_column;
    }
    a->dst_row = a->columns + gap(shape);
    a->dst_batch = a->rows * a->dst_row;
    a->scale = chance(shape, 2) ? 1.0f : 0.125f + random_unit(&shape->random);
}

/// Elements from an operand's first to past its last.
static size_t product_extent(
    size_t batches, size_t batch, size_t rows, size_t row, size_t columns, size_t column) {
    if (batches == 0 || rows == 0 || columns == 0) return 0;
    return (batches - 1) * batch + (rows - 1) * row + (columns - 1) * column + 1;
}

static void describe_product(void *call, visitor *v) {
    product_call *a = call;
    NUMBER(a->batch);
    NUMBER(a->rows);
    NUMBER(a->columns);
    NUMBER(a->depth);
    NUMBER(a->lhs_batch);
    NUMBER(a->lhs_row);
    NUMBER(a->lhs_depth);
    NUMBER(a->rhs_batch);
    NUMBER(a->rhs_depth);
    NUMBER(a->rhs_column);
    NUMBER(a->dst_batch);
    NUMBER(a->dst_row);
    NUMBER(a->scale);
    const size_t lhs = product_extent(a->batch, a->lhs_batch, a->rows, a->lhs_row, a->depth, a->lhs_depth);
    const size_t rhs = product_extent(a->batch, a->rhs_batch, a->depth, a->rhs_depth, a->columns, a->rhs_column);
    const size_t dst = product_extent(a->batch, a->dst_batch, a->rows, a->dst_row, a->columns, 1);
    VECTOR(ROLE_INPUT, a->lhs, KIND_F32, lhs);
    VECTOR(ROLE_INPUT, a->rhs, KIND_F32, rhs);
    // Heads of a fused projection lie side by side: what the product does not write must stay.
    VECTOR(ROLE_IN_OUT, a->dst, KIND_F32, dst);
}

static void run_product(const void *call, alb_isa isa, int threads) { alb_product_f32(isa, threads, call); }

const operation operation_product = {
    "product_f32", sizeof(product_call), draw_product, describe_product, NULL, run_product, alb_product_f32_variant};

const operation *const matmul_operations[] = {
    &operation_matmul_int8, &operation_matmul_f32, &operation_quantize, &operation_linear_backward, &operation_product, NULL};
