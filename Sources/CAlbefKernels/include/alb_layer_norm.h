/// Layer normalisation of rows.
#ifndef ALB_LAYER_NORM_H
#define ALB_LAYER_NORM_H

#include <stddef.h>

#include "alb_isa.h"
#include "alb_quantize.h"

/// Per row: mean = R16(x) / n; d = x - mean; v = R16(d * d) / n; r = 1 / sqrt(v + epsilon); dst = fmaf(d * r, weight, bias).
typedef struct {
    size_t m;                       ///< rows
    size_t n;                       ///< columns, at least 1
    const float *_Nonnull src;      ///< m x n
    size_t src_stride;              ///< elements from row to row
    const float *_Nonnull weight;   ///< n
    const float *_Nonnull bias;     ///< n
    float epsilon;
    float *_Nonnull dst;            ///< m x n; may be src
    size_t dst_stride;              ///< elements from row to row
    float *_Nullable normalized;    ///< m x n, dense: d * r, when wanted
    float *_Nullable reciprocals;   ///< m: r; wanted together with `normalized`
} alb_layer_norm_args;

/// Bits: equal on every ISA. Threads: rows are split. Reads and writes no byte outside of the buffers.
void alb_layer_norm_f32(alb_isa isa, int threads, const alb_layer_norm_args *_Nonnull args);

/// Rows that alb_layer_norm_qu8d_f32 keeps at a time.
#define ALB_LAYER_NORM_SCRATCH_ROWS 4

/// The same rows, quantised as alb_quantize_qu8d_f32 does: a few at a time, while they are in the first-level cache, so that
/// float rows are neither written to memory nor read again.
///
/// @param norm       dst, normalized and reciprocals are not used.
/// @param quantized  m and k are those of `norm`; src is not used.
/// @param scratch    n * ALB_LAYER_NORM_SCRATCH_ROWS floats for each of `threads` workers.
/// Bits: those of the two operations one after the other.
void alb_layer_norm_qu8d_f32(
    alb_isa isa, int threads, const alb_layer_norm_args *_Nonnull norm, const alb_quantize_args *_Nonnull quantized,
    float *_Nonnull scratch);

/// The variant that runs under a ceiling.
alb_isa alb_layer_norm_f32_variant(alb_isa ceiling);

#endif
