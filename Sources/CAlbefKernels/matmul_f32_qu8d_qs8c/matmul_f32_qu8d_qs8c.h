#ifndef ALB_MATMUL_F32_QU8D_QS8C_H
#define ALB_MATMUL_F32_QU8D_QS8C_H

#include "../common/tiles.h"
#include "../common/variant.h"
#include "../int8_sums/int8_sums.h"
#include "alb_matmul.h"

/// Depth steps of one channel that lie together.
#define ALB_GROUP 4

/// A variant with the shape of its tiles.
typedef struct {
    alb_isa isa;
    size_t height, width;
    void (*run)(const alb_matmul_int8_args *args, alb_tile tile);
} alb_matmul_int8_variant;

/// The greatest tile of the AVX2 variant, which keeps its operands on the stack: 270 KB for each worker, the caller among them.
#define ALB_MATMUL_INT8_AVX2_ROWS 96
#define ALB_MATMUL_INT8_AVX2_CHANNELS 128

extern const alb_matmul_int8_variant alb_matmul_f32_qu8d_qs8c_table[];

void alb_matmul_f32_qu8d_qs8c__scalar(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__avx2(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__avxvnni(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__avx512vnni(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__neon(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__dotprod(const alb_matmul_int8_args *args, alb_tile tile);
void alb_matmul_f32_qu8d_qs8c__i8mm(const alb_matmul_int8_args *args, alb_tile tile);

/// The most rows of a tile on ARM.
#define ALB_MATMUL_NEON_HEIGHT 48

/// What the ARM variants share: a tile whose sums of products are taken by `product`.
void alb_matmul_f32_qu8d_qs8c_tile_neon(const alb_matmul_int8_args *args, alb_tile tile, const alb_int8_sums *product);

#endif
