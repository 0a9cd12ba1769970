/// What the variants of the float product share: block sizes, and the vector tile that linear_backward uses too.
#ifndef ALB_PRODUCT_INTERNAL_H
#define ALB_PRODUCT_INTERNAL_H

#include "../common/target_region.h"
#include "alb_product.h"

enum {
    ALB_PRODUCT_ROWS = 32,     ///< Rows of dst in one part.
    ALB_PRODUCT_COLUMNS = 64,  ///< Columns of dst in one part.
    ALB_PRODUCT_DEPTH = 128    ///< Depth that is packed at one time; sums go on where the last step left them.
};

/// Continues the sums of a block: `sums[i][j] = fmaf(lhs[i][p], rhs[p][j], sums[i][j])`, p ascending over `depth` steps.
/// @param lhs   (rows, depth), ALB_PRODUCT_DEPTH floats between rows.
/// @param rhs   (depth, ALB_PRODUCT_COLUMNS), 64-byte aligned.
/// @param sums  (rows, ALB_PRODUCT_COLUMNS), 64-byte aligned.
typedef void (*alb_product_tile)(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums);

void alb_product_tile__avx2(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums);
void alb_product_tile__avx512vnni(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums);
void alb_product_tile__neon(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums);

/// The vector tile that `isa` selects, or NULL where the scalar reference is all there is.
alb_product_tile alb_product_select(alb_isa isa);

/// Computes rows [row, row + rows) and columns [column, column + columns) of one product of the batch.
void alb_product_block__scalar(
    const alb_product_f32_args *args, size_t batch, size_t row, size_t rows, size_t column, size_t columns);

#endif
