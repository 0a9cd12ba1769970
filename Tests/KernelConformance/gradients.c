// The pieces of Grad-CAM's backward passes.
#include <string.h>

#include "cases.h"

#define COLUMN_EDGES EDGES(1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100)

enum { IN_PLACE_NOT, IN_PLACE_G, IN_PLACE_X };

static void draw_gradient(void *call, shape_source *shape) {
    gradient_call *c = call;
    c->rows = extent(shape, 5, EDGES(1, 2, 9, 60));
    c->columns = extent(shape, 70, COLUMN_EDGES);
    c->g_row = c->columns + gap(shape);
    c->x_row = c->columns + gap(shape);
    c->dst_row = c->columns + gap(shape);
    c->scale = 0.125f;
}

/// dst may be g, or g or x: then with that one's stride.
static void draw_in_place(gradient_call *c, shape_source *shape, size_t ways) {
    c->in_place = (uint8_t)chance(shape, ways);
    if (c->in_place == IN_PLACE_G) c->dst_row = c->g_row;
    if (c->in_place == IN_PLACE_X) c->dst_row = c->x_row;
}

static void draw_g_in_place(void *call, shape_source *shape) {
    draw_gradient(call, shape);
    draw_in_place(call, shape, 2);
}

static void draw_either_in_place(void *call, shape_source *shape) {
    draw_gradient(call, shape);
    draw_in_place(call, shape, 3);
}

static void draw_dense(void *call, shape_source *shape) {
    gradient_call *c = call;
    draw_gradient(call, shape);
    c->g_row = c->x_row = c->dst_row = c->columns;
    draw_in_place(c, shape, 3);
}

static void describe_gradient(void *call, visitor *v) {
    gradient_call *c = call;
    NUMBER(c->rows);
    NUMBER(c->columns);
    NUMBER(c->g_row);
    NUMBER(c->x_row);
    NUMBER(c->dst_row);
    NUMBER(c->scale);
    NUMBER(c->in_place);
    if (c->in_place != IN_PLACE_G) MATRIX(ROLE_INPUT, c->g, KIND_F32, c->rows, c->columns, c->g_row);
    if (c->in_place != IN_PLACE_X) MATRIX(ROLE_INPUT, c->x, KIND_F32, c->rows, c->columns, c->x_row);
    MATRIX(c->in_place ? ROLE_IN_OUT : ROLE_OUTPUT, c->dst, KIND_F32, c->rows, c->columns, c->dst_row);
    if (v->mode == VISIT_SAVE) return;
    if (c->in_place == IN_PLACE_G) c->g = c->dst;
    if (c->in_place == IN_PLACE_X) c->x = c->dst;
}

// --- Layer normalisation

static void describe_layer_norm_backward(void *call, visitor *v) {
    gradient_call *c = call;
    describe_gradient(c, v);
    VECTOR(ROLE_INPUT, c->reciprocals, KIND_F32, c->rows);
    VECTOR(ROLE_INPUT, c->weight, KIND_F32, c->columns);
}

static void run_layer_norm_backward(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_layer_norm_backward(
        isa, threads, c->rows, c->columns, c->g, c->g_row, c->x, c->x_row, c->reciprocals, c->weight, c->dst, c->dst_row);
}

const operation operation_layer_norm_backward = {
    "layer_norm_backward", sizeof(gradient_call), draw_g_in_place, describe_layer_norm_backward, NULL,
    run_layer_norm_backward, alb_gradients_variant};

// --- GELU, softmax, unit length, sum

static void run_gelu_backward(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_gelu_backward(isa, threads, c->rows, c->columns, c->g, c->g_row, c->x, c->x_row, c->dst, c->dst_row);
}

static void run_softmax_backward(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_softmax_backward(isa, threads, c->rows, c->columns, c->g, c->x, c->scale, c->dst);
}

static void run_l2_normalize_backward(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_l2_normalize_backward(isa, threads, c->rows, c->columns, c->g, c->g_row, c->x, c->x_row, c->dst, c->dst_row);
}

static void run_add(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_add(isa, threads, c->rows, c->columns, c->g, c->g_row, c->x, c->x_row, c->dst, c->dst_row);
}

const operation operation_gelu_backward = {
    "gelu_backward", sizeof(gradient_call), draw_either_in_place, describe_gradient, NULL, run_gelu_backward,
    alb_gradients_variant};
const operation operation_softmax_backward = {
    "softmax_backward", sizeof(gradient_call), draw_dense, describe_gradient, NULL, run_softmax_backward,
    alb_gradients_variant};
const operation operation_l2_normalize_backward = {
    "l2_normalize_backward", sizeof(gradient_call), draw_gradient, describe_gradient, NULL, run_l2_normalize_backward,
    alb_gradients_variant};
const operation operation_add = {
    "add", sizeof(gradient_call), draw_either_in_place, describe_gradient, NULL, run_add, alb_gradients_variant};

// --- Log-probabilities: x holds the probabilities

static void draw_log_softmax_backward(void *call, shape_source *shape) {
    gradient_call *c = call;
    draw_gradient(call, shape);
    c->in_place = chance(shape, 2) ? IN_PLACE_X : IN_PLACE_NOT;
    if (c->in_place) c->dst_row = c->x_row;
}

static void describe_log_softmax_backward(void *call, visitor *v) {
    gradient_call *c = call;
    NUMBER(c->rows);
    NUMBER(c->columns);
    NUMBER(c->x_row);
    NUMBER(c->dst_row);
    NUMBER(c->in_place);
    if (!c->in_place) MATRIX(ROLE_INPUT, c->x, KIND_F32, c->rows, c->columns, c->x_row);
    MATRIX(c->in_place ? ROLE_IN_OUT : ROLE_OUTPUT, c->dst, KIND_F32, c->rows, c->columns, c->dst_row);
    VECTOR(ROLE_INPUT, c->ids, KIND_I32, c->rows);
    VECTOR(ROLE_INPUT, c->weight, KIND_F32, c->rows);
    if (c->in_place && v->mode != VISIT_SAVE) c->x = c->dst;
}

static void refine_log_softmax_backward(void *call, random_source *random) {
    const gradient_call *c = call;
    for (size_t i = 0; i < c->rows; i++) ((int32_t *)c->ids)[i] = (int32_t)random_below(random, c->columns);
}

static void run_log_softmax_backward(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_log_softmax_backward(
        isa, threads, c->rows, c->columns, c->x, c->x_row, c->ids, c->weight, c->dst, c->dst_row);
}

const operation operation_log_softmax_backward = {
    "log_softmax_backward", sizeof(gradient_call), draw_log_softmax_backward, describe_log_softmax_backward,
    refine_log_softmax_backward, run_log_softmax_backward, alb_gradients_variant};

// --- The mean over rows

static void describe_mean_rows(void *call, visitor *v) {
    gradient_call *c = call;
    NUMBER(c->rows);
    NUMBER(c->columns);
    NUMBER(c->x_row);
    MATRIX(ROLE_INPUT, c->x, KIND_F32, c->rows, c->columns, c->x_row);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->columns);
}

static void run_mean_rows(const void *call, alb_isa isa, int threads) {
    const gradient_call *c = call;
    alb_mean_rows(isa, threads, c->rows, c->columns, c->x, c->x_row, c->dst);
}

const operation operation_mean_rows = {
    "mean_rows", sizeof(gradient_call), draw_gradient, describe_mean_rows, NULL, run_mean_rows, alb_gradients_variant};

// --- The class activation map

static void draw_grad_cam(void *call, shape_source *shape) {
    grad_cam_call *c = call;
    c->heads = extent(shape, 4, EDGES(1, 2, 12));
    c->queries = extent(shape, 6, EDGES(1, 2, 30));
    c->keys = 1 + extent(shape, 60, COLUMN_EDGES);
}

static void describe_grad_cam(void *call, visitor *v) {
    grad_cam_call *c = call;
    NUMBER(c->heads);
    NUMBER(c->queries);
    NUMBER(c->keys);
    VECTOR(ROLE_INPUT, c->p, KIND_F32, c->heads * c->queries * c->keys);
    VECTOR(ROLE_INPUT, c->dp, KIND_F32, c->heads * c->queries * c->keys);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->queries * (c->keys - 1));
}

static void run_grad_cam(const void *call, alb_isa isa, int threads) {
    const grad_cam_call *c = call;
    alb_grad_cam(isa, threads, c->heads, c->queries, c->keys, c->p, c->dp, c->dst);
}

const operation operation_grad_cam = {
    "grad_cam", sizeof(grad_cam_call), draw_grad_cam, describe_grad_cam, NULL, run_grad_cam, alb_gradients_variant};

const operation *const gradient_operations[] = {
    &operation_layer_norm_backward, &operation_gelu_backward, &operation_softmax_backward,
    &operation_l2_normalize_backward, &operation_log_softmax_backward, &operation_grad_cam, &operation_add,
    &operation_mean_rows, NULL};
