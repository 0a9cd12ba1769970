/// Layer normalisation of rows.
#ifndef ALB_LAYER_NORM_H
#define ALB_LAYER_NORM_H

#include <stddef.h>

#include "alb_isa.h"

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

/// The variant that runs under a ceiling.
alb_isa alb_layer_norm_f32_variant(alb_isa ceiling);

#endif
