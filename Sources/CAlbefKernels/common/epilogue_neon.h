/// Activation and residual of 4 outputs of one row, whose bias has been added; the sequence of operations is epilogue.h's.
#ifndef ALB_EPILOGUE_NEON_H
#define ALB_EPILOGUE_NEON_H

#include "alb_matmul.h"
#include "functions.h"
#include "reduce.h"

/// @param lanes  How many of the outputs exist; their residual is read, no more.
static inline float32x4_t alb_finish_neon(
    float32x4_t y, const alb_epilogue *epilogue, size_t row, size_t column, size_t lanes) {
    switch (epilogue->activation) {
    case ALB_ACTIVATION_GELU: y = alb_gelu_neon(y); break;
    case ALB_ACTIVATION_RELU: y = alb_relu_neon(y); break;
    case ALB_ACTIVATION_NONE: break;
    }
    if (!epilogue->residual) return y;
    return vaddq_f32(y, alb_load_neon(epilogue->residual + row * epilogue->residual_stride + column, lanes));
}

#endif
