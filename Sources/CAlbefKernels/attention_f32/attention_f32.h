/// What the variants of float attention share.
#ifndef ALB_ATTENTION_F32_INTERNAL_H
#define ALB_ATTENTION_F32_INTERNAL_H

#include "../common/target_region.h"
#include "alb_attention_f32.h"

enum {
    ALB_ATTENTION_F32_QUERIES = 24,  ///< Queries of one head in one part.
    ALB_ATTENTION_F32_PANEL = 16     ///< Keys that lie side by side in the packed order.
};

/// Keys with padding to whole panels.
static inline size_t alb_attention_f32_padded(size_t keys) {
    return (keys + ALB_ATTENTION_F32_PANEL - 1) / ALB_ATTENTION_F32_PANEL * ALB_ATTENTION_F32_PANEL;
}

/// Packs up to 16 keys of one head for the variants: (width, 16) floats, 0 behind the last key.
/// @param k     Column 0 of the head in row 0.
/// @param rows  Which rows the keys are; NULL for the first `keys` of k.
void alb_attention_f32_pack_panel(
    const float *k, size_t k_row, const int32_t *rows, size_t keys, size_t width, float *panel);

/// How many keys query t sees.
static inline size_t alb_attention_f32_visible(const alb_attention_f32_args *args, size_t t) {
    if (!args->causal || args->query_offset >= args->keys || t >= args->keys - args->query_offset) return args->keys;
    return args->query_offset + t + 1;
}

/// Computes queries [query, query + queries) of one head.
/// @param packed  That head's keys as (padded / 16, width, 16), 64-byte aligned; NULL for the scalar variant.
/// @param scores  Room for (ALB_ATTENTION_F32_QUERIES, padded) floats, 64-byte aligned.
typedef void (*alb_attention_f32_block)(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores);

void alb_attention_f32_block__scalar(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores);
void alb_attention_f32_block__avx2(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores);
void alb_attention_f32_block__avx512vnni(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores);
void alb_attention_f32_block__neon(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores);

typedef struct {
    alb_isa isa;
    bool packed_keys;
    alb_attention_f32_block block;
} alb_attention_f32_variant_entry;

const alb_attention_f32_variant_entry *alb_attention_f32_select(alb_isa isa);

#endif
