// Attention in float and in int8.
#include <string.h>

#include "cases.h"

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// --- Float attention

static void draw_attention_f32(void *call, shape_source *shape) {
    attention_f32_call *a = call;
    a->heads = extent(shape, 3, EDGES(1, 2));
    a->queries = extent(shape, 9, EDGES(1, 2, 5, 8, 17));
    a->keys = extent(shape, 24, EDGES(1, 2, 15, 16, 17, 33, 65));
    a->width = extent(shape, 20, EDGES(1, 3, 8, 16, 17, 64));
    a->causal = choice(shape, 2);
    a->query_offset = a->causal ? chance(shape, 4) : 0;
    const size_t columns = a->heads * a->width;
    a->q_row = columns + gap(shape);
    a->k_row = columns + gap(shape);
    a->v_row = columns + gap(shape);
    a->dst_row = columns + gap(shape);
    a->probabilities = chance(shape, 2) ? WANTED : NULL;
}

static void describe_attention_f32(void *call, visitor *v) {
    attention_f32_call *a = call;
    NUMBER(a->heads);
    NUMBER(a->queries);
    NUMBER(a->keys);
    NUMBER(a->width);
    NUMBER(a->causal);
    NUMBER(a->query_offset);
    NUMBER(a->q_row);
    NUMBER(a->k_row);
    NUMBER(a->v_row);
    NUMBER(a->dst_row);
    const size_t columns = a->heads * a->width;
    MATRIX(ROLE_INPUT, a->q, KIND_F32, a->queries, columns, a->q_row);
    MATRIX(ROLE_INPUT, a->k, KIND_F32, a->keys, columns, a->k_row);
    MATRIX(ROLE_INPUT, a->v, KIND_F32, a->keys, columns, a->v_row);
    if (OPTIONAL(a->probabilities)) VECTOR(ROLE_OUTPUT, a->probabilities, KIND_F32, a->heads * a->queries * a->keys);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->queries, columns, a->dst_row);
    SCRATCH(a->scratch, alb_attention_f32_scratch_bytes(MAXIMUM_THREADS, a->heads, a->keys, a->width));
}

static void run_attention_f32(const void *call, alb_isa isa, int threads) { alb_attention_f32(isa, threads, call); }

const operation operation_attention_f32 = {
    "attention_f32", sizeof(attention_f32_call), draw_attention_f32, describe_attention_f32, NULL, run_attention_f32,
    alb_attention_f32_variant};

// --- Float attention of many groups

static void draw_attention_f32_groups(void *call, shape_source *shape) {
    attention_f32_groups_call *c = call;
    alb_attention_f32_groups_args *a = &c->args;
    a->heads = extent(shape, 3, EDGES(1, 12));
    a->groups = extent(shape, 12, EDGES(1, 2, 7));
    a->longest = extent(shape, 20, EDGES(1, 4, 15, 17, 33));
    a->width = extent(shape, 20, EDGES(1, 3, 8, 17, 64));
    a->causal = choice(shape, 2);
    a->rows = choice(shape, 2) ? WANTED : NULL;
    c->queries = a->groups * (1 + chance(shape, 3)) + chance(shape, 40);
    c->keys = a->longest + chance(shape, 20);
    c->places = a->longest + chance(shape, 60);
    const size_t columns = a->heads * a->width;
    a->q_row = columns + gap(shape);
    a->k_row = columns + gap(shape);
    a->v_row = columns + gap(shape);
    a->dst_row = columns + gap(shape);
}

_Static_assert(sizeof(alb_attention_f32_group) == 5 * sizeof(int32_t), "a group is described as five integers");

static void describe_attention_f32_groups(void *call, visitor *v) {
    attention_f32_groups_call *c = call;
    alb_attention_f32_groups_args *a = &c->args;
    NUMBER(a->heads);
    NUMBER(a->width);
    NUMBER(a->groups);
    NUMBER(a->longest);
    NUMBER(a->causal);
    NUMBER(c->queries);
    NUMBER(c->keys);
    NUMBER(c->places);
    NUMBER(a->q_row);
    NUMBER(a->k_row);
    NUMBER(a->v_row);
    NUMBER(a->dst_row);
    const size_t columns = a->heads * a->width;
    MATRIX(ROLE_INPUT, a->q, KIND_F32, c->queries, columns, a->q_row);
    MATRIX(ROLE_INPUT, a->k, KIND_F32, c->keys, columns, a->k_row);
    MATRIX(ROLE_INPUT, a->v, KIND_F32, c->keys, columns, a->v_row);
    MATRIX(ROLE_INPUT, a->group, KIND_I32, a->groups, 5, 5);
    if (OPTIONAL(a->rows)) VECTOR(ROLE_INPUT, a->rows, KIND_I32, c->places);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, c->queries, columns, a->dst_row);
    SCRATCH(a->scratch, alb_attention_f32_groups_scratch_bytes(MAXIMUM_THREADS, a->longest, a->width));
}

/// Groups share all queries out among them, some get none; each has some of the keys, the first as many as any may have.
static void refine_attention_f32_groups(void *call, random_source *random) {
    attention_f32_groups_call *c = call;
    alb_attention_f32_groups_args *a = &c->args;
    alb_attention_f32_group *groups = (alb_attention_f32_group *)a->group;
    int32_t *rows = (int32_t *)a->rows;
    if (rows)
        for (size_t i = 0; i < c->places; i++) rows[i] = (int32_t)random_below(random, c->keys);
    const size_t among = rows ? c->places : c->keys, most = a->longest;
    size_t query = 0;
    for (size_t i = 0; i < a->groups; i++) {
        const size_t left = c->queries - query;
        const size_t queries = i + 1 < a->groups ? random_below(random, 2 * left / (a->groups - i) + 1) : left;
        const size_t keys = i == 0 ? most : 1 + random_below(random, most);
        groups[i] = (alb_attention_f32_group){
            (int32_t)query, (int32_t)queries, (int32_t)random_below(random, among - keys + 1), (int32_t)keys,
            (int32_t)random_below(random, 4)};
        query += queries;
    }
}

static void run_attention_f32_groups(const void *call, alb_isa isa, int threads) {
    const attention_f32_groups_call *c = call;
    alb_attention_f32_groups(isa, threads, &c->args);
}

const operation operation_attention_f32_groups = {
    "attention_f32_groups", sizeof(attention_f32_groups_call), draw_attention_f32_groups, describe_attention_f32_groups,
    refine_attention_f32_groups, run_attention_f32_groups, alb_attention_f32_variant};

// --- Int8 keys and values

static void draw_keys_values(alb_keys_values_s8 *kv, shape_source *shape) {
    kv->heads = extent(shape, 3, EDGES(1, 2));
    kv->tokens = extent(shape, 40, EDGES(1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 65, 130));
    kv->width = extent(shape, 24, EDGES(1, 3, 4, 5, 8, 15, 16, 17, 32, 64, 66, 256, 324, 1028));
    // Whole tokens as keys, and sequences at which variants that sum in chunks begin another one.
    if (!shape->edges && chance(shape, 150) == 0) kv->width = 768;
    if (!shape->edges && chance(shape, 150) == 0) kv->tokens = 1021 + chance(shape, 9);
}

void describe_keys_values(alb_keys_values_s8 *kv, operand_role role, visitor *v) {
    const size_t tokens16 = round_up(kv->tokens, 16), tokens4 = round_up(kv->tokens, 4);
    const size_t width16 = round_up(kv->width, 16), width4 = round_up(kv->width, 4);
    ALIGNED(role, kv->keys, KIND_S8, kv->heads * tokens16 * width4);
    ALIGNED(role, kv->key_scales, KIND_F32, kv->heads * tokens16);
    ALIGNED(role, kv->key_sums, KIND_I32, kv->heads * tokens16);
    ALIGNED(role, kv->values, KIND_S8, kv->heads * width16 * tokens4);
    ALIGNED(role, kv->value_scales, KIND_F32, kv->heads * width16);
}

static void draw_attention_s8_quantize(void *call, shape_source *shape) {
    attention_s8_quantize_call *a = call;
    draw_keys_values(&a->kv, shape);
    a->k_row = a->kv.heads * a->kv.width + gap(shape);
    a->v_row = a->kv.heads * a->kv.width + gap(shape);
}

static void describe_attention_s8_quantize(void *call, visitor *v) {
    attention_s8_quantize_call *a = call;
    NUMBER(a->kv.heads);
    NUMBER(a->kv.tokens);
    NUMBER(a->kv.width);
    NUMBER(a->k_row);
    NUMBER(a->v_row);
    MATRIX(ROLE_INPUT, a->k, KIND_F32, a->kv.tokens, a->kv.heads * a->kv.width, a->k_row);
    MATRIX(ROLE_INPUT, a->v, KIND_F32, a->kv.tokens, a->kv.heads * a->kv.width, a->v_row);
    describe_keys_values(&a->kv, ROLE_OUTPUT, v);
}

static void run_attention_s8_quantize(const void *call, alb_isa isa, int threads) {
    const attention_s8_quantize_call *a = call;
    alb_attention_s8_quantize(isa, threads, a->k, a->k_row, a->v, a->v_row, &a->kv);
}

const operation operation_attention_s8_quantize = {
    "attention_s8_quantize", sizeof(attention_s8_quantize_call), draw_attention_s8_quantize,
    describe_attention_s8_quantize, NULL, run_attention_s8_quantize, alb_attention_s8_variant};

// --- Int8 attention

static void draw_attention_s8(void *call, shape_source *shape) {
    attention_s8_call *a = call;
    draw_keys_values(&a->kv, shape);
    a->queries = extent(shape, 14, EDGES(1, 5, 24, 27));
    a->q_row = a->kv.heads * a->kv.width + gap(shape);
    a->dst_row = a->kv.heads * a->kv.width + gap(shape);
    a->scale = 0.125f;
}

static void describe_attention_s8(void *call, visitor *v) {
    attention_s8_call *a = call;
    NUMBER(a->kv.heads);
    NUMBER(a->kv.tokens);
    NUMBER(a->kv.width);
    NUMBER(a->queries);
    NUMBER(a->q_row);
    NUMBER(a->dst_row);
    NUMBER(a->scale);
    const size_t columns = a->kv.heads * a->kv.width;
    describe_keys_values(&a->kv, ROLE_INPUT, v);
    MATRIX(ROLE_INPUT, a->q, KIND_F32, a->queries, columns, a->q_row);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->queries, columns, a->dst_row);
    SCRATCH(a->scratch, alb_attention_s8_scratch_bytes(MAXIMUM_THREADS, a->kv.tokens, a->kv.width));
}

void refine_keys_values(const alb_keys_values_s8 *kv, random_source *random) {
    const size_t tokens16 = round_up(kv->tokens, 16), tokens4 = round_up(kv->tokens, 4);
    const size_t width16 = round_up(kv->width, 16), width4 = round_up(kv->width, 4);
    // Now and then scores lie far apart, so that most probabilities are 0.
    const float spread = random_chance(random, 4) ? 0.5f : 0.015625f;
    for (size_t head = 0; head < kv->heads; head++) {
        for (size_t j = 0; j < tokens16; j++) {
            int32_t sum = 0;
            for (size_t c = 0; c < width4; c++) {
                int8_t *key = kv->keys + head * tokens16 * width4 + (j / 16 * (width4 / 4) + c / 4) * 64 + j % 16 * 4 + c % 4;
                if (j >= kv->tokens || c >= kv->width) *key = 0;
                sum += *key;
            }
            kv->key_sums[head * tokens16 + j] = sum;
            float unit = random_unit(random);
            kv->key_scales[head * tokens16 + j] = j < kv->tokens ? (unit < 0 ? -unit : unit) * spread : 0.0f;
        }
        for (size_t c = 0; c < width16; c++) {
            for (size_t j = 0; j < tokens4; j++)
                if (c >= kv->width || j >= kv->tokens)
                    kv->values[head * width16 * tokens4 + (c / 16 * (tokens4 / 4) + j / 4) * 64 + c % 16 * 4 + j % 4] = 0;
            float unit = random_unit(random);
            kv->value_scales[head * width16 + c] = c < kv->width ? (unit < 0 ? -unit : unit) * 0.0625f : 0.0f;
        }
    }
}

static void refine_attention_s8(void *call, random_source *random) {
    refine_keys_values(&((attention_s8_call *)call)->kv, random);
}

static void run_attention_s8(const void *call, alb_isa isa, int threads) {
    const attention_s8_call *a = call;
    alb_attention_s8(isa, threads, a->queries, a->q, a->q_row, &a->kv, a->scale, a->dst, a->dst_row, a->scratch);
}

const operation operation_attention_s8 = {
    "attention_s8", sizeof(attention_s8_call), draw_attention_s8, describe_attention_s8, refine_attention_s8,
    run_attention_s8, alb_attention_s8_variant};

const operation *const attention_operations[] = {
    &operation_attention_f32, &operation_attention_f32_groups, &operation_attention_s8_quantize, &operation_attention_s8,
    NULL};
