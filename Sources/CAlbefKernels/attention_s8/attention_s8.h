/// What the variants of int8 attention share.
#ifndef ALB_ATTENTION_S8_INTERNAL_H
#define ALB_ATTENTION_S8_INTERNAL_H

#include "../common/quantization.h"
#include "../common/target_region.h"
#include "alb_attention_s8.h"

enum {
    ALB_ATTENTION_S8_QUERIES = 24,  ///< Queries of one head in one part.
    ALB_ATTENTION_S8_LANES = 16,    ///< Keys or channels that lie side by side.
    ALB_ATTENTION_S8_GROUP = 4      ///< Bytes of one sum that lie together.
};

static inline size_t alb_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/// Memory of one worker.
typedef struct {
    uint8_t *q;        ///< (QUERIES, W4), 0 behind the width
    float *q_scales;   ///< (QUERIES)
    int32_t *q_zeros;  ///< (QUERIES)
    float *scores;     ///< (QUERIES, K16)
    uint8_t *p;        ///< (QUERIES, K16), 0 behind the last key
    float *totals;     ///< (QUERIES): Z
} alb_attention_s8_scratch;

/// The keys of one head.
static inline int8_t *alb_s8_head_keys(const alb_keys_values_s8 *kv, size_t head) {
    return kv->keys + head * alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES) *
                                alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
}

/// The values of one head.
static inline int8_t *alb_s8_head_values(const alb_keys_values_s8 *kv, size_t head) {
    return kv->values + head * alb_round_up(kv->width, ALB_ATTENTION_S8_LANES) *
                            alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP);
}

typedef struct {
    alb_isa isa;
    /// Quantises keys [key, key + 16) of one head, padding included. `k` is that head's first column.
    void (*quantize_keys)(const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key);
    /// Quantises channels [channel, channel + 16) of one head, padding included. `v` is that head's first column.
    void (*quantize_values)(const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel);
    /// Computes `queries` rows (at most QUERIES) of one head. `q` and `dst` are that head's first column of the first row.
    void (*block)(
        size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
        size_t dst_row, const alb_attention_s8_scratch *scratch);
} alb_attention_s8_variant_entry;

#define ALB_ATTENTION_S8_DECLARE(isa)                                                                                \
    void alb_attention_s8_quantize_keys__##isa(                                                                      \
        const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key);                        \
    void alb_attention_s8_quantize_values__##isa(                                                                    \
        const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel);                    \
    void alb_attention_s8_block__##isa(                                                                              \
        size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale,        \
        float *dst, size_t dst_row, const alb_attention_s8_scratch *scratch)

ALB_ATTENTION_S8_DECLARE(scalar);
ALB_ATTENTION_S8_DECLARE(avx2);
ALB_ATTENTION_S8_DECLARE(avx512vnni);

const alb_attention_s8_variant_entry *alb_attention_s8_select(alb_isa isa);

#endif
