#ifndef ALB_MATMUL_F32_F32_F32_H
#define ALB_MATMUL_F32_F32_F32_H

#include "../common/tiles.h"
#include "../common/variant.h"
#include "alb_matmul.h"

/// A variant with the shape of its tiles.
typedef struct {
    alb_isa isa;
    size_t height, width;
    void (*run)(const alb_matmul_f32_args *args, alb_tile tile);
} alb_matmul_f32_variant;

extern const alb_matmul_f32_variant alb_matmul_f32_f32_f32_table[];

void alb_matmul_f32_f32_f32__scalar(const alb_matmul_f32_args *args, alb_tile tile);
void alb_matmul_f32_f32_f32__avx2(const alb_matmul_f32_args *args, alb_tile tile);
void alb_matmul_f32_f32_f32__avx512vnni(const alb_matmul_f32_args *args, alb_tile tile);
void alb_matmul_f32_f32_f32__neon(const alb_matmul_f32_args *args, alb_tile tile);

#endif
