// Splits quantisation over panels of keys and of channels, and attention over heads and blocks of queries.
#include "../common/variant.h"
#include "attention_s8.h"

typedef struct {
    const alb_attention_s8_variant_entry *variant;
    const alb_keys_values_s8 *kv;
    const float *k, *v, *q;
    size_t k_row, v_row, q_row, dst_row, queries, height;
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

size_t alb_attention_s8_layout(char *start, size_t keys, size_t width, alb_attention_s8_scratch *scratch) {
    const size_t rows = ALB_ATTENTION_S8_QUERIES, padded = alb_s8_row_length(keys);
    size_t used = 0;
    size_t q = used;
    used += alb_round_up(rows * alb_round_up(width, ALB_ATTENTION_S8_GROUP), 64);
    size_t q_scales = used;
    used += alb_round_up(rows * sizeof(float), 64);
    size_t q_zeros = used;
    used += alb_round_up(rows * sizeof(int32_t), 64);
    size_t inverses = used;
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
            .inverses = (float *)(start + inverses)};
    return used;
}

size_t alb_attention_s8_scratch_bytes(int threads, size_t keys, size_t width) {
    return (size_t)threads * alb_attention_s8_layout(NULL, keys, width, NULL);
}

/// Queries of a part. Parts of full height keep a tile's rows busy; lower ones are taken where they leave less to the busiest
/// of many threads. Rows are independent: no byte depends on it.
static size_t part_height(size_t highest, size_t heads, size_t queries, size_t threads) {
    size_t height = highest;
    size_t least = SIZE_MAX;
    for (size_t h = highest; h >= ALB_ATTENTION_S8_STEP; h -= ALB_ATTENTION_S8_STEP) {
        const size_t parts = heads * ((queries + h - 1) / h), rows = (parts + threads - 1) / threads * h;
        // A gain of less than 3 % does not pay for the lower parts.
        if (least == SIZE_MAX || rows * 33 < least * 32) {
            least = rows;
            height = h;
        }
    }
    return height;
}

/// Asks for the queries of a part: a row of them is short and far from the next, so that nothing else foresees them.
static void fetch_queries(const job *j, size_t part, size_t blocks) {
    const size_t head = part / blocks, first = part % blocks * j->height;
    const size_t left = j->queries - first, count = left < j->height ? left : j->height;
    for (size_t query = first; query < first + count; query++)
        for (size_t c = 0; c < j->kv->width; c += 64 / sizeof(float))
            __builtin_prefetch(j->q + query * j->q_row + head * j->kv->width + c);
}

static void attend(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    const alb_keys_values_s8 *kv = j->kv;
    alb_attention_s8_scratch scratch;
    const size_t size = alb_attention_s8_layout(NULL, kv->tokens, kv->width, NULL);
    alb_attention_s8_layout(j->scratch + (size_t)worker * size, kv->tokens, kv->width, &scratch);
    const size_t blocks = (j->queries + j->height - 1) / j->height;
    for (size_t part = begin; part < end; part++) {
        const size_t head = part / blocks, query = part % blocks * j->height;
        const size_t left = j->queries - query;
        if (part + 1 < end) fetch_queries(j, part + 1, blocks);
        j->variant->block(
            left < j->height ? left : j->height, j->q + query * j->q_row + head * kv->width,
            j->q_row, kv, head, j->scale, j->dst + query * j->dst_row + head * kv->width, j->dst_row, &scratch);
    }
}

void alb_attention_s8(
    alb_isa isa, int threads, size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, float scale,
    float *dst, size_t dst_row, void *scratch) {
    job j = {.variant = alb_attention_s8_select(isa), .kv = kv, .q = q, .q_row = q_row, .scale = scale, .dst = dst,
             .dst_row = dst_row, .queries = queries, .scratch = scratch};
    j.height = part_height(j.variant->height, kv->heads, queries, threads < 1 ? 1 : (size_t)threads);
    const size_t block = queries < j.height ? queries : j.height;
    const size_t blocks = (queries + j.height - 1) / j.height;
    alb_parallel_for(threads, kv->heads * blocks, alb_grain(2 * block * kv->tokens * kv->width, 300000), attend, &j);
}
