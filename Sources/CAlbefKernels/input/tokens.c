#include "alb_input.h"

#include "alb_threads.h"

#pragma STDC FP_CONTRACT OFF

typedef struct {
    size_t n, patches_stride, dst_stride;
    const float *patches, *cls, *positions;
    float *dst;
} image_token_args;

// Parts are tokens; token 0 is the class token.
static void image_token_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const image_token_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = i == 0 ? a->cls : a->patches + (i - 1) * a->patches_stride;
        const float *position = a->positions + i * a->n;
        float *dst = a->dst + i * a->dst_stride;
        for (size_t j = 0; j < a->n; j++) dst[j] = src[j] + position[j];
    }
}

void alb_image_tokens(
    int threads, size_t count, size_t n, const float *patches, size_t patches_stride, const float *cls, const float *positions,
    float *dst, size_t dst_stride) {
    image_token_args args = {
        .n = n, .patches_stride = patches_stride, .dst_stride = dst_stride, .patches = patches, .cls = cls,
        .positions = positions, .dst = dst};
    alb_parallel_for(threads, 1 + count, 64, image_token_rows, &args);
}

#define BLOCK 16
#define GROUP 4

// Parts are tokens.
static void embed_rows(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_embed_args *a = context;
    const size_t groups = (a->n + GROUP - 1) / GROUP;
    for (size_t i = begin; i < end; i++) {
        const size_t id = (size_t)a->ids[i], block = id / BLOCK, lane = id % BLOCK;
        const float *position = a->positions + (size_t)a->places[i] * a->n;
        float *dst = a->dst + i * a->dst_stride;
        if (a->words_int8) {
            const int8_t *word = a->words_int8 + (block * groups * BLOCK + lane) * GROUP;
            const float scale = a->word_scales[id];
            for (size_t j = 0; j < a->n; j++) {
                float value = (float)word[j / GROUP * BLOCK * GROUP + j % GROUP] * scale;
                dst[j] = (value + a->type[j]) + position[j];
            }
        } else {
            const float *word = a->words_f32 + block * a->n * BLOCK + lane;
            for (size_t j = 0; j < a->n; j++) dst[j] = (word[j * BLOCK] + a->type[j]) + position[j];
        }
    }
}

void alb_embed(int threads, const alb_embed_args *args) {
    // Few rows pay for a worker's start: it mostly waits for memory.
    alb_parallel_for(threads, args->count, 4, embed_rows, (void *)args);
}
