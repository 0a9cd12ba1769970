/// The gradient of a linear layer's input, from the weights as they lie packed in a model file.
#ifndef ALB_LINEAR_BACKWARD_H
#define ALB_LINEAR_BACKWARD_H

#include "alb_isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// dst = g . W, where W is (channels, depth) and the layer computed x . W^T. Exactly one of the two weight pointers is set.
typedef struct {
    size_t rows;      ///< Rows of g and dst.
    size_t channels;  ///< Columns of g: outputs of the layer.
    size_t depth;     ///< Columns of dst: inputs of the layer.
    const float *_Nonnull g;  ///< (rows, channels), g_row floats between rows
    size_t g_row;
    const float *_Nullable float_weights;  ///< (channels / 16, depth, 16), channels rounded up
    const int8_t *_Nullable int8_weights;  ///< (channels / 16, depth / 4, 16, 4), channels and depth rounded up
    const float *_Nullable scales;         ///< (channels): of int8 weights
    bool accumulate;                       ///< Add to what dst holds.
    float *_Nonnull dst;                   ///< (rows, depth), dst_row floats between rows; overlaps no input
    size_t dst_row;
} alb_linear_backward_args;

/// Computes, n ascending from acc = +0, for float weights `acc = fmaf(g_n, w_nk, acc)` and for int8 weights
/// `acc = fmaf(g_n * scale_n, (float)q_nk, acc)`; then `dst = acc`, or `dst = dst + acc` when accumulating.
/// Bits: equal on every ISA and for every number of threads. Reads and writes: no byte outside of the operands.
void alb_linear_backward(alb_isa isa, int threads, const alb_linear_backward_args *_Nonnull args);

/// The variant that runs under a ceiling.
alb_isa alb_linear_backward_variant(alb_isa ceiling);

#endif
