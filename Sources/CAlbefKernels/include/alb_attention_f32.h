/// Float attention: text and decoder self-attention, and every attention of a float32 model.
#ifndef ALB_ATTENTION_F32_H
#define ALB_ATTENTION_F32_H

#include "alb_isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Queries meet keys, head by head. A head is `width` neighbouring columns: element c of head h of row t lies at
/// q[t * q_row + h * width + c], and so for k, v and dst. Strides count floats.
typedef struct {
    size_t heads;
    size_t queries;           ///< Rows of q and dst.
    size_t keys;              ///< Rows of k and v, at least 1.
    size_t width;             ///< Columns of one head, at least 1.
    const float *_Nonnull q;  ///< (queries, heads * width)
    size_t q_row;
    const float *_Nonnull k;  ///< (keys, heads * width)
    size_t k_row;
    const float *_Nonnull v;  ///< (keys, heads * width)
    size_t v_row;
    bool causal;          ///< True: query t sees the first min(keys, query_offset + t + 1) keys. False: it sees all.
    size_t query_offset;  ///< Position of the first query among the keys; used only when causal.
    float *_Nullable probabilities;  ///< (heads, queries, keys) dense, or NULL; 0 where a query does not see a key.
    float *_Nonnull dst;             ///< (queries, heads * width); overlaps no input
    size_t dst_row;
    void *_Nonnull scratch;  ///< alb_attention_f32_scratch_bytes() bytes, 64-byte aligned.
} alb_attention_f32_args;

/// Computes, for every head and query, over the n keys that it sees:
///
///     x_j = acc * alb_attention_scale(width),  acc = fmaf(q_c, k_jc, acc), c ascending from +0
///     m   = max x;  e_j = exp(x_j - m);  P_j = e_j / R16(e)
///     dst_c = acc,  acc = fmaf(P_j, v_jc, acc), j ascending from +0
///
/// Keys that a query does not see take no part at all. Asking for probabilities changes no byte of dst.
/// Bits: equal on every ISA and for every number of threads. Reads and writes: no byte outside of the operands.
void alb_attention_f32(alb_isa isa, int threads, const alb_attention_f32_args *_Nonnull args);

/// Bytes of scratch for up to `threads` threads: keys in the order of the kernels, and a block of scores for each thread.
size_t alb_attention_f32_scratch_bytes(int threads, size_t heads, size_t keys, size_t width);

/// Neighbouring queries that meet the same keys, in a call that computes many such groups.
typedef struct {
    int32_t query;         ///< Their first row in q and dst.
    int32_t queries;       ///< How many there are.
    int32_t key;           ///< The first of their keys: a row of k and v, or a place in `rows` where that is given.
    int32_t keys;          ///< How many keys follow one another from there, at least 1.
    int32_t query_offset;  ///< As in alb_attention_f32_args, among the keys of the group.
} alb_attention_f32_group;

/// Groups of queries, each with keys and values of its own: the texts of a batch, or the branches of a tree, whose ancestors
/// are rows that lie apart. A head is as in alb_attention_f32_args.
typedef struct {
    size_t heads;
    size_t width;             ///< Columns of one head, at least 1.
    const float *_Nonnull q;  ///< (past the last query of all groups, heads * width)
    size_t q_row;
    const float *_Nonnull k;  ///< (past the last key of all groups, heads * width)
    size_t k_row;
    const float *_Nonnull v;  ///< As k.
    size_t v_row;
    bool causal;  ///< As in alb_attention_f32_args, for all groups.
    size_t groups;
    const alb_attention_f32_group *_Nonnull group;  ///< (groups); no two have a query in common
    const int32_t *_Nullable rows;  ///< Rows of k and v in the order of the groups' keys; NULL: keys are neighbouring rows.
    size_t longest;                 ///< The most keys of a group, at least 1.
    float *_Nonnull dst;            ///< As q; overlaps no input. Rows that are in no group stay as they are.
    size_t dst_row;
    void *_Nonnull scratch;  ///< alb_attention_f32_groups_scratch_bytes() bytes, 64-byte aligned.
} alb_attention_f32_groups_args;

/// Computes what alb_attention_f32 would for each group alone, with the same bytes, as one parallel operation: for groups that
/// are too small to be divided among threads one by one.
/// Bits: equal on every ISA and for every number of threads. Reads and writes: no byte outside of the operands.
void alb_attention_f32_groups(alb_isa isa, int threads, const alb_attention_f32_groups_args *_Nonnull args);

/// Bytes of scratch for up to `threads` threads: for each thread room for the keys and values of a head of one group, and a block
/// of scores.
/// @param longest  The most keys of a group.
size_t alb_attention_f32_groups_scratch_bytes(int threads, size_t longest, size_t width);

/// The factor of attention scores: 1 / sqrt(width), each one IEEE float operation.
float alb_attention_scale(size_t width);

/// The variant that runs under a ceiling.
alb_isa alb_attention_f32_variant(alb_isa ceiling);

#endif
