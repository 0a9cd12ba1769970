#include "attention_s8.h"

#if defined(__aarch64__)

void alb_attention_s8_block__dotprod(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    alb_attention_s8_block_neon(queries, q, q_row, kv, head, scale, dst, dst_row, scratch, &alb_int8_sums__dotprod);
}

#endif
