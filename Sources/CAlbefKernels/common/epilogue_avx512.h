/// Activation and residual of 16 outputs of one row, whose bias has been added; the sequence of operations is epilogue.h's.
#ifndef ALB_EPILOGUE_AVX512_H
#define ALB_EPILOGUE_AVX512_H

#include "alb_matmul.h"
#include "functions.h"
#include "reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline __attribute__((always_inline)) __m512 alb_activate_avx512(
    __m512 y, __m512 (*const gelu)(__m512), alb_activation activation) {
    switch (activation) {
    case ALB_ACTIVATION_GELU: return gelu(y);
    case ALB_ACTIVATION_RELU: return alb_relu_avx512(y);
    case ALB_ACTIVATION_NONE: break;
    }
    return y;
}

static inline __attribute__((always_inline)) __m512 alb_finish_avx512(
    __m512 y, __m512 (*const gelu)(__m512), const alb_epilogue *epilogue, size_t row, size_t column, __mmask16 mask) {
    y = alb_activate_avx512(y, gelu, epilogue->activation);
    if (!epilogue->residual) return y;
    return _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, epilogue->residual + row * epilogue->residual_stride + column));
}

ALB_TARGET_END

#endif
