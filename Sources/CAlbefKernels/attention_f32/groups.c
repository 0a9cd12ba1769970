// Many groups of queries at once: a part is one head of one group, whose keys a worker packs for itself and meets at once.
#include "../common/variant.h"
#include "attention_f32.h"

#include <string.h>

typedef struct {
    const alb_attention_f32_groups_args *args;
    const alb_attention_f32_variant_entry *variant;
    size_t splits;  ///< Parts of one head of one group: 1 where there are heads and groups enough.
    size_t keys_floats, values_floats, worker_floats;
} job;

/// Floats of scratch of one worker, a multiple of a cache line's: packed keys, then values, then scores.
static size_t worker_floats(size_t longest, size_t width, size_t *keys, size_t *values) {
    const size_t padded = alb_attention_f32_padded(longest);
    *keys = padded * width;
    *values = padded * width;
    return *keys + *values + ALB_ATTENTION_F32_QUERIES * padded;
}

size_t alb_attention_f32_groups_scratch_bytes(int threads, size_t longest, size_t width) {
    size_t keys, values;
    return (size_t)threads * worker_floats(longest, width, &keys, &values) * sizeof(float);
}

/// Copies a head's columns of some rows, so that they follow one another.
static const float *gather(const float *src, size_t row, const int32_t *rows, size_t count, size_t width, float *dst) {
    for (size_t i = 0; i < count; i++) memcpy(dst + i * width, src + (size_t)rows[i] * row, width * sizeof(float));
    return dst;
}

/// Queries [first, past) of one head of one group.
static void attend_head(
    const job *j, const alb_attention_f32_group *group, size_t head, size_t first, size_t past, float *scratch) {
    const alb_attention_f32_groups_args *a = j->args;
    const size_t keys = (size_t)group->keys, column = head * a->width;
    float *const packed = scratch, *const values = packed + j->keys_floats, *const scores = values + j->values_floats;
    alb_attention_f32_args own = {
        .heads = 1, .queries = (size_t)group->queries, .keys = keys, .width = a->width,
        .q = a->q + (size_t)group->query * a->q_row + column, .q_row = a->q_row,
        .k = a->k + column, .k_row = a->k_row, .v = a->v + column, .v_row = a->v_row,
        .causal = a->causal, .query_offset = (size_t)group->query_offset,
        .dst = a->dst + (size_t)group->query * a->dst_row + column, .dst_row = a->dst_row, .scratch = scratch};
    const int32_t *rows = a->rows ? a->rows + group->key : NULL;
    if (rows) {
        own.v = gather(own.v, a->v_row, rows, keys, a->width, values);
        own.v_row = a->width;
    } else {
        own.k += (size_t)group->key * a->k_row;
        own.v += (size_t)group->key * a->v_row;
    }
    if (j->variant->packed_keys) {
        for (size_t key = 0; key < keys; key += ALB_ATTENTION_F32_PANEL) {
            const size_t left = keys - key;
            alb_attention_f32_pack_panel(
                own.k + (rows ? 0 : key * a->k_row), a->k_row, rows ? rows + key : NULL,
                left < ALB_ATTENTION_F32_PANEL ? left : ALB_ATTENTION_F32_PANEL, a->width, packed + key * a->width);
        }
    } else if (rows) {
        own.k = gather(own.k, a->k_row, rows, keys, a->width, packed);
        own.k_row = a->width;
    }
    for (size_t query = first; query < past; query += ALB_ATTENTION_F32_QUERIES) {
        const size_t left = past - query;
        j->variant->block(
            &own, packed, 0, query, left < ALB_ATTENTION_F32_QUERIES ? left : ALB_ATTENTION_F32_QUERIES, scores);
    }
}

static void attend(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    float *scratch = (float *)j->args->scratch + (size_t)worker * j->worker_floats;
    for (size_t part = begin; part < end; part++) {
        const size_t split = part % j->splits, head = part / j->splits % j->args->heads;
        const alb_attention_f32_group *group = j->args->group + part / j->splits / j->args->heads;
        const size_t queries = (size_t)group->queries;
        const size_t first = queries * split / j->splits, past = queries * (split + 1) / j->splits;
        if (first < past) attend_head(j, group, head, first, past, scratch);
    }
}

void alb_attention_f32_groups(alb_isa isa, int threads, const alb_attention_f32_groups_args *args) {
    job j = {.args = args, .variant = alb_attention_f32_select(isa), .splits = 1};
    j.worker_floats = worker_floats(args->longest, args->width, &j.keys_floats, &j.values_floats);
    if (args->groups == 0 || args->heads == 0) return;
    // What a head of all groups costs, in products: packing a key takes about as long as 4 products for each of its columns,
    // and of a panel's padding some more; a softmax as long as 1500.
    size_t work = 0, most = 0;
    for (size_t i = 0; i < args->groups; i++) {
        const size_t queries = (size_t)args->group[i].queries, keys = (size_t)args->group[i].keys;
        work += (2 * queries * keys + 4 * (keys + 8)) * args->width + 1500 * queries;
        most = queries > most ? queries : most;
    }
    // Few heads of long groups, and threads that would have nothing to do: each part packs the keys again, which is little
    // beside a whole block of queries.
    const size_t heads = args->groups * args->heads, wanted = 2 * (size_t)threads;
    const size_t blocks = (most + ALB_ATTENTION_F32_QUERIES - 1) / ALB_ATTENTION_F32_QUERIES;
    if (heads < wanted && blocks > 1) {
        j.splits = (wanted + heads - 1) / heads;
        if (j.splits > blocks) j.splits = blocks;
    }
    alb_parallel_for(threads, heads * j.splits, alb_grain(work / (args->groups * j.splits), 120000), attend, &j);
}
