/// What follows a product, for one output; the vector variants have the same sequence of operations in their files.
#ifndef ALB_EPILOGUE_H
#define ALB_EPILOGUE_H

#include "alb_matmul.h"
#include "functions.h"

static inline float alb_activate(float y, alb_activation activation) {
    switch (activation) {
    case ALB_ACTIVATION_GELU: return alb_gelu(y);
    case ALB_ACTIVATION_RELU: return alb_relu(y);
    case ALB_ACTIVATION_NONE: break;
    }
    return y;
}

/// Activation and residual of output (row, column), whose bias has been added.
static inline float alb_finish(float y, const alb_epilogue *epilogue, size_t row, size_t column) {
    y = alb_activate(y, epilogue->activation);
    return epilogue->residual ? y + epilogue->residual[row * epilogue->residual_stride + column] : y;
}

#endif
