/// What the variants of int8 attention share.
#ifndef ALB_ATTENTION_S8_INTERNAL_H
#define ALB_ATTENTION_S8_INTERNAL_H

#include "../common/quantization.h"
#include "../common/target_region.h"
#include "../common/functions.h"
#include "../int8_sums/int8_sums.h"
#include "alb_attention_s8.h"

enum {
    ALB_ATTENTION_S8_QUERIES = 24,  ///< Queries of one head in one part, at most.
    ALB_ATTENTION_S8_STEP = 6,      ///< Rows of the highest tile, by which heights of parts are tried.
    ALB_ATTENTION_S8_LANES = 16,    ///< Keys or channels that lie side by side.
    ALB_ATTENTION_S8_GROUP = 4      ///< Bytes of one sum that lie together.
};

static inline size_t alb_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// 255 * 2^r on [-1/2, 1/2], relatively within 7.6e-5: 0.02 at 255, while bytes are rounded by up to 0.5.
#define ALB_ATTENTION_S8_C0 0x1.fdf6ap+7f
#define ALB_ATTENTION_S8_C1 0x1.619026p+7f
#define ALB_ATTENTION_S8_C2 0x1.eeec44p+5f
#define ALB_ATTENTION_S8_C3 0x1.c2319ap+3f
#define ALB_ATTENTION_S8_SHIFT 0x1.8p+23f  // added to a small number, it rounds it to an integer and keeps that in the low bits

/// How far a score lies below its row's greatest, to a power of two. Below 2^-16 every byte is 0.
typedef struct {
    float factor;  ///< from differences of (float)s_j * key_scale_j to exponents of 2; not negative
    float lowest;  ///< the difference whose exponent is -16; -infinity where the factor is 0 or too small
} alb_attention_s8_exponent;

static inline alb_attention_s8_exponent alb_attention_s8_exponent_of(float q_scale, float scale) {
    const float factor = q_scale * (scale * ALB_EXP_LOG2E);
    return (alb_attention_s8_exponent){factor, -16.0f / factor};
}

/// Memory of one worker. A variant may use less of it, and keep rows at another distance than they have room for.
typedef struct {
    uint8_t *q;        ///< (QUERIES, W4), 0 behind the width
    float *q_scales;   ///< (QUERIES)
    int32_t *q_zeros;  ///< (QUERIES): zero points, in a form of the variant's own
    float *scores;     ///< room for (QUERIES, K64)
    uint8_t *p;        ///< room for (QUERIES, K64); a row is 0 behind the last key up to K16
    float *inverses;   ///< (QUERIES): 1 / Z
} alb_attention_s8_scratch;

/// Lays out one worker's memory and returns its size; `start` may be NULL to learn only the size.
size_t alb_attention_s8_layout(char *start, size_t keys, size_t width, alb_attention_s8_scratch *scratch);

/// Scores or bytes of a row in the scratch, for whole cache lines of bytes.
static inline size_t alb_s8_row_length(size_t tokens) { return alb_round_up(tokens, 64); }

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
    /// Queries of a part where there are many: more are better for variants that prepare keys and values for each part, fewer
    /// keep the threads busier at the end.
    size_t height;
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
ALB_ATTENTION_S8_DECLARE(avxvnni);
ALB_ATTENTION_S8_DECLARE(avx512vnni);
ALB_ATTENTION_S8_DECLARE(neon);

// On ARM the instruction sets differ in the products alone: they share the quantisation, and a block whose sums of products
// are taken by `product`.
void alb_attention_s8_block__dotprod(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch);
void alb_attention_s8_block__i8mm(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch);
void alb_attention_s8_block_neon(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch, const alb_int8_sums *product);

const alb_attention_s8_variant_entry *alb_attention_s8_select(alb_isa isa);

#endif
