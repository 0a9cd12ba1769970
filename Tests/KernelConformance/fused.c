// Entry points that do several products, or two operations, in one call.
#include "cases.h"

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// --- Layer normalisation and quantisation

static void draw_layer_norm_quantized(void *call, shape_source *shape) {
    layer_norm_quantized_call *c = call;
    c->norm.m = c->quantized.m = extent(shape, 9, EDGES(1, 3, 4, 5, 9, 200));
    c->norm.n = c->quantized.k = extent(shape, 80, EDGES(1, 2, 4, 7, 15, 16, 17, 33, 64, 100, 768));
    c->norm.src_stride = c->norm.n + gap(shape);
    c->norm.epsilon = chance(shape, 2) ? 1e-6f : 1e-12f;
    c->quantized.dst_stride = round_up(c->norm.n, 4);
}

static void describe_layer_norm_quantized(void *call, visitor *v) {
    layer_norm_quantized_call *c = call;
    NUMBER(c->norm.m);
    NUMBER(c->norm.n);
    NUMBER(c->norm.src_stride);
    NUMBER(c->norm.epsilon);
    NUMBER(c->quantized.m);
    NUMBER(c->quantized.k);
    NUMBER(c->quantized.dst_stride);
    MATRIX(ROLE_INPUT, c->norm.src, KIND_F32, c->norm.m, c->norm.n, c->norm.src_stride);
    VECTOR(ROLE_INPUT, c->norm.weight, KIND_F32, c->norm.n);
    VECTOR(ROLE_INPUT, c->norm.bias, KIND_F32, c->norm.n);
    VECTOR(ROLE_OUTPUT, c->quantized.dst, KIND_U8, c->quantized.m * c->quantized.dst_stride);
    VECTOR(ROLE_OUTPUT, c->quantized.scales, KIND_F32, c->quantized.m);
    VECTOR(ROLE_OUTPUT, c->quantized.zero_points, KIND_I32, c->quantized.m);
    SCRATCH(c->scratch, MAXIMUM_THREADS * ALB_LAYER_NORM_SCRATCH_ROWS * c->norm.n * sizeof(float));
}

static void run_layer_norm_quantized(const void *call, alb_isa isa, int threads) {
    const layer_norm_quantized_call *c = call;
    alb_layer_norm_qu8d_f32(isa, threads, &c->norm, &c->quantized, c->scratch);
}

const operation operation_layer_norm_quantized = {
    "layer_norm_qu8d_f32", sizeof(layer_norm_quantized_call), draw_layer_norm_quantized, describe_layer_norm_quantized,
    NULL, run_layer_norm_quantized, alb_layer_norm_f32_variant};

// --- Int8 products head by head

static void draw_matmul_heads(void *call, shape_source *shape) {
    matmul_heads_call *c = call;
    alb_matmul_int8_args *a = &c->args;
    c->heads = extent(shape, 4, EDGES(1, 2, 3));
    a->m = extent(shape, 9, EDGES(1, 3, 6, 7, 13, 50));
    a->n = c->heads * 16 * extent(shape, 3, EDGES(1, 4, 5, 9));
    a->k = round_up(extent(shape, 60, EDGES(4, 12, 64, 300)), 4);
    a->dst_stride = a->n + gap(shape);
    a->epilogue.bias = chance(shape, 2) ? WANTED : NULL;
    a->epilogue.activation = (alb_activation)chance(shape, 3);
    a->epilogue.residual = chance(shape, 2) ? WANTED : NULL;
    a->epilogue.residual_stride = a->n + gap(shape);
}

static void describe_matmul_heads(void *call, visitor *v) {
    matmul_heads_call *c = call;
    alb_matmul_int8_args *a = &c->args;
    NUMBER(c->heads);
    NUMBER(a->m);
    NUMBER(a->n);
    NUMBER(a->k);
    NUMBER(a->dst_stride);
    NUMBER(a->epilogue.activation);
    NUMBER(a->epilogue.residual_stride);
    const size_t rows = c->heads * a->m;
    VECTOR(ROLE_INPUT, a->lhs, KIND_U8, rows * a->k);
    VECTOR(ROLE_INPUT, a->lhs_scales, KIND_F32, rows);
    VECTOR(ROLE_INPUT, a->lhs_zero_points, KIND_I32, rows);
    ALIGNED(ROLE_INPUT, a->rhs, KIND_S8, a->n * a->k);
    VECTOR(ROLE_INPUT, a->rhs_scales, KIND_F32, a->n);
    VECTOR(ROLE_INPUT, a->rhs_sums, KIND_I32, a->n);
    if (OPTIONAL(a->epilogue.bias)) VECTOR(ROLE_INPUT, a->epilogue.bias, KIND_F32, a->n);
    if (OPTIONAL(a->epilogue.residual))
        MATRIX(ROLE_INPUT, a->epilogue.residual, KIND_F32, a->m, a->n, a->epilogue.residual_stride);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->m, a->n, a->dst_stride);
}

static void refine_matmul_heads(void *call, random_source *random) {
    (void)random;
    const alb_matmul_int8_args *a = &((matmul_heads_call *)call)->args;
    for (size_t n = 0; n < a->n; n++) {
        int32_t sum = 0;
        for (size_t k = 0; k < a->k; k++) sum += a->rhs[n / 16 * a->k * 16 + k / 4 * 64 + n % 16 * 4 + k % 4];
        ((int32_t *)a->rhs_sums)[n] = sum;
    }
}

static void run_matmul_heads(const void *call, alb_isa isa, int threads) {
    const matmul_heads_call *c = call;
    alb_matmul_heads_f32_qu8d_qs8c(isa, threads, c->heads, &c->args);
}

const operation operation_matmul_heads = {
    "matmul_heads_f32_qu8d_qs8c", sizeof(matmul_heads_call), draw_matmul_heads, describe_matmul_heads, refine_matmul_heads,
    run_matmul_heads, alb_matmul_f32_qu8d_qs8c_variant};

// --- Backward products head by head

static void draw_linear_backward_heads(void *call, shape_source *shape) {
    linear_backward_heads_call *c = call;
    alb_linear_backward_args *a = &c->args;
    c->heads = extent(shape, 3, EDGES(1, 2, 4));
    a->rows = extent(shape, 6, EDGES(1, 2, 5));
    a->channels = c->heads * 16 * extent(shape, 2, EDGES(1, 4));
    a->depth = extent(shape, 60, EDGES(1, 4, 15, 17, 64, 100));
    a->g_row = a->channels + gap(shape);
    a->dst_row = a->depth + gap(shape);
    c->dst_head = a->rows * a->dst_row;
    a->accumulate = chance(shape, 2);
    if (choice(shape, 2))
        a->float_weights = WANTED;
    else
        a->int8_weights = WANTED;
}

static void describe_linear_backward_heads(void *call, visitor *v) {
    linear_backward_heads_call *c = call;
    alb_linear_backward_args *a = &c->args;
    NUMBER(c->heads);
    NUMBER(c->dst_head);
    NUMBER(a->rows);
    NUMBER(a->channels);
    NUMBER(a->depth);
    NUMBER(a->g_row);
    NUMBER(a->dst_row);
    NUMBER(a->accumulate);
    MATRIX(ROLE_INPUT, a->g, KIND_F32, a->rows, a->channels, a->g_row);
    if (OPTIONAL(a->float_weights)) ALIGNED(ROLE_INPUT, a->float_weights, KIND_F32, a->channels * a->depth);
    if (OPTIONAL(a->int8_weights)) {
        ALIGNED(ROLE_INPUT, a->int8_weights, KIND_S8, a->channels * round_up(a->depth, 4));
        VECTOR(ROLE_INPUT, a->scales, KIND_F32, a->channels);
    }
    // Between heads and rows may lie what belongs to others.
    const size_t all = (c->heads - 1) * c->dst_head + (a->rows - 1) * a->dst_row + a->depth;
    VECTOR(ROLE_IN_OUT, a->dst, KIND_F32, all);
}

static void run_linear_backward_heads(const void *call, alb_isa isa, int threads) {
    const linear_backward_heads_call *c = call;
    alb_linear_backward_heads(isa, threads, c->heads, c->dst_head, &c->args);
}

const operation operation_linear_backward_heads = {
    "linear_backward_heads", sizeof(linear_backward_heads_call), draw_linear_backward_heads,
    describe_linear_backward_heads, NULL, run_linear_backward_heads, alb_linear_backward_variant};

const operation *const fused_operations[] = {
    &operation_layer_norm_quantized, &operation_matmul_heads, &operation_linear_backward_heads, NULL};
