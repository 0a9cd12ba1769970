/// Cross-attention whose keys and values are the tokens of the other sequence themselves: the projection of the keys is absorbed
/// into the queries before, that of the values is applied to the mixed tokens behind.
#ifndef ALB_ABSORBED_ATTENTION_H
#define ALB_ABSORBED_ATTENTION_H

#include "alb_attention_s8.h"

/// Neighbouring rows that attend to the same tokens.
typedef struct {
    size_t query;               ///< The first of them in q; groups may share queries, each takes them to the tokens' width itself.
    size_t row;                 ///< The first of them in dst; no two groups share a row.
    size_t rows;
    alb_keys_values_s8 tokens;  ///< One head as wide as the tokens, `depth`.
} alb_absorbed_group;

typedef struct {
    size_t heads;
    size_t width;  ///< Columns of a head of queries, a multiple of 16.
    size_t depth;  ///< Columns of a token, a multiple of 16.
    const float *_Nonnull q;  ///< Rows of heads * width columns.
    size_t q_row;             ///< Floats between rows.
    // The projection of the keys, transposed head by head by alb_transpose_heads_int8, and its own scales.
    const int8_t *_Nonnull keys;         ///< (heads * depth / 16, width / 4, 16, 4)
    const float *_Nonnull key_scales;    ///< (heads * depth): 1
    const int32_t *_Nonnull key_sums;    ///< (heads * depth)
    const float *_Nonnull key_factors;   ///< (heads * width): scales of the projection
    // The projection of the values, packed as for a linear layer.
    const int8_t *_Nonnull values;       ///< (heads * width / 16, depth / 4, 16, 4)
    const float *_Nonnull value_scales;  ///< (heads * width)
    const int32_t *_Nonnull value_sums;  ///< (heads * width)
    const float *_Nonnull value_bias;    ///< (heads * width)
    float scale;  ///< Of the scores: alb_attention_scale(width).
    size_t count;
    const alb_absorbed_group *_Nonnull groups;
    float *_Nonnull dst;  ///< Rows of heads * width columns; overlaps no input.
    size_t dst_row;
    void *_Nonnull scratch;  ///< alb_absorbed_attention_scratch_bytes() bytes, 64-byte aligned.
} alb_absorbed_attention_args;

/// For each row of each group and each head h, with the columns of that head:
///
///     a     = q * key_factors, quantised like a row of activations    (alb_quantize_qu8d_f32)
///     q'    = a times the head's transposed projection of the keys    (alb_matmul_f32_qu8d_qs8c, no bias)
///     mixed = int8 attention of q' to the group's tokens              (alb_attention_s8)
///     dst   = mixed, quantised like a row, times the head's projection of the values, plus bias
///
/// Bits: those of the four one after another, on every ISA and for every number of threads. A row depends on its own query, the
/// projections and its group's tokens alone. Threads: blocks of rows of heads are split, over all groups.
void alb_absorbed_attention(alb_isa isa, int threads, const alb_absorbed_attention_args *_Nonnull args);

/// Bytes of scratch for up to `threads` threads and groups of up to `tokens` tokens.
size_t alb_absorbed_attention_scratch_bytes(int threads, size_t tokens, size_t width, size_t depth);

/// The variant of the attention that runs under a ceiling.
alb_isa alb_absorbed_attention_variant(alb_isa ceiling);

#endif
