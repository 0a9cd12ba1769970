// Runs the variants of quantisation, product and int8 attention on a block of rows at a time, so that what lies between them
// stays in the cache of one processor.
#include "alb_absorbed_attention.h"

#include <stdbool.h>

#include "../attention_s8/attention_s8.h"
#include "../matmul_f32_qu8d_qs8c/matmul_f32_qu8d_qs8c.h"
#include "../quantize_qu8d_f32/quantize_qu8d_f32.h"

#pragma STDC FP_CONTRACT OFF

typedef struct {
    const alb_absorbed_attention_args *args;
    const alb_variant *quantize;
    const alb_matmul_int8_variant *product;
    const alb_attention_s8_variant_entry *attention;
    size_t height;  ///< Rows of heads in a part, at most.
    bool shared;    ///< All groups have the same queries, which are taken to where the keys' inputs are once for all of them.
} job;

/// Memory of one worker.
typedef struct {
    float *queries;  ///< (QUERIES, depth): with the projection of the keys
    float *mixed;    ///< (QUERIES, depth); before, scaled queries (QUERIES, width)
    uint8_t *bytes;  ///< (QUERIES, the wider of both)
    float *scales;   ///< (QUERIES)
    int32_t *zero_points;
    alb_attention_s8_scratch attention;
} memory;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static size_t take(size_t *used, size_t bytes) {
    const size_t at = *used;
    *used += alb_round_up(bytes, 64);
    return at;
}

/// Lays out one worker's memory and returns its size; `start` may be NULL to learn only the size.
static size_t layout(char *start, size_t tokens, size_t width, size_t depth, memory *m) {
    const size_t rows = ALB_ATTENTION_S8_QUERIES, widest = width > depth ? width : depth;
    size_t used = 0;
    const size_t queries = take(&used, rows * depth * sizeof(float)), mixed = take(&used, rows * widest * sizeof(float));
    const size_t bytes = take(&used, rows * widest), scales = take(&used, rows * sizeof(float));
    const size_t zero_points = take(&used, rows * sizeof(int32_t));
    if (start) {
        m->queries = (float *)(start + queries);
        m->mixed = (float *)(start + mixed);
        m->bytes = (uint8_t *)(start + bytes);
        m->scales = (float *)(start + scales);
        m->zero_points = (int32_t *)(start + zero_points);
    }
    return used + alb_attention_s8_layout(start ? start + used : NULL, tokens, depth, start ? &m->attention : NULL);
}

size_t alb_absorbed_attention_scratch_bytes(int threads, size_t tokens, size_t width, size_t depth) {
    return (size_t)threads * layout(NULL, tokens, width, depth, NULL);
}

/// Rows of a group, head after head: [first, past) of heads * rows.
typedef struct {
    const alb_absorbed_group *group;
    size_t first, past;
} block;

/// Neighbouring rows of one head.
typedef struct {
    size_t head, row, rows;
} run;

static run run_at(const block *b, size_t index) {
    const size_t row = index % b->group->rows;
    return (run){index / b->group->rows, row, smaller(b->group->rows - row, b->past - index)};
}

static void multiply(const alb_matmul_int8_variant *variant, const alb_matmul_int8_args *args) {
    const alb_tiling tiling = alb_tiling_of(args->m, args->n, variant->height, variant->width);
    for (size_t i = 0; i < alb_tile_count(tiling); i++) variant->run(args, alb_tile_at(tiling, i));
}

/// Quantises rows of m->mixed, or what stands in for it, into m->bytes.
static void quantize_rows(const job *j, size_t rows, size_t columns, const float *src, const memory *m, int worker) {
    alb_quantize_args args = {
        .m = rows, .k = columns, .src = src, .src_stride = columns, .dst = m->bytes, .dst_stride = columns,
        .scales = m->scales, .zero_points = m->zero_points};
    j->quantize->run(&args, 0, rows, worker);
}

/// Takes a run of queries to where the keys' inputs are.
static void absorb(const job *j, const block *b, run r, float *dst, const memory *m, int worker) {
    const alb_absorbed_attention_args *a = j->args;
    const size_t width = a->width, depth = a->depth;
    const float *factors = a->key_factors + r.head * width;
    for (size_t i = 0; i < r.rows; i++) {
        const float *q = a->q + (b->group->query + r.row + i) * a->q_row + r.head * width;
        for (size_t c = 0; c < width; c++) m->mixed[i * width + c] = q[c] * factors[c];
    }
    quantize_rows(j, r.rows, width, m->mixed, m, worker);
    multiply(
        j->product, &(alb_matmul_int8_args){
                        .m = r.rows, .n = depth, .k = width, .lhs = m->bytes, .lhs_scales = m->scales,
                        .lhs_zero_points = m->zero_points, .rhs = a->keys + r.head * depth * width,
                        .rhs_scales = a->key_scales + r.head * depth, .rhs_sums = a->key_sums + r.head * depth, .dst = dst,
                        .dst_stride = depth});
}

/// Applies the projection of the values to a run of mixed tokens, which begins at `place` of those quantised.
static void project(const job *j, const block *b, run r, size_t place, const memory *m) {
    const alb_absorbed_attention_args *a = j->args;
    const size_t width = a->width, depth = a->depth, channel = r.head * width;
    multiply(
        j->product, &(alb_matmul_int8_args){
                        .m = r.rows, .n = width, .k = depth, .lhs = m->bytes + place * depth, .lhs_scales = m->scales + place,
                        .lhs_zero_points = m->zero_points + place, .rhs = a->values + channel * depth,
                        .rhs_scales = a->value_scales + channel, .rhs_sums = a->value_sums + channel,
                        .epilogue = {.bias = a->value_bias + channel},
                        .dst = a->dst + (b->group->row + r.row) * a->dst_row + channel, .dst_stride = a->dst_row});
}

/// Takes all queries of a block to where the keys' inputs are.
static void absorb_block(const job *j, const block *b, const memory *m, int worker) {
    for (size_t i = b->first; i < b->past;) {
        const run r = run_at(b, i);
        absorb(j, b, r, m->queries + (i - b->first) * j->args->depth, m, worker);
        i += r.rows;
    }
}

/// Attends with the queries that absorb_block() left.
static void attend_block(const job *j, const block *b, const memory *m, int worker) {
    const size_t depth = j->args->depth, rows = b->past - b->first;
    j->attention->block(rows, m->queries, depth, &b->group->tokens, 0, j->args->scale, m->mixed, depth, &m->attention);
    quantize_rows(j, rows, depth, m->mixed, m, worker);
    for (size_t i = b->first; i < b->past;) {
        const run r = run_at(b, i);
        project(j, b, r, i - b->first, m);
        i += r.rows;
    }
}

static size_t blocks_of(const alb_absorbed_group *group, size_t heads, size_t height) {
    return (heads * group->rows + height - 1) / height;
}

static size_t all_blocks(const alb_absorbed_attention_args *a, size_t height) {
    size_t blocks = 0;
    for (size_t g = 0; g < a->count; g++) blocks += blocks_of(&a->groups[g], a->heads, height);
    return blocks;
}

/// The block of a part: they are of nearly equal height. Where groups share their queries, the same rows of all of them follow each
/// other, else a group's blocks do.
static block block_at(const job *j, size_t part) {
    const alb_absorbed_group *group = j->args->groups;
    size_t blocks = blocks_of(group, j->args->heads, j->height);
    if (j->shared) {
        group += part % j->args->count;
        part /= j->args->count;
    } else {
        for (; part >= blocks; blocks = blocks_of(group, j->args->heads, j->height)) {
            part -= blocks;
            group++;
        }
    }
    const size_t rows = j->args->heads * group->rows;
    return (block){group, rows * part / blocks, rows * (part + 1) / blocks};
}

// Parts are blocks.
static void attend(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    const alb_absorbed_attention_args *a = j->args;
    size_t tokens = 0;
    for (size_t g = 0; g < a->count; g++) tokens = tokens > a->groups[g].tokens.tokens ? tokens : a->groups[g].tokens.tokens;
    const size_t size = layout(NULL, tokens, a->width, a->depth, NULL);
    size_t absorbed = SIZE_MAX;  // the first row of the block whose queries lie in the worker's memory
    for (size_t part = begin; part < end; part++) {
        const block b = block_at(j, part);
        memory m;
        // Queries lie at its beginning, however many tokens there are.
        layout((char *)a->scratch + (size_t)worker * size, b.group->tokens.tokens, a->width, a->depth, &m);
        if (!j->shared || b.first != absorbed) absorb_block(j, &b, &m, worker);
        absorbed = b.first;
        attend_block(j, &b, &m, worker);
    }
}

static bool share_queries(const alb_absorbed_attention_args *a) {
    for (size_t g = 1; g < a->count; g++)
        if (a->groups[g].query != a->groups[0].query || a->groups[g].rows != a->groups[0].rows) return false;
    return true;
}

void alb_absorbed_attention(alb_isa isa, int threads, const alb_absorbed_attention_args *args) {
    const alb_matmul_int8_variant *product = alb_matmul_f32_qu8d_qs8c_table;
    while (product->isa > isa) product++;
    job j = {
        .args = args, .quantize = alb_select(alb_quantize_qu8d_f32_table, isa), .product = product,
        .attention = alb_attention_s8_select(isa), .shared = share_queries(args)};
    // Blocks as high as the variant likes, but lower ones where they leave less to the busiest thread.
    j.height = j.attention->height;
    const size_t workers = threads < 1 ? 1 : (size_t)threads;
    while (j.height > ALB_ATTENTION_S8_STEP && all_blocks(args, j.height) < 4 * workers) j.height -= ALB_ATTENTION_S8_STEP;
    alb_parallel_for(threads, all_blocks(args, j.height), 1, attend, &j);
}

alb_isa alb_absorbed_attention_variant(alb_isa ceiling) { return alb_attention_s8_variant(ceiling); }
