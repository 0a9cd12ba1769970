// Operations on whole rows: layer normalisation, functions, softmax and its relatives.
#include <math.h>
#include <string.h>

#include "cases.h"

#define ROW_EDGES EDGES(1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 100, 768)

/// The columns may be their own result, with the same stride.
static void describe_in_place(
    const float **src, size_t src_stride, float **dst, size_t dst_stride, size_t m, size_t n, bool in_place, visitor *v) {
    if (in_place) {
        MATRIX(ROLE_IN_OUT, *dst, KIND_F32, m, n, dst_stride);
        if (v->mode != VISIT_SAVE) *src = *dst;
        return;
    }
    MATRIX(ROLE_INPUT, *src, KIND_F32, m, n, src_stride);
    MATRIX(ROLE_OUTPUT, *dst, KIND_F32, m, n, dst_stride);
}

// --- Layer normalisation

static void draw_layer_norm(void *call, shape_source *shape) {
    layer_norm_call *c = call;
    alb_layer_norm_args *a = &c->args;
    a->m = extent(shape, 5, EDGES(1, 2, 9));
    a->n = extent(shape, 80, ROW_EDGES);
    a->src_stride = a->n + gap(shape);
    c->in_place = chance(shape, 2);
    a->dst_stride = c->in_place ? a->src_stride : a->n + gap(shape);
    a->epsilon = chance(shape, 2) ? 1e-6f : 1e-12f;
    if (chance(shape, 2)) a->normalized = a->reciprocals = WANTED;
}

static void describe_layer_norm(void *call, visitor *v) {
    layer_norm_call *c = call;
    alb_layer_norm_args *a = &c->args;
    NUMBER(a->m);
    NUMBER(a->n);
    NUMBER(a->src_stride);
    NUMBER(a->dst_stride);
    NUMBER(a->epsilon);
    NUMBER(c->in_place);
    VECTOR(ROLE_INPUT, a->weight, KIND_F32, a->n);
    VECTOR(ROLE_INPUT, a->bias, KIND_F32, a->n);
    describe_in_place(&a->src, a->src_stride, &a->dst, a->dst_stride, a->m, a->n, c->in_place, v);
    if (OPTIONAL(a->normalized)) VECTOR(ROLE_OUTPUT, a->normalized, KIND_F32, a->m * a->n);
    if (OPTIONAL(a->reciprocals)) VECTOR(ROLE_OUTPUT, a->reciprocals, KIND_F32, a->m);
}

static void run_layer_norm(const void *call, alb_isa isa, int threads) {
    alb_layer_norm_f32(isa, threads, &((const layer_norm_call *)call)->args);
}

const operation operation_layer_norm = {
    "layer_norm_f32", sizeof(layer_norm_call), draw_layer_norm, describe_layer_norm, NULL, run_layer_norm,
    alb_layer_norm_f32_variant};

// --- Functions

static void draw_map(void *call, shape_source *shape) {
    map_call *c = call;
    alb_map_args *a = &c->args;
    a->function = (alb_function)choice(shape, 6);
    a->m = extent(shape, 3, EDGES(1, 3, 40));
    a->n = extent(shape, 80, ROW_EDGES);
    a->src_stride = a->n + gap(shape);
    c->in_place = chance(shape, 2);
    a->dst_stride = c->in_place ? a->src_stride : a->n + gap(shape);
}

static void describe_map(void *call, visitor *v) {
    map_call *c = call;
    alb_map_args *a = &c->args;
    NUMBER(a->function);
    NUMBER(a->m);
    NUMBER(a->n);
    NUMBER(a->src_stride);
    NUMBER(a->dst_stride);
    NUMBER(c->in_place);
    describe_in_place(&a->src, a->src_stride, &a->dst, a->dst_stride, a->m, a->n, c->in_place, v);
}

/// Now and then floats of any bits: infinities, NaNs, denormals and the ends of each function's range.
static void refine_map(void *call, random_source *random) {
    const map_call *c = call;
    float *values = c->in_place ? c->args.dst : (float *)c->args.src;
    const size_t stride = c->args.src_stride, style = random_below(random, 3);
    for (size_t i = 0; style > 0 && i < c->args.m; i++)
        for (size_t j = 0; j < c->args.n; j++) {
            float *x = values + i * stride + j;
            const uint32_t bits = (uint32_t)random_bits(random);
            if (style == 1)
                memcpy(x, &bits, sizeof *x);
            else
                *x = *x * 64.0f;
        }
}

static void run_map(const void *call, alb_isa isa, int threads) {
    alb_map_f32(isa, threads, &((const map_call *)call)->args);
}

const operation operation_map = {
    "map_f32", sizeof(map_call), draw_map, describe_map, refine_map, run_map, alb_map_f32_variant};

// --- Softmax, unit length, sums

static void draw_rows(void *call, shape_source *shape) {
    rows_call *c = call;
    alb_rows_args *a = &c->args;
    a->m = extent(shape, 4, EDGES(1, 2, 5, 70));
    a->n = extent(shape, 80, ROW_EDGES);
    a->src_stride = a->n + gap(shape);
    c->in_place = chance(shape, 2);
    a->dst_stride = c->in_place ? a->src_stride : a->n + gap(shape);
}

static void describe_numbers(rows_call *c, visitor *v) {
    NUMBER(c->args.m);
    NUMBER(c->args.n);
    NUMBER(c->args.src_stride);
    NUMBER(c->args.dst_stride);
    NUMBER(c->in_place);
}

static void describe_rows(void *call, visitor *v) {
    rows_call *c = call;
    alb_rows_args *a = &c->args;
    describe_numbers(c, v);
    describe_in_place(&a->src, a->src_stride, &a->dst, a->dst_stride, a->m, a->n, c->in_place, v);
}

static void run_softmax(const void *call, alb_isa isa, int threads) {
    alb_softmax_f32(isa, threads, &((const rows_call *)call)->args);
}

static void run_l2_normalize(const void *call, alb_isa isa, int threads) {
    alb_l2_normalize_f32(isa, threads, &((const rows_call *)call)->args);
}

static void run_sum(const void *call, alb_isa isa, int threads) {
    alb_sum_f32(isa, threads, &((const rows_call *)call)->args);
}

static void draw_sum(void *call, shape_source *shape) {
    rows_call *c = call;
    draw_rows(call, shape);
    c->in_place = false;
    c->args.dst_stride = 1 + gap(shape);
}

static void describe_sum(void *call, visitor *v) {
    rows_call *c = call;
    alb_rows_args *a = &c->args;
    describe_numbers(c, v);
    MATRIX(ROLE_INPUT, a->src, KIND_F32, a->m, a->n, a->src_stride);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->m, 1, a->dst_stride);
}

const operation operation_softmax = {
    "softmax_f32", sizeof(rows_call), draw_rows, describe_rows, NULL, run_softmax, alb_softmax_f32_variant};
const operation operation_l2_normalize = {
    "l2_normalize_f32", sizeof(rows_call), draw_rows, describe_rows, NULL, run_l2_normalize, alb_l2_normalize_f32_variant};
const operation operation_sum = {
    "sum_f32", sizeof(rows_call), draw_sum, describe_sum, NULL, run_sum, alb_softmax_f32_variant};

// --- Log-probabilities

static void draw_log_softmax_gather(void *call, shape_source *shape) {
    rows_call *c = call;
    draw_rows(call, shape);
    c->in_place = false;
    c->args.dst_stride = 1 + gap(shape);
    c->args.id_ends = chance(shape, 2) ? WANTED : NULL;
    c->ids = c->args.id_ends ? c->args.m + chance(shape, 8) : c->args.m;
}

static void describe_log_softmax_gather(void *call, visitor *v) {
    rows_call *c = call;
    alb_rows_args *a = &c->args;
    describe_numbers(c, v);
    NUMBER(c->ids);
    MATRIX(ROLE_INPUT, a->src, KIND_F32, a->m, a->n, a->src_stride);
    VECTOR(ROLE_INPUT, a->ids, KIND_I32, c->ids);
    if (OPTIONAL(a->id_ends)) VECTOR(ROLE_INPUT, a->id_ends, KIND_I32, a->m);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, c->ids, 1, a->dst_stride);
}

/// Ids lie in their row; ends ascend to the last id.
static void refine_log_softmax_gather(void *call, random_source *random) {
    rows_call *c = call;
    int32_t *ids = (int32_t *)c->args.ids, *ends = (int32_t *)c->args.id_ends;
    for (size_t i = 0; i < c->ids; i++) ids[i] = (int32_t)random_below(random, c->args.n);
    if (!ends) return;
    size_t end = 0;
    for (size_t i = 0; i < c->args.m; i++) {
        if (end < c->ids) end += random_below(random, c->ids - end + 1);
        ends[i] = (int32_t)(i + 1 == c->args.m ? c->ids : end);
    }
}

static void run_log_softmax_gather(const void *call, alb_isa isa, int threads) {
    alb_log_softmax_gather_f32(isa, threads, &((const rows_call *)call)->args);
}

const operation operation_log_softmax_gather = {
    "log_softmax_gather_f32", sizeof(rows_call), draw_log_softmax_gather, describe_log_softmax_gather,
    refine_log_softmax_gather, run_log_softmax_gather, alb_softmax_f32_variant};

// --- Finite values

static void draw_all_finite(void *call, shape_source *shape) {
    all_finite_call *c = call;
    c->m = extent(shape, 3, EDGES(1, 2));
    c->n = extent(shape, 40, EDGES(1, 15, 16, 17, 33));
    c->src_stride = c->n + gap(shape);
}

static void describe_all_finite(void *call, visitor *v) {
    all_finite_call *c = call;
    NUMBER(c->m);
    NUMBER(c->n);
    NUMBER(c->src_stride);
    MATRIX(ROLE_INPUT, c->src, KIND_F32, c->m, c->n, c->src_stride);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_U8, 1);
}

static void refine_all_finite(void *call, random_source *random) {
    const all_finite_call *c = call;
    const float odd[] = {INFINITY, -INFINITY, NAN, 0x1.fffffep127f};
    if (random_chance(random, 2))
        ((float *)c->src)[random_below(random, c->m) * c->src_stride + random_below(random, c->n)] = odd[random_below(random, 4)];
}

static void run_all_finite(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const all_finite_call *c = call;
    *c->dst = alb_all_finite_f32(c->m, c->n, c->src, c->src_stride);
}

const operation operation_all_finite = {
    "all_finite_f32", sizeof(all_finite_call), draw_all_finite, describe_all_finite, refine_all_finite, run_all_finite, NULL};

const operation *const row_operations[] = {
    &operation_layer_norm, &operation_map, &operation_softmax, &operation_log_softmax_gather, &operation_l2_normalize,
    &operation_sum, &operation_all_finite, NULL};
