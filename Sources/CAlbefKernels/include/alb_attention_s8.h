/// Int8 attention: self-attention over image tokens and cross-attention to them.
#ifndef ALB_ATTENTION_S8_H
#define ALB_ATTENTION_S8_H

#include "alb_isa.h"

#include <stddef.h>
#include <stdint.h>

/// Keys and values of one sequence, quantised and laid out for products of 4 neighbouring bytes. With K16 = tokens rounded up
/// to 16, W4 = width rounded up to 4, W16 = width rounded up to 16 and K4 = tokens rounded up to 4:
///
///     keys    (heads, K16 / 16, W4 / 4, 16, 4)   16 keys side by side, each with 4 neighbouring channels
///     values  (heads, W16 / 16, K4 / 4, 16, 4)   16 channels side by side, each with 4 neighbouring tokens
///
/// Padding is 0, also in scales and sums. Every array is 64-byte aligned.
typedef struct {
    size_t heads;
    size_t tokens;  ///< 1 to 32 768: the int32 sums hold.
    size_t width;   ///< Columns of one head, 1 to 32 768.
    int8_t *_Nonnull keys;
    float *_Nonnull key_scales;  ///< (heads, K16)
    int32_t *_Nonnull key_sums;  ///< (heads, K16): the sum of a key's int8 values
    int8_t *_Nonnull values;
    float *_Nonnull value_scales;  ///< (heads, W16)
} alb_keys_values_s8;

/// Quantises keys per (token, head) and values per (head, channel) over all tokens, both symmetric:
///
///     scale = absmax / 127, q = clamp(rne(x * (127 / absmax)), -127, 127); absmax < 2^-100 gives scale 0 and q = 0
///
/// @param k, v  (tokens, heads * width), k_row and v_row floats between rows; heads are blocks of columns.
/// Bits: equal on every ISA and for every number of threads, for finite inputs.
void alb_attention_s8_quantize(
    alb_isa isa, int threads, const float *_Nonnull k, size_t k_row, const float *_Nonnull v, size_t v_row,
    const alb_keys_values_s8 *_Nonnull kv);

/// Computes attention of `queries` rows of q to the quantised keys and values, for every head:
///
///     q    to uint8 per (row, head): lo = min(0, min q), hi = max(0, max q), r = hi - lo; r < 2^-100: q_scale 0, zp 0, q 0;
///          else q_scale = r / 255, inv = 255 / r, zp = rne(-lo * inv), q = clamp(rne(q * inv) + zp, 0, 255)
///     s_j  = sum_c q_c * k_jc - zp * key_sum_j                       int32, exact
///     u_j  = (float)s_j * key_scale_j;  m = max u over the whole row
///     f    = q_scale * (scale * log2(e));  c = max(u_j - m, -16 / f)
///     t    = fmaf(c, f, 1.5 * 2^23);  n = t - 1.5 * 2^23;  r = fmaf(c, f, -n)
///     P_j  = rne(2^n * fmaf(fmaf(fmaf(C3, r, C2), r, C1), r, C0)) as uint8, about 255 * exp(scale * q_scale * (u_j - m))
///     Z    = sum P_j   int32
///     dst_c = ((float)(sum_j P_j * v_jc) * value_scale_c) * (1 / (float)Z)
///
/// Each float operation is one IEEE operation; C0 to C3 are 255 * 2^r on [-1/2, 1/2], relatively within 7.6e-5. A row depends on nothing but
/// its own query and kv.
/// @param scale    Factor of the scores: alb_attention_scale(width) of the heads that queries were projected to.
/// @param dst      (queries, heads * width), dst_row floats between rows; overlaps no input.
/// @param scratch  alb_attention_s8_scratch_bytes() bytes, 64-byte aligned.
/// Bits: equal on every ISA and for every number of threads, for finite inputs.
void alb_attention_s8(
    alb_isa isa, int threads, size_t queries, const float *_Nonnull q, size_t q_row,
    const alb_keys_values_s8 *_Nonnull kv, float scale, float *_Nonnull dst, size_t dst_row, void *_Nonnull scratch);

/// Bytes of scratch for up to `threads` threads.
size_t alb_attention_s8_scratch_bytes(int threads, size_t keys, size_t width);

/// The variant that runs under a ceiling.
alb_isa alb_attention_s8_variant(alb_isa ceiling);

#endif
