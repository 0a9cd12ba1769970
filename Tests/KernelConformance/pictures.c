// Pictures and texts on their way in: resizing, pixels, patches, tokens.
#include <string.h>

#include "cases.h"

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// --- Resizing

static void draw_resample(void *call, shape_source *shape) {
    resample_call *c = call;
    c->src_width = extent(shape, 24, EDGES(1, 2, 7, 16, 33, 50));
    c->src_height = extent(shape, 16, EDGES(1, 3, 16, 40));
    c->dst_width = extent(shape, 20, EDGES(1, 2, 8, 9, 16, 37));
    c->dst_height = extent(shape, 12, EDGES(1, 5, 16, 24));
    // Much higher than wide: the passes change places.
    if (!shape->edges && chance(shape, 64) == 0) {
        c->src_height = 100 * c->src_width + 1 + chance(shape, 9);
        c->dst_height = 1 + chance(shape, 8);
    }
}

static void describe_resample(void *call, visitor *v) {
    resample_call *c = call;
    NUMBER(c->src_width);
    NUMBER(c->src_height);
    NUMBER(c->dst_width);
    NUMBER(c->dst_height);
    VECTOR(ROLE_INPUT, c->src, KIND_U8, c->src_width * c->src_height * 3);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_U8, c->dst_width * c->dst_height * 3);
    SCRATCH(
        c->scratch,
        alb_resample_rgb_scratch(MAXIMUM_THREADS, c->src_width, c->src_height, c->dst_width, c->dst_height));
}

static void run_resample(const void *call, alb_isa isa, int threads) {
    const resample_call *c = call;
    alb_resample_rgb(isa, threads, c->src, c->src_width, c->src_height, c->dst, c->dst_width, c->dst_height, c->scratch);
}

const operation operation_resample = {
    "resample_rgb", sizeof(resample_call), draw_resample, describe_resample, NULL, run_resample, alb_resample_rgb_variant};

// --- Pixels and patches

static void draw_pixels(void *call, shape_source *shape) {
    pixels_call *c = call;
    c->patch = extent(shape, 4, EDGES(1, 2, 4, 16));
    c->size = c->patch * extent(shape, 4, EDGES(1, 2, 3));
}

static void describe_normalize_pixels(void *call, visitor *v) {
    pixels_call *c = call;
    NUMBER(c->size);
    VECTOR(ROLE_INPUT, c->pixels, KIND_U8, c->size * c->size * 3);
    VECTOR(ROLE_INPUT, c->mean, KIND_F32, 3);
    VECTOR(ROLE_INPUT, c->deviation, KIND_F32, 3);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->size * c->size * 3);
}

static void refine_normalize_pixels(void *call, random_source *random) {
    const pixels_call *c = call;
    for (size_t i = 0; i < 3; i++) ((float *)c->deviation)[i] = 1.25f + random_unit(random);
}

static void run_normalize_pixels(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pixels_call *c = call;
    alb_normalize_pixels(threads, c->size, c->pixels, c->mean, c->deviation, c->dst);
}

static void describe_patches(void *call, visitor *v) {
    pixels_call *c = call;
    NUMBER(c->size);
    NUMBER(c->patch);
    VECTOR(ROLE_INPUT, c->src, KIND_F32, c->size * c->size * 3);
    VECTOR(ROLE_OUTPUT, c->dst, KIND_F32, c->size * c->size * 3);
}

static void run_patches(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const pixels_call *c = call;
    alb_patches(threads, c->size, c->patch, c->src, c->dst);
}

const operation operation_normalize_pixels = {
    "normalize_pixels", sizeof(pixels_call), draw_pixels, describe_normalize_pixels, refine_normalize_pixels,
    run_normalize_pixels, NULL};
const operation operation_patches = {
    "patches", sizeof(pixels_call), draw_pixels, describe_patches, NULL, run_patches, NULL};

// --- Tokens

static void draw_image_tokens(void *call, shape_source *shape) {
    image_tokens_call *c = call;
    c->count = extent(shape, 6, EDGES(1, 3, 17));
    c->n = extent(shape, 40, EDGES(1, 7, 16, 64));
    c->patches_stride = c->n + gap(shape);
    c->dst_stride = c->n + gap(shape);
}

static void describe_image_tokens(void *call, visitor *v) {
    image_tokens_call *c = call;
    NUMBER(c->count);
    NUMBER(c->n);
    NUMBER(c->patches_stride);
    NUMBER(c->dst_stride);
    MATRIX(ROLE_INPUT, c->patches, KIND_F32, c->count, c->n, c->patches_stride);
    VECTOR(ROLE_INPUT, c->cls, KIND_F32, c->n);
    VECTOR(ROLE_INPUT, c->positions, KIND_F32, (c->count + 1) * c->n);
    MATRIX(ROLE_OUTPUT, c->dst, KIND_F32, c->count + 1, c->n, c->dst_stride);
}

static void run_image_tokens(const void *call, alb_isa isa, int threads) {
    (void)isa;
    const image_tokens_call *c = call;
    alb_image_tokens(
        threads, c->count, c->n, c->patches, c->patches_stride, c->cls, c->positions, c->dst, c->dst_stride);
}

const operation operation_image_tokens = {
    "image_tokens", sizeof(image_tokens_call), draw_image_tokens, describe_image_tokens, NULL, run_image_tokens, NULL};

static void draw_embed(void *call, shape_source *shape) {
    embed_call *c = call;
    c->args.count = extent(shape, 6, EDGES(1, 2, 30));
    c->args.n = extent(shape, 40, EDGES(1, 3, 4, 5, 16, 64));
    c->vocabulary = 16 * extent(shape, 4, EDGES(1, 3));
    c->positions = extent(shape, 9, EDGES(1, 5));
    c->args.dst_stride = c->args.n + gap(shape);
    if (choice(shape, 2))
        c->args.words_int8 = WANTED;
    else
        c->args.words_f32 = WANTED;
}

static void describe_embed(void *call, visitor *v) {
    embed_call *c = call;
    alb_embed_args *a = &c->args;
    NUMBER(a->count);
    NUMBER(a->n);
    NUMBER(a->dst_stride);
    NUMBER(c->vocabulary);
    NUMBER(c->positions);
    VECTOR(ROLE_INPUT, a->ids, KIND_I32, a->count);
    VECTOR(ROLE_INPUT, a->places, KIND_I32, a->count);
    if (OPTIONAL(a->words_int8)) {
        ALIGNED(ROLE_INPUT, a->words_int8, KIND_S8, c->vocabulary * round_up(a->n, 4));
        VECTOR(ROLE_INPUT, a->word_scales, KIND_F32, c->vocabulary);
    }
    if (OPTIONAL(a->words_f32)) ALIGNED(ROLE_INPUT, a->words_f32, KIND_F32, c->vocabulary * a->n);
    VECTOR(ROLE_INPUT, a->type, KIND_F32, a->n);
    VECTOR(ROLE_INPUT, a->positions, KIND_F32, c->positions * a->n);
    MATRIX(ROLE_OUTPUT, a->dst, KIND_F32, a->count, a->n, a->dst_stride);
}

static void refine_embed(void *call, random_source *random) {
    const embed_call *c = call;
    for (size_t i = 0; i < c->args.count; i++) {
        ((int32_t *)c->args.ids)[i] = (int32_t)random_below(random, c->vocabulary);
        ((int32_t *)c->args.places)[i] = (int32_t)random_below(random, c->positions);
    }
}

static void run_embed(const void *call, alb_isa isa, int threads) {
    (void)isa;
    alb_embed(threads, &((const embed_call *)call)->args);
}

const operation operation_embed = {
    "embed", sizeof(embed_call), draw_embed, describe_embed, refine_embed, run_embed, NULL};

const operation *const picture_operations[] = {
    &operation_resample, &operation_normalize_pixels, &operation_patches, &operation_image_tokens, &operation_embed, NULL};
