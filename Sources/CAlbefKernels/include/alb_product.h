/// Float products of two strided matrices: the building block of Grad-CAM.
#ifndef ALB_PRODUCT_H
#define ALB_PRODUCT_H

#include "alb_isa.h"

#include <stddef.h>

/// A batch of products dst = (lhs . rhs) * scale.
///
/// Element (i, p) of lhs in batch b lies at lhs[b * lhs_batch + i * lhs_row + p * lhs_depth], element (p, j) of rhs at
/// rhs[b * rhs_batch + p * rhs_depth + j * rhs_column], element (i, j) of dst at dst[b * dst_batch + i * dst_row + j]. All
/// strides count floats, so a transposed operand is one with its two strides swapped, and the heads of a fused projection
/// are a batch whose stride is the head's width.
typedef struct {
    size_t batch;               ///< How many products.
    size_t rows, columns;       ///< Shape of one dst.
    size_t depth;               ///< Terms of one sum; 0 gives zeros.
    const float *_Nonnull lhs;  ///< (batch, rows, depth)
    size_t lhs_batch, lhs_row, lhs_depth;
    const float *_Nonnull rhs;  ///< (batch, depth, columns)
    size_t rhs_batch, rhs_depth, rhs_column;
    float *_Nonnull dst;  ///< (batch, rows, columns); must not overlap an operand
    size_t dst_batch, dst_row;
    float scale;  ///< 1 leaves every value as it is.
} alb_product_f32_args;

/// Computes `dst[i][j] = acc * scale` with `acc = fmaf(lhs[i][p], rhs[p][j], acc)`, p ascending from acc = +0, then one
/// multiplication.
/// Bits: equal on every ISA and for every number of threads. Reads and writes: no byte outside of the operands.
void alb_product_f32(alb_isa isa, int threads, const alb_product_f32_args *_Nonnull args);

/// The variant that runs under a ceiling.
alb_isa alb_product_f32_variant(alb_isa ceiling);

#endif
