// Packs the keys once for all queries, then splits attention over heads and blocks of queries.
#include "../common/variant.h"
#include "attention_f32.h"

#include <math.h>

typedef struct {
    const alb_attention_f32_args *args;
    const alb_attention_f32_variant_entry *variant;
    float *packed;
    float *scores;
    size_t padded, query_blocks;
} job;

float alb_attention_scale(size_t width) { return 1.0f / sqrtf((float)width); }

static size_t packed_floats(size_t heads, size_t keys, size_t width) {
    return heads * alb_attention_f32_padded(keys) * width;
}

size_t alb_attention_f32_scratch_bytes(int threads, size_t heads, size_t keys, size_t width) {
    size_t scores = (size_t)threads * ALB_ATTENTION_F32_QUERIES * alb_attention_f32_padded(keys);
    return (packed_floats(heads, keys, width) + scores) * sizeof(float);
}

/// One part is one panel of one head: (width, 16) floats, 0 behind the last key.
static void pack_keys(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    const alb_attention_f32_args *a = j->args;
    const size_t panels = j->padded / ALB_ATTENTION_F32_PANEL;
    for (size_t part = begin; part < end; part++) {
        const size_t head = part / panels, first = part % panels * ALB_ATTENTION_F32_PANEL, left = a->keys - first;
        alb_attention_f32_pack_panel(
            a->k + first * a->k_row + head * a->width, a->k_row, NULL,
            left < ALB_ATTENTION_F32_PANEL ? left : ALB_ATTENTION_F32_PANEL, a->width,
            j->packed + part * a->width * ALB_ATTENTION_F32_PANEL);
    }
}

static void attend(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    const alb_attention_f32_args *a = j->args;
    float *scores = j->scores + (size_t)worker * ALB_ATTENTION_F32_QUERIES * j->padded;
    for (size_t part = begin; part < end; part++) {
        const size_t head = part / j->query_blocks, query = part % j->query_blocks * ALB_ATTENTION_F32_QUERIES;
        const size_t left = a->queries - query;
        const size_t queries = left < ALB_ATTENTION_F32_QUERIES ? left : ALB_ATTENTION_F32_QUERIES;
        const float *packed = j->variant->packed_keys ? j->packed + head * j->padded * a->width : NULL;
        j->variant->block(a, packed, head, query, queries, scores);
    }
}

void alb_attention_f32(alb_isa isa, int threads, const alb_attention_f32_args *args) {
    job j = {.args = args, .variant = alb_attention_f32_select(isa)};
    j.padded = alb_attention_f32_padded(args->keys);
    j.query_blocks = (args->queries + ALB_ATTENTION_F32_QUERIES - 1) / ALB_ATTENTION_F32_QUERIES;
    j.packed = args->scratch;
    j.scores = j.packed + packed_floats(args->heads, args->keys, args->width);
    if (args->queries == 0) return;
    if (j.variant->packed_keys)
        alb_parallel_for(
            threads, args->heads * (j.padded / ALB_ATTENTION_F32_PANEL),
            alb_grain(ALB_ATTENTION_F32_PANEL * args->width, 16384), pack_keys, &j);
    const size_t queries = args->queries < ALB_ATTENTION_F32_QUERIES ? args->queries : ALB_ATTENTION_F32_QUERIES;
    const size_t work = 2 * queries * args->keys * args->width;
    alb_parallel_for(threads, args->heads * j.query_blocks, alb_grain(work, 120000), attend, &j);
}
