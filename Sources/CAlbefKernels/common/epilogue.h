/// What follows a product, for one output; the vector variants have the same sequence of operations in their files. The kernel
/// passes the GELU of its products, which is inlined: alb_gelu of float products, alb_gelu_int8 of int8 ones.
#ifndef ALB_EPILOGUE_H
#define ALB_EPILOGUE_H

#include "alb_matmul.h"
#include "functions.h"

static inline __attribute__((always_inline)) float alb_activate(
    float y, float (*const gelu)(float), alb_activation activation) {
    switch (activation) {
    case ALB_ACTIVATION_GELU: return gelu(y);
    case ALB_ACTIVATION_RELU: return alb_relu(y);
    case ALB_ACTIVATION_NONE: break;
    }
    return y;
}

/// Activation and residual of output (row, column), whose bias has been added.
static inline __attribute__((always_inline)) float alb_finish(
    float y, float (*const gelu)(float), const alb_epilogue *epilogue, size_t row, size_t column) {
    y = alb_activate(y, gelu, epilogue->activation);
    return epilogue->residual ? y + epilogue->residual[row * epilogue->residual_stride + column] : y;
}

#endif
