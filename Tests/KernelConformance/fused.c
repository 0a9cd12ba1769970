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
    a->epilogue.bias = chance(shape, 2) ? WANTED : NULL;
    a->epilogue.activation = (alb_activation)chance(shape, 3);
    a->epilogue.residual = chance(shape, 2) ? WANTED : NULL;
    if (choice(shape, 2)) {
        c->dst_head = a->n / c->heads;
        a->dst_stride = a->n + gap(shape);
        a->epilogue.residual_stride = a->n + gap(shape);
    } else {
        a->dst_stride = a->epilogue.residual_stride = a->n / c->heads + gap(shape);
        c->dst_head = a->m * a->dst_stride;
    }
}

static void describe_matmul_heads(void *call, visitor *v) {
    matmul_heads_call *c = call;
    alb_matmul_int8_args *a = &c->args;
    NUMBER(c->heads);
    NUMBER(c->dst_head);
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
    // Side by side, or one after the other.
    const bool apart = c->dst_head > a->n / c->heads || a->dst_stride < a->n;
    const size_t dst_rows = apart ? rows : a->m, columns = apart ? a->n / c->heads : a->n;
    if (OPTIONAL(a->epilogue.residual))
        MATRIX(ROLE_INPUT, a->epilogue.residual, KIND_F32, dst_rows, columns, a->epilogue.residual_stride);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, dst_rows, columns, a->dst_stride);
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
    alb_matmul_heads_f32_qu8d_qs8c(isa, threads, c->heads, c->dst_head, &c->args);
}

const operation operation_matmul_heads = {
    "matmul_heads_f32_qu8d_qs8c", sizeof(matmul_heads_call), draw_matmul_heads, describe_matmul_heads, refine_matmul_heads,
    run_matmul_heads, alb_matmul_f32_qu8d_qs8c_variant};

// --- Quantisation head by head

static void draw_quantize_heads(void *call, shape_source *shape) {
    quantize_heads_call *c = call;
    alb_quantize_args *a = &c->args;
    c->heads = extent(shape, 4, EDGES(1, 2, 3));
    const size_t width = extent(shape, 70, EDGES(1, 4, 15, 16, 17, 31, 64, 100));
    a->m = extent(shape, 9, EDGES(1, 3, 16, 17, 40, 200));
    a->k = c->heads * width;
    a->src_stride = a->k + gap(shape);
    a->dst_stride = round_up(width, 4);
}

static void describe_quantize_heads(void *call, visitor *v) {
    quantize_heads_call *c = call;
    alb_quantize_args *a = &c->args;
    NUMBER(c->heads);
    NUMBER(a->m);
    NUMBER(a->k);
    NUMBER(a->src_stride);
    NUMBER(a->dst_stride);
    MATRIX(ROLE_INPUT, a->src, KIND_F32, a->m, a->k, a->src_stride);
    VECTOR(ROLE_INPUT, c->factors, KIND_F32, a->k);
    VECTOR(ROLE_OUTPUT, a->dst, KIND_U8, c->heads * a->m * a->dst_stride);
    VECTOR(ROLE_OUTPUT, a->scales, KIND_F32, c->heads * a->m);
    VECTOR(ROLE_OUTPUT, a->zero_points, KIND_I32, c->heads * a->m);
    SCRATCH(c->scratch, MAXIMUM_THREADS * ALB_QUANTIZE_HEADS_SCRATCH_ROWS * (a->k / c->heads) * sizeof(float));
}

static void run_quantize_heads(const void *call, alb_isa isa, int threads) {
    const quantize_heads_call *c = call;
    alb_quantize_heads_qu8d_f32(isa, threads, c->heads, c->factors, &c->args, c->scratch);
}

const operation operation_quantize_heads = {
    "quantize_heads_qu8d_f32", sizeof(quantize_heads_call), draw_quantize_heads, describe_quantize_heads, NULL,
    run_quantize_heads, alb_quantize_qu8d_f32_variant};

// --- Transposition head by head

static void draw_transpose_heads(void *call, shape_source *shape) {
    transpose_heads_call *c = call;
    c->heads = extent(shape, 4, EDGES(1, 2, 3));
    c->channels = c->heads * 16 * extent(shape, 3, EDGES(1, 2, 4, 9));
    c->depth = 16 * extent(shape, 6, EDGES(1, 2, 3, 16));
}

static void describe_transpose_heads(void *call, visitor *v) {
    transpose_heads_call *c = call;
    NUMBER(c->heads);
    NUMBER(c->channels);
    NUMBER(c->depth);
    ALIGNED(ROLE_INPUT, c->src, KIND_S8, c->channels * c->depth);
    ALIGNED(ROLE_OUTPUT, c->values, KIND_S8, c->channels * c->depth);
    VECTOR(ROLE_OUTPUT, c->scales, KIND_F32, c->heads * c->depth);
    VECTOR(ROLE_OUTPUT, c->sums, KIND_I32, c->heads * c->depth);
}

static void run_transpose_heads(const void *call, alb_isa isa, int threads) {
    const transpose_heads_call *c = call;
    alb_transpose_heads_int8(isa, threads, c->heads, c->channels, c->depth, c->src, c->values, c->scales, c->sums);
}

const operation operation_transpose_heads = {
    "transpose_heads_int8", sizeof(transpose_heads_call), draw_transpose_heads, describe_transpose_heads, NULL,
    run_transpose_heads, alb_transpose_heads_int8_variant};

const operation *const fused_operations[] = {
    &operation_layer_norm_quantized, &operation_matmul_heads, &operation_quantize_heads, &operation_transpose_heads, NULL};
