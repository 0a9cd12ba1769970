/// Activation and residual of 8 outputs of one row, whose bias has been added; the sequence of operations is epilogue.h's.
#ifndef ALB_EPILOGUE_AVX2_H
#define ALB_EPILOGUE_AVX2_H

#include "alb_matmul.h"
#include "functions.h"
#include "reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __attribute__((always_inline)) __m256 alb_finish_avx2(
    __m256 y, __m256 (*const gelu)(__m256), const alb_epilogue *epilogue, size_t row, size_t column, __m256i mask) {
    switch (epilogue->activation) {
    case ALB_ACTIVATION_GELU: y = gelu(y); break;
    case ALB_ACTIVATION_RELU: y = alb_relu_avx2(y); break;
    case ALB_ACTIVATION_NONE: break;
    }
    if (!epilogue->residual) return y;
    return _mm256_add_ps(y, _mm256_maskload_ps(epilogue->residual + row * epilogue->residual_stride + column, mask));
}

ALB_TARGET_END

#endif
