// Splits quantisation over panels of keys and of channels, and attention over heads and blocks of queries.
#include "../common/variant.h"
#include "attention_s8.h"

typedef struct {
    const alb_attention_s8_variant_entry *variant;
    const alb_keys_values_s8 *kv;
    const float *k, *v, *q;
    size_t k_row, v_row, q_row, dst_row, queries;
    float scale;
    float *dst;
    char *scratch;
} job;

static size_t panels(size_t lanes) { return alb_round_up(lanes, ALB_ATTENTION_S8_LANES) / ALB_ATTENTION_S8_LANES; }

/// Parts of a head: first its panels of keys, then its panels of channels.
static void quantize(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    const size_t width = j->kv->width, key_panels = panels(j->kv->tokens), all = key_panels + panels(width);
    for (size_t part = begin; part < end; part++) {
        const size_t head = part / all, panel = part % all;
        if (panel < key_panels)
            j->variant->quantize_keys(j->k + head * width, j->k_row, j->kv, head, panel * ALB_ATTENTION_S8_LANES);
        else
            j->variant->quantize_values(
                j->v + head * width, j->v_row, j->kv, head, (panel - key_panels) * ALB_ATTENTION_S8_LANES);
    }
}

void alb_attention_s8_quantize(
    alb_isa isa, int threads, const float *k, size_t k_row, const float *v, size_t v_row, const alb_keys_values_s8 *kv) {
    job j = {.variant = alb_attention_s8_select(isa), .kv = kv, .k = k, .k_row = k_row, .v = v, .v_row = v_row};
    alb_parallel_for(threads, kv->heads * (panels(kv->tokens) + panels(kv->width)), 1, quantize, &j);
}

/// Lays out one worker's memory and returns its size; `start` may be NULL to learn only the size.
static size_t layout(char *start, size_t keys, size_t width, alb_attention_s8_scratch *scratch) {
    const size_t rows = ALB_ATTENTION_S8_QUERIES, padded = alb_round_up(keys, ALB_ATTENTION_S8_LANES);
    size_t used = 0;
    size_t q = used;
    used += alb_round_up(rows * alb_round_up(width, ALB_ATTENTION_S8_GROUP), 64);
    size_t q_scales = used;
    used += alb_round_up(rows * sizeof(float), 64);
    size_t q_zeros = used;
    used += alb_round_up(rows * sizeof(int32_t), 64);
    size_t totals = used;
    used += alb_round_up(rows * sizeof(float), 64);
    size_t scores = used;
    used += rows * padded * sizeof(float);
    size_t p = used;
    used += alb_round_up(rows * padded, 64);
    if (start)
        *scratch = (alb_attention_s8_scratch){
            .q = (uint8_t *)(start + q),
            .q_scales = (float *)(start + q_scales),
            .q_zeros = (int32_t *)(start + q_zeros),
            .scores = (float *)(start + scores),
            .p = (uint8_t *)(start + p),
            .totals = (float *)(start + totals)};
    return used;
}

size_t alb_attention_s8_scratch_bytes(int threads, size_t keys, size_t width) {
    return (size_t)threads * layout(NULL, keys, width, NULL);
}

static void attend(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    const alb_keys_values_s8 *kv = j->kv;
    alb_attention_s8_scratch scratch;
    layout(j->scratch + (size_t)worker * layout(NULL, kv->tokens, kv->width, NULL), kv->tokens, kv->width, &scratch);
    const size_t blocks = (j->queries + ALB_ATTENTION_S8_QUERIES - 1) / ALB_ATTENTION_S8_QUERIES;
    for (size_t part = begin; part < end; part++) {
        const size_t head = part / blocks, query = part % blocks * ALB_ATTENTION_S8_QUERIES;
        const size_t left = j->queries - query;
        j->variant->block(
            left < ALB_ATTENTION_S8_QUERIES ? left : ALB_ATTENTION_S8_QUERIES, j->q + query * j->q_row + head * kv->width,
            j->q_row, kv, head, j->scale, j->dst + query * j->dst_row + head * kv->width, j->dst_row, &scratch);
    }
}

void alb_attention_s8(
    alb_isa isa, int threads, size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, float scale,
    float *dst, size_t dst_row, void *scratch) {
    job j = {.variant = alb_attention_s8_select(isa), .kv = kv, .q = q, .q_row = q_row, .scale = scale, .dst = dst,
             .dst_row = dst_row, .queries = queries, .scratch = scratch};
    const size_t block = queries < ALB_ATTENTION_S8_QUERIES ? queries : ALB_ATTENTION_S8_QUERIES;
    const size_t blocks = (queries + ALB_ATTENTION_S8_QUERIES - 1) / ALB_ATTENTION_S8_QUERIES;
    alb_parallel_for(threads, kv->heads * blocks, alb_grain(2 * block * kv->tokens * kv->width, 300000), attend, &j);
}
