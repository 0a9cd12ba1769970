/// Activation and residual of 4 outputs of one row, whose bias has been added; the sequence of operations is epilogue.h's.
#ifndef ALB_EPILOGUE_NEON_H
#define ALB_EPILOGUE_NEON_H

#include "alb_matmul.h"
#include "functions.h"
#include "reduce.h"

/// @param lanes  How many of the outputs exist; their residual is read, no more.
static inline __attribute__((always_inline)) float32x4_t alb_finish_neon(
    float32x4_t y, float32x4_t (*const gelu)(float32x4_t), const alb_epilogue *epilogue, size_t row, size_t column,
    size_t lanes) {
    switch (epilogue->activation) {
    case ALB_ACTIVATION_GELU: y = gelu(y); break;
    case ALB_ACTIVATION_RELU: y = alb_relu_neon(y); break;
    case ALB_ACTIVATION_NONE: break;
    }
    if (!epilogue->residual) return y;
    return vaddq_f32(y, alb_load_neon(epilogue->residual + row * epilogue->residual_stride + column, lanes));
}

/// Activation and residual of 16 outputs of one row, of which the first n - column exist. Four vectors at a time: one alone would
/// wait for the latency of each step of its GELU.
static inline __attribute__((always_inline)) void alb_finish_block_neon(
    float32x4_t y[4], float32x4_t (*const gelu)(float32x4_t), const alb_epilogue *epilogue, size_t row, size_t column,
    size_t n) {
    switch (epilogue->activation) {
    case ALB_ACTIVATION_GELU:
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) y[i] = gelu(y[i]);
        break;
    case ALB_ACTIVATION_RELU:
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) y[i] = alb_relu_neon(y[i]);
        break;
    case ALB_ACTIVATION_NONE: break;
    }
    if (!epilogue->residual) return;
    const float *residual = epilogue->residual + row * epilogue->residual_stride + column;
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++)
        y[i] = vaddq_f32(y[i], alb_load_neon(residual + 4 * i, alb_lanes_neon(column + 4 * (size_t)i, n)));
}

#endif
