/// What the scalar definition and the blocked form of the linear layer's backward share.
#ifndef ALB_LINEAR_BACKWARD_INTERNAL_H
#define ALB_LINEAR_BACKWARD_INTERNAL_H

#include "../common/target_region.h"
#include "../product/product.h"
#include "alb_linear_backward.h"

enum { ALB_LINEAR_BACKWARD_LANES = 16, ALB_LINEAR_BACKWARD_GROUP = 4 };

/// Where weight (n, k) lies in the packed int8 order.
static inline size_t alb_int8_position(size_t n, size_t k, size_t depth) {
    const size_t lanes = ALB_LINEAR_BACKWARD_LANES, group = ALB_LINEAR_BACKWARD_GROUP;
    return ((n / lanes * ((depth + group - 1) / group) + k / group) * lanes + n % lanes) * group + k % group;
}

/// Where weight (n, k) lies in the packed float order.
static inline size_t alb_float_position(size_t n, size_t k, size_t depth) {
    return (n / ALB_LINEAR_BACKWARD_LANES * depth + k) * ALB_LINEAR_BACKWARD_LANES + n % ALB_LINEAR_BACKWARD_LANES;
}

/// Unpacks 16 channels of int8 weights over ALB_PRODUCT_COLUMNS inputs, 1024 bytes that lie together, to floats: one channel
/// after another, ALB_PRODUCT_COLUMNS each. dst is 64-byte aligned.
typedef void (*alb_unpack_channels)(const int8_t *weights, float *dst);

void alb_unpack_channels__avx2(const int8_t *weights, float *dst);
void alb_unpack_channels__avx512vnni(const int8_t *weights, float *dst);

/// The vector form that `isa` selects, or NULL where there is none.
alb_unpack_channels alb_unpack_channels_select(alb_isa isa);

/// Computes rows [row, row + rows) and columns [column, column + columns) of dst.
void alb_linear_backward_block__scalar(
    const alb_linear_backward_args *args, size_t row, size_t rows, size_t column, size_t columns);

#endif
