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

// --- Several int8 products of the same rows

/// Sums of packed weights, on which variants rely.
static void set_sums(const int8_t *weights, size_t channels, size_t k, const int32_t *sums) {
    for (size_t n = 0; n < round_up(channels, 16); n++) {
        int32_t sum = 0;
        for (size_t j = 0; j < k; j++) sum += weights[n / 16 * k * 16 + j / 4 * 64 + n % 16 * 4 + j % 4];
        ((int32_t *)sums)[n] = sum;
    }
}

static void draw_matmul_together(void *call, shape_source *shape) {
    matmul_together_call *c = call;
    c->count = extent(shape, MOST_PRODUCTS, EDGES(1, 2, 3));
    if (c->count > MOST_PRODUCTS) c->count = MOST_PRODUCTS;
    for (size_t i = 0; i < c->count; i++) {
        alb_matmul_int8_args *a = &c->products[i];
        a->m = i ? c->products[0].m : extent(shape, 9, EDGES(1, 6, 7, 50));
        a->k = i ? c->products[0].k : round_up(extent(shape, 60, EDGES(4, 64, 300)), 4);
        a->n = i ? c->products[0].n : extent(shape, 90, EDGES(1, 64, 150));
        a->epilogue.bias = chance(shape, 2) ? WANTED : NULL;
        a->dst_stride = a->n + gap(shape);
    }
}

static void describe_matmul_together(void *call, visitor *v) {
    matmul_together_call *c = call;
    NUMBER(c->count);
    for (size_t i = 0; i < c->count; i++) {
        alb_matmul_int8_args *a = &c->products[i];
        NUMBER(a->m);
        NUMBER(a->n);
        NUMBER(a->k);
        NUMBER(a->dst_stride);
        NUMBER(a->epilogue.activation);
    }
    for (size_t i = 0; i < c->count; i++) {
        alb_matmul_int8_args *a = &c->products[i];
        const size_t channels = round_up(a->n, 16);
        if (i == 0) {
            VECTOR(ROLE_INPUT, a->lhs, KIND_U8, a->m * a->k);
            VECTOR(ROLE_INPUT, a->lhs_scales, KIND_F32, a->m);
            VECTOR(ROLE_INPUT, a->lhs_zero_points, KIND_I32, a->m);
        } else {
            a->lhs = c->products[0].lhs;
            a->lhs_scales = c->products[0].lhs_scales;
            a->lhs_zero_points = c->products[0].lhs_zero_points;
        }
        ALIGNED(ROLE_INPUT, a->rhs, KIND_S8, channels * a->k);
        VECTOR(ROLE_INPUT, a->rhs_scales, KIND_F32, channels);
        VECTOR(ROLE_INPUT, a->rhs_sums, KIND_I32, channels);
        if (OPTIONAL(a->epilogue.bias)) VECTOR(ROLE_INPUT, a->epilogue.bias, KIND_F32, a->n);
        MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->m, a->n, a->dst_stride);
    }
}

static void refine_matmul_together(void *call, random_source *random) {
    (void)random;
    const matmul_together_call *c = call;
    for (size_t i = 0; i < c->count; i++)
        set_sums(c->products[i].rhs, c->products[i].n, c->products[i].k, c->products[i].rhs_sums);
}

static void run_matmul_together(const void *call, alb_isa isa, int threads) {
    const matmul_together_call *c = call;
    alb_matmul_together_f32_qu8d_qs8c(isa, threads, c->count, c->products);
}

const operation operation_matmul_together = {
    "matmul_together_f32_qu8d_qs8c", sizeof(matmul_together_call), draw_matmul_together, describe_matmul_together,
    refine_matmul_together, run_matmul_together, alb_matmul_f32_qu8d_qs8c_variant};

// --- Attention to tokens themselves

static void draw_absorbed_attention(void *call, shape_source *shape) {
    absorbed_attention_call *c = call;
    alb_absorbed_attention_args *a = &c->args;
    a->heads = extent(shape, 3, EDGES(1, 3));
    a->width = 16 * extent(shape, 3, EDGES(1, 4));
    a->depth = 16 * extent(shape, 4, EDGES(1, 2, 5, 20));
    a->count = extent(shape, 3, EDGES(1, 3));
    if (a->count > MOST_GROUPS) a->count = MOST_GROUPS;
    a->scale = 0.125f;
    const size_t sharing = choice(shape, 3);  // the queries: no group, those of unlike lengths, those of one length
    const bool shared = sharing > 0, alike = sharing > 1;
    const size_t rows = extent(shape, 9, EDGES(1, 7, 26));
    for (size_t i = 0; i < a->count; i++) {
        alb_absorbed_group *group = &c->groups[i];
        group->rows = i && !alike ? 1 + chance(shape, rows) : rows;
        group->query = shared ? 0 : c->rows;
        group->row = c->rows + (i ? chance(shape, 2) : 0);
        c->rows = group->row + group->rows;
        if (group->query + group->rows > c->queries) c->queries = group->query + group->rows;
        group->tokens = (alb_keys_values_s8){.heads = 1, .width = a->depth};
        group->tokens.tokens = i ? 1 + chance(shape, 70) : extent(shape, 40, EDGES(1, 17, 65));
    }
    a->q_row = a->heads * a->width + gap(shape);
    a->dst_row = a->heads * a->width + gap(shape);
}

static void describe_absorbed_attention(void *call, visitor *v) {
    absorbed_attention_call *c = call;
    alb_absorbed_attention_args *a = &c->args;
    NUMBER(a->heads);
    NUMBER(a->width);
    NUMBER(a->depth);
    NUMBER(a->count);
    NUMBER(a->scale);
    NUMBER(a->q_row);
    NUMBER(a->dst_row);
    NUMBER(c->queries);
    NUMBER(c->rows);
    size_t tokens = 0;
    for (size_t i = 0; i < a->count; i++) {
        alb_absorbed_group *group = &c->groups[i];
        NUMBER(group->query);
        NUMBER(group->row);
        NUMBER(group->rows);
        NUMBER(group->tokens.heads);
        NUMBER(group->tokens.tokens);
        NUMBER(group->tokens.width);
        if (group->tokens.tokens > tokens) tokens = group->tokens.tokens;
    }
    const size_t columns = a->heads * a->width, inputs = a->heads * a->depth;
    MATRIX(ROLE_INPUT, a->q, KIND_F32, c->queries, columns, a->q_row);
    ALIGNED(ROLE_INPUT, a->keys, KIND_S8, columns * a->depth);
    VECTOR(ROLE_INPUT, a->key_scales, KIND_F32, inputs);
    VECTOR(ROLE_INPUT, a->key_sums, KIND_I32, inputs);
    VECTOR(ROLE_INPUT, a->key_factors, KIND_F32, columns);
    ALIGNED(ROLE_INPUT, a->values, KIND_S8, columns * a->depth);
    VECTOR(ROLE_INPUT, a->value_scales, KIND_F32, columns);
    VECTOR(ROLE_INPUT, a->value_sums, KIND_I32, columns);
    VECTOR(ROLE_INPUT, a->value_bias, KIND_F32, columns);
    for (size_t i = 0; i < a->count; i++) describe_keys_values(&c->groups[i].tokens, ROLE_INPUT, v);
    a->groups = c->groups;
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, c->rows, columns, a->dst_row);
    SCRATCH(a->scratch, alb_absorbed_attention_scratch_bytes(MAXIMUM_THREADS, tokens, a->width, a->depth));
}

static void refine_absorbed_attention(void *call, random_source *random) {
    const absorbed_attention_call *c = call;
    const alb_absorbed_attention_args *a = &c->args;
    for (size_t i = 0; i < a->count; i++) refine_keys_values(&a->groups[i].tokens, random);
    set_sums(a->keys, a->heads * a->depth, a->width, a->key_sums);
    set_sums(a->values, a->heads * a->width, a->depth, a->value_sums);
}

static void run_absorbed_attention(const void *call, alb_isa isa, int threads) {
    const absorbed_attention_call *c = call;
    alb_absorbed_attention(isa, threads, &c->args);
}

const operation operation_absorbed_attention = {
    "absorbed_attention", sizeof(absorbed_attention_call), draw_absorbed_attention, describe_absorbed_attention,
    refine_absorbed_attention, run_absorbed_attention, alb_absorbed_attention_variant};

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
    &operation_layer_norm_quantized, &operation_matmul_together, &operation_absorbed_attention, &operation_transpose_heads,
    NULL};
