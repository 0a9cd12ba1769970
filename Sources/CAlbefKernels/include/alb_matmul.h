/// Linear layers: activations times packed weights, with the epilogue fused.
#ifndef ALB_MATMUL_H
#define ALB_MATMUL_H

#include <stddef.h>
#include <stdint.h>

#include "alb_isa.h"

typedef enum {
    ALB_ACTIVATION_NONE = 0,
    ALB_ACTIVATION_GELU = 1,  ///< ALB_FUNCTION_GELU of a float product, ALB_FUNCTION_GELU_INT8 of an int8 one
    ALB_ACTIVATION_RELU = 2,  ///< max(x, 0)
} alb_activation;

/// Depth at which the int8 product still cannot overflow: 32 768 * 255 * 127 and the zero-point term each fit in int32.
#define ALB_MATMUL_MAXIMUM_DEPTH 32768

/// What happens to each output after the product, in this order: bias (see the product), activation, residual added.
typedef struct {
    const float *_Nullable bias;      ///< n, unpadded
    alb_activation activation;
    const float *_Nullable residual;  ///< m x n; may be dst
    size_t residual_stride;           ///< elements from row to row
} alb_epilogue;

/// dst[m][n] = fmaf((float)s, lhs_scales[m] * rhs_scales[n], bias[n] or +0), then the epilogue, with
/// s = sum_k lhs[m][k] * rhs[n][k] - lhs_zero_points[m] * rhs_sums[n] in int32.
///
/// rhs is packed: blocks of 16 channels, in them groups of 4 along the depth, [N/16][K/4][16][4]:
///
///   byte 0                                                          64
///   | n0k0 n0k1 n0k2 n0k3 | n1k0 n1k1 n1k2 n1k3 | ... | n15k0...n15k3 | n0k4 n0k5 ...
typedef struct {
    size_t m;                                  ///< rows of lhs and dst
    size_t n;                                  ///< output channels
    size_t k;                                  ///< depth, padded: a multiple of 4, at most ALB_MATMUL_MAXIMUM_DEPTH
    const uint8_t *_Nonnull lhs;               ///< m x k, dense
    const float *_Nonnull lhs_scales;          ///< m
    const int32_t *_Nonnull lhs_zero_points;   ///< m
    const int8_t *_Nonnull rhs;                ///< [N/16][k/4][16][4], N = n rounded up to a multiple of 16; 64-byte aligned;
                                               ///< -127...127: variants without an int8 product rely on it
    const float *_Nonnull rhs_scales;          ///< N
    const int32_t *_Nonnull rhs_sums;          ///< N: the sums of the weights over k; variants that lower lhs rely on it
    alb_epilogue epilogue;
    float *_Nonnull dst;                       ///< m x n; overlaps no input but the residual
    size_t dst_stride;                         ///< elements from row to row, at least n
} alb_matmul_int8_args;

/// Bits: equal on every ISA. Threads: tiles of dst are split. Reads and writes no byte outside of the buffers.
void alb_matmul_f32_qu8d_qs8c(alb_isa isa, int threads, const alb_matmul_int8_args *_Nonnull args);

/// Several products of equal sizes at once, such as queries, keys and values of the same rows: threads wait for each other once
/// only, and one of them makes the same channels of all.
/// Bits: each product's like alone.
/// @param count     At least 1.
/// @param products  Of the same m, n and k. No dst overlaps an input of another product, or its dst.
void alb_matmul_together_f32_qu8d_qs8c(
    alb_isa isa, int threads, size_t count, const alb_matmul_int8_args *_Nonnull products);

/// The variant that runs under a ceiling.
alb_isa alb_matmul_f32_qu8d_qs8c_variant(alb_isa ceiling);

/// dst[m][n] = bias[n] added to acc, then the epilogue, with acc = fmaf(lhs[m][k], rhs[n][k], acc) for k ascending from +0.
/// rhs is packed in blocks of 16 channels, [N/16][k][16].
typedef struct {
    size_t m;                     ///< rows of lhs and dst
    size_t n;                     ///< output channels
    size_t k;                     ///< depth
    const float *_Nonnull lhs;    ///< m x k
    size_t lhs_stride;            ///< elements from row to row, at least k
    const float *_Nonnull rhs;    ///< [N/16][k][16], N = n rounded up to a multiple of 16; 64-byte aligned
    alb_epilogue epilogue;
    float *_Nonnull dst;          ///< m x n; overlaps no input but the residual
    size_t dst_stride;            ///< elements from row to row, at least n
} alb_matmul_f32_args;

/// Bits: equal on every ISA. Threads: tiles of dst are split. Reads and writes no byte outside of the buffers.
void alb_matmul_f32_f32_f32(alb_isa isa, int threads, const alb_matmul_f32_args *_Nonnull args);

/// The variant that runs under a ceiling.
alb_isa alb_matmul_f32_f32_f32_variant(alb_isa ceiling);

#endif
