// What is done with a heatmap.
#include <string.h>

#include "cases.h"

static void draw_heatmap(void *call, shape_source *shape) {
    heatmap_call *c = call;
    c->rows = extent(shape, 8, EDGES(1, 2, 7, 24));
    c->columns = extent(shape, 10, EDGES(1, 3, 8, 17, 24));
    c->dst_rows = extent(shape, 12, EDGES(1, 5, 30));
    c->dst_columns = extent(shape, 12, EDGES(1, 16, 37));
    c->count = extent(shape, 4, EDGES(1, 5));
    c->sigma = 0.25f + (float)chance(shape, 24) * 0.25f;
}

static void describe_numbers(heatmap_call *c, visitor *v) {
    NUMBER(c->rows);
    NUMBER(c->columns);
    NUMBER(c->dst_rows);
    NUMBER(c->dst_columns);
    NUMBER(c->count);
    NUMBER(c->sigma);
}

/// Most maps lie in 0...1, as those of a class activation do.
static void refine_map(void *call, random_source *random) {
    const heatmap_call *c = call;
    float *map = c->map ? c->map : (float *)c->src;
    if (random_chance(random, 4)) return;
    for (size_t i = 0; i < c->rows * c->columns; i++) map[i] = 0.5f + 0.5f * random_unit(random);
}

// --- Upsampling

static void describe_upsample(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->dst_rows * c->dst_columns);
    SCRATCH(c->scratch, alb_upsample_f32_scratch(c->rows, c->dst_columns) * sizeof(float));
}

static void run_upsample(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const heatmap_call *c = call;
    alb_upsample_f32(threads, c->src, c->rows, c->columns, c->dst, c->dst_rows, c->dst_columns, c->scratch);
}

const operation operation_upsample = {
    "upsample_f32", sizeof(heatmap_call), draw_heatmap, describe_upsample, refine_map, run_upsample, NULL};

// --- Boxes and the region

static void describe_box_scores(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_INPUT, c->boxes, KIND_F64, 4 * c->count);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->count);
}

static void refine_boxes(void *call, random_source *random) {
    const heatmap_call *c = call;
    refine_map(call, random);
    for (size_t i = 0; i < 4 * c->count; i++) {
        double *x = (double *)c->boxes + i;
        *x = *x * 0.25 + (i % 4 < 2 ? 4.0 : 12.0);
    }
}

static void run_box_scores(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const heatmap_call *c = call;
    alb_box_scores_f32(threads, c->src, c->rows, c->columns, c->boxes, c->count, c->dst);
}

const operation operation_box_scores = {
    "box_scores_f32", sizeof(heatmap_call), draw_heatmap, describe_box_scores, refine_boxes, run_box_scores, NULL};

static void describe_region(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_OUTPUT, c->labels, KIND_I32, c->rows * c->columns);
    VECTOR(ROLE_OUTPUT, c->box, KIND_I32, 5);
}

static void run_region(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const heatmap_call *c = call;
    size_t box[4] = {0};
    memset(c->labels, 0, c->rows * c->columns * sizeof(int32_t));
    c->box[4] = alb_heatmap_region(c->src, c->rows, c->columns, c->labels, box);
    for (size_t i = 0; i < 4; i++) c->box[i] = (int32_t)box[i];
}

const operation operation_heatmap_region = {
    "heatmap_region", sizeof(heatmap_call), draw_heatmap, describe_region, refine_map, run_region, NULL};

// --- Range, blur, picture

static void describe_rescale(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_IN_OUT, c->map, KIND_F32, c->rows * c->columns);
}

static void run_rescale(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    const heatmap_call *c = call;
    alb_rescale_f32(c->map, c->rows * c->columns);
}

static void describe_blur(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_rescale(c, v);
    SCRATCH(c->scratch, alb_blur_f32_scratch(c->rows, c->columns, c->sigma) * sizeof(float));
}

static void run_blur(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const heatmap_call *c = call;
    alb_blur_f32(threads, c->map, c->rows, c->columns, c->sigma, c->scratch);
}

static void describe_overlay(void *call, visitor *v) {
    heatmap_call *c = call;
    describe_numbers(c, v);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->rows * c->columns);
    VECTOR(ROLE_INPUT, c->picture, KIND_U8, c->rows * c->columns * 3);
    VECTOR(ROLE_OUTPUT, c->pixels, KIND_U8, c->rows * c->columns * 3);
}

static void run_overlay(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const heatmap_call *c = call;
    alb_overlay_rgb(threads, c->src, c->picture, c->rows * c->columns, c->pixels);
}

const operation operation_rescale = {
    "rescale_f32", sizeof(heatmap_call), draw_heatmap, describe_rescale, refine_map, run_rescale, NULL};
const operation operation_blur = {
    "blur_f32", sizeof(heatmap_call), draw_heatmap, describe_blur, refine_map, run_blur, NULL};
const operation operation_overlay = {
    "overlay_rgb", sizeof(heatmap_call), draw_heatmap, describe_overlay, refine_map, run_overlay, NULL};

const operation *const heatmap_operations[] = {
    &operation_upsample, &operation_box_scores, &operation_heatmap_region, &operation_rescale, &operation_blur,
    &operation_overlay, NULL};
