/// The pieces of Grad-CAM's backward passes that are no products, and the class activation map itself. All float; a row is
/// independent of every other row. Strides count floats between rows.
///
/// Bits: equal on every ISA and for every number of threads. Reads and writes: no byte outside of the operands.
#ifndef ALB_GRADIENTS_H
#define ALB_GRADIENTS_H

#include "alb_isa.h"

#include <stddef.h>
#include <stdint.h>

/// The gradient at a LayerNorm's input, row by row, with h = g * weight and n = columns:
///
///     a = R16(h) / n;  b = R16(h . normalized, by fmaf) / n
///     dst = reciprocal * fmaf(-b, normalized, h - a)
///
/// @param normalized   (rows, columns): (x - mean) * reciprocal, as the forward pass kept it.
/// @param reciprocals  (rows): 1 / sqrt(variance + epsilon).
/// @param dst          May be g itself; must not overlap anything else.
void alb_layer_norm_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull g, size_t g_row,
    const float *_Nonnull normalized, size_t normalized_row, const float *_Nonnull reciprocals,
    const float *_Nonnull weight, float *_Nonnull dst, size_t dst_row);

/// The gradient at GELU's input h:
///
///     density = 0.3989423 * exp(-0.5 * (h * h));  cumulative = 0.5 * (1 + erf(h * 0.70710678))
///     dst = g * fmaf(h, density, cumulative)
///
/// @param dst  May be g or h.
void alb_gelu_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull g, size_t g_row, const float *_Nonnull h,
    size_t h_row, float *_Nonnull dst, size_t dst_row);

/// The gradient at scaled-softmax's input, of one row of probabilities p and their gradient dp:
///
///     dst = (p * (dp - R16(dp . p, by fmaf))) * scale
///
/// @param dst  (rows, columns) dense like p and dp; may be dp or p.
void alb_softmax_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull dp, const float *_Nonnull p, float scale,
    float *_Nonnull dst);

/// The gradient at the input x of `x / max(|x|, 1e-12)`, for rows that are longer than that:
///
///     length = max(sqrt(R16(x . x, by fmaf)), 1e-12);  u = x / length;  along = R16(g . u, by fmaf)
///     dst = fmaf(-along, u, g) / length
///
/// @param dst  Overlaps neither g nor x.
void alb_l2_normalize_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull g, size_t g_row, const float *_Nonnull x,
    size_t x_row, float *_Nonnull dst, size_t dst_row);

/// The gradient at the logits of `weight * log softmax(logits)[id]`, from the probabilities p = softmax(logits):
///
///     dst_j = p_j * -weight, dst_id = +0;  then  dst_id = -R16(dst)
///
/// The id's entry is that of the others with its sign changed, since weight * (1 - p_id) would lose all digits where p_id
/// is close to 1: a sure answer has the smallest gradient, and is the one that people ask about.
///
/// @param ids      (rows), each in 0...columns-1.
/// @param weights  (rows).
/// @param dst      May be p.
void alb_log_softmax_backward(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull p, size_t p_row,
    const int32_t *_Nonnull ids, const float *_Nonnull weights, float *_Nonnull dst, size_t dst_row);

/// The class activation map of an attention, without its first key (the image's CLS):
///
///     acc = fmaf(p[h][t][j], max(dp[h][t][j], 0), acc), h ascending from +0;  dst[t][j - 1] = acc / heads,  j = 1 ... keys - 1
///
/// @param p, dp  (heads, queries, keys) dense.
/// @param dst    (queries, keys - 1) dense.
void alb_grad_cam(
    alb_isa isa, int threads, size_t heads, size_t queries, size_t keys, const float *_Nonnull p, const float *_Nonnull dp,
    float *_Nonnull dst);

/// dst = a + b. dst may be a or b.
void alb_add(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull a, size_t a_row, const float *_Nonnull b,
    size_t b_row, float *_Nonnull dst, size_t dst_row);

/// The mean over rows: acc = acc + x[t], t ascending from +0; dst = acc / rows.
/// @param dst  (columns)
void alb_mean_rows(
    alb_isa isa, int threads, size_t rows, size_t columns, const float *_Nonnull x, size_t x_row, float *_Nonnull dst);

/// The variant that runs under a ceiling for all of these.
alb_isa alb_gradients_variant(alb_isa ceiling);

#endif
