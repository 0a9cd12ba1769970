// What is done to weights at export, and comparison: one implementation each, so that what is compared here are threads and
// machines.
#include <string.h>

#include "cases.h"

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// --- Packing

static void draw_pack(void *call, shape_source *shape) {
    pack_call *c = call;
    c->channels = extent(shape, 30, EDGES(1, 15, 16, 17, 70));
    c->depth = extent(shape, 30, EDGES(1, 3, 4, 5, 16, 33));
}

static void describe_src(pack_call *c, visitor *v) {
    NUMBER(c->channels);
    NUMBER(c->depth);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->channels * c->depth);
}

static void describe_pack_int8(void *call, visitor *v) {
    pack_call *c = call;
    describe_src(c, v);
    const size_t padded = round_up(c->channels, 16);
    ALIGNED(ROLE_OUTPUT, c->packed_int8, KIND_S8, padded * round_up(c->depth, 4));
    VECTOR(ROLE_OUTPUT, c->scales, KIND_F32, padded);
    VECTOR(ROLE_OUTPUT, c->sums, KIND_I32, padded);
    VECTOR(ROLE_OUTPUT, c->report, KIND_F64, 6);
    VECTOR(ROLE_OUTPUT, c->finite, KIND_U8, 1);
}

static void run_pack_int8(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pack_call *c = call;
    alb_pack_report report;
    alb_pack_int8(threads, c->channels, c->depth, c->src, c->packed_int8, c->scales, c->sums, &report);
    c->report[0] = (double)report.least_absmax;
    c->report[1] = (double)report.greatest_absmax;
    c->report[2] = report.square_error;
    c->report[3] = report.square_sum;
    c->report[4] = (double)report.worst_channel;
    c->report[5] = report.worst_share;
    *c->finite = report.finite;
}

static void describe_pack_f32(void *call, visitor *v) {
    pack_call *c = call;
    describe_src(c, v);
    ALIGNED(ROLE_OUTPUT, c->packed_f32, KIND_F32, round_up(c->channels, 16) * c->depth);
    VECTOR(ROLE_OUTPUT, c->finite, KIND_U8, 1);
}

static void run_pack_f32(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pack_call *c = call;
    *c->finite = alb_pack_f32(threads, c->channels, c->depth, c->src, c->packed_f32);
}

static void describe_unpack_int8(void *call, visitor *v) {
    pack_call *c = call;
    NUMBER(c->channels);
    NUMBER(c->depth);
    const size_t padded = round_up(c->channels, 16);
    ALIGNED(ROLE_INPUT, c->int8_values, KIND_S8, padded * round_up(c->depth, 4));
    VECTOR(ROLE_INPUT, c->given_scales, KIND_F32, padded);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->channels * c->depth);
}

static void run_unpack_int8(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pack_call *c = call;
    alb_unpack_int8(threads, c->channels, c->depth, c->int8_values, c->given_scales, c->dst);
}

static void describe_unpack_f32(void *call, visitor *v) {
    pack_call *c = call;
    NUMBER(c->channels);
    NUMBER(c->depth);
    ALIGNED(ROLE_INPUT, c->f32_values, KIND_F32, round_up(c->channels, 16) * c->depth);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->channels * c->depth);
}

static void run_unpack_f32(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pack_call *c = call;
    alb_unpack_f32(threads, c->channels, c->depth, c->f32_values, c->dst);
}

const operation operation_pack_int8 = {
    "pack_int8", sizeof(pack_call), draw_pack, describe_pack_int8, NULL, run_pack_int8, NULL};
const operation operation_pack_f32 = {
    "pack_f32", sizeof(pack_call), draw_pack, describe_pack_f32, NULL, run_pack_f32, NULL};
const operation operation_unpack_int8 = {
    "unpack_int8", sizeof(pack_call), draw_pack, describe_unpack_int8, NULL, run_unpack_int8, NULL};
const operation operation_unpack_f32 = {
    "unpack_f32", sizeof(pack_call), draw_pack, describe_unpack_f32, NULL, run_unpack_f32, NULL};

// --- Smoothing

static void draw_smoothing(void *call, shape_source *shape) {
    smoothing_call *c = call;
    c->rows = extent(shape, 6, EDGES(1, 3, 9));
    c->columns = extent(shape, 30, EDGES(1, 7, 16, 33));
    c->stride = c->columns + gap(shape);
    c->share = 0.125f * (float)chance(shape, 9);
}

static void describe_numbers(smoothing_call *c, visitor *v) {
    NUMBER(c->rows);
    NUMBER(c->columns);
    NUMBER(c->stride);
    NUMBER(c->share);
}

static void describe_column_absmax(void *call, visitor *v) {
    smoothing_call *c = call;
    describe_numbers(c, v);
    MATRIX(ROLE_INPUT, c->src, KIND_F32, c->rows, c->columns, c->stride);
    VECTOR(ROLE_IN_OUT, c->values, KIND_F32, c->columns);
}

static void run_column_absmax(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const smoothing_call *c = call;
    alb_column_absmax_f32(c->rows, c->columns, c->src, c->stride, c->values);
}

static void describe_smoothing_exponents(void *call, visitor *v) {
    smoothing_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->columns);
    VECTOR(ROLE_INPUT, c->weights, KIND_F32, c->columns);
    VECTOR(ROLE_OUTPUT, c->exponents, KIND_I32, c->columns);
}

static void refine_smoothing_exponents(void *call, random_source *random) {
    (void)random;
    const smoothing_call *c = call;
    for (size_t i = 0; i < c->columns; i++) {
        float *x = (float *)c->src + i, *w = (float *)c->weights + i;
        *x = *x < 0 ? -*x : *x;
        *w = *w < 0 ? -*w : *w;
    }
}

static void run_smoothing_exponents(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const smoothing_call *c = call;
    alb_smoothing_exponents(c->columns, c->src, c->weights, c->share, c->exponents);
}

static void describe_scaling(smoothing_call *c, size_t exponents, visitor *v) {
    describe_numbers(c, v);
    VECTOR(ROLE_IN_OUT, c->values, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_INPUT, c->given_exponents, KIND_I32, exponents);
}

static void describe_scale_columns(void *call, visitor *v) { describe_scaling(call, ((smoothing_call *)call)->columns, v); }
static void describe_unscale_rows(void *call, visitor *v) { describe_scaling(call, ((smoothing_call *)call)->rows, v); }

static void refine_columns(void *call, random_source *random) {
    const smoothing_call *c = call;
    for (size_t i = 0; i < c->columns; i++) ((int32_t *)c->given_exponents)[i] = (int32_t)random_below(random, 49) - 24;
}

static void refine_rows(void *call, random_source *random) {
    const smoothing_call *c = call;
    for (size_t i = 0; i < c->rows; i++) ((int32_t *)c->given_exponents)[i] = (int32_t)random_below(random, 49) - 24;
}

static void run_scale_columns(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const smoothing_call *c = call;
    alb_scale_columns_f32(c->rows, c->columns, c->values, c->given_exponents);
}

static void run_unscale_rows(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const smoothing_call *c = call;
    alb_unscale_rows_f32(c->rows, c->columns, c->values, c->given_exponents);
}

const operation operation_column_absmax = {
    "column_absmax_f32", sizeof(smoothing_call), draw_smoothing, describe_column_absmax, NULL, run_column_absmax, NULL};
const operation operation_smoothing_exponents = {
    "smoothing_exponents", sizeof(smoothing_call), draw_smoothing, describe_smoothing_exponents,
    refine_smoothing_exponents, run_smoothing_exponents, NULL};
const operation operation_scale_columns = {
    "scale_columns_f32", sizeof(smoothing_call), draw_smoothing, describe_scale_columns, refine_columns,
    run_scale_columns, NULL};
const operation operation_unscale_rows = {
    "unscale_rows_f32", sizeof(smoothing_call), draw_smoothing, describe_unscale_rows, refine_rows, run_unscale_rows, NULL};

// --- Comparison

static void describe_compare(void *call, visitor *v) {
    smoothing_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_INPUT, c->weights, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_OUTPUT, c->comparison, KIND_F64, 4);
}

static void run_compare(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const smoothing_call *c = call;
    const alb_comparison found = alb_compare_f32(c->rows * c->columns, c->src, c->weights);
    c->comparison[0] = found.maximum_difference;
    c->comparison[1] = found.maximum_absolute;
    c->comparison[2] = found.cosine;
    c->comparison[3] = found.pearson;
}

const operation operation_compare = {
    "compare_f32", sizeof(smoothing_call), draw_smoothing, describe_compare, NULL, run_compare, NULL};

const operation *const weight_operations[] = {
    &operation_pack_int8, &operation_pack_f32, &operation_unpack_int8, &operation_unpack_f32, &operation_column_absmax,
    &operation_smoothing_exponents, &operation_scale_columns, &operation_unscale_rows, &operation_compare, NULL};
