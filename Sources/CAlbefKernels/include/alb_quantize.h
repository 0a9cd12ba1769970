/// Quantises rows of activations to uint8, each row with its own scale and zero point.
#ifndef ALB_QUANTIZE_H
#define ALB_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "alb_isa.h"

/// Per row, with rne rounding to nearest, ties to even:
///   lo = min(0, min x), hi = max(0, max x), r = hi - lo; r < 2^-100: scale, zero point and all q are 0; else
///   scale = r / 255, inv = 255 / r, zero_point = rne(-lo * inv), q = clamp(rne(x * inv) + zero_point, 0, 255).
typedef struct {
    size_t m;                         ///< rows
    size_t k;                         ///< columns of src
    const float *_Nonnull src;        ///< m x k
    size_t src_stride;                ///< elements from row to row, at least k
    uint8_t *_Nonnull dst;            ///< m x dst_stride; columns k...dst_stride-1 are set to 0
    size_t dst_stride;                ///< k rounded up to a multiple of 4
    float *_Nonnull scales;           ///< m
    int32_t *_Nonnull zero_points;    ///< m
} alb_quantize_args;

/// Bits: equal on every ISA. Threads: rows are split. Reads and writes no byte outside of the buffers.
void alb_quantize_qu8d_f32(alb_isa isa, int threads, const alb_quantize_args *_Nonnull args);

/// The variant that runs under a ceiling.
alb_isa alb_quantize_qu8d_f32_variant(alb_isa ceiling);

#endif
