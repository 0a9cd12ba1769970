/// Activation and residual of 16 outputs of one row, whose bias has been added; the sequence of operations is epilogue.h's.
#ifndef ALB_EPILOGUE_AVX512_H
#define ALB_EPILOGUE_AVX512_H

#include "alb_matmul.h"
#include "functions.h"
#include "reduce.h"

#define ALB_GELU_MANY 6  ///< The most vectors of alb_gelu_many_avx512.

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline __m512 alb_activate_avx512(__m512 y, alb_activation activation) {
    switch (activation) {
    case ALB_ACTIVATION_GELU: return alb_gelu_avx512(y);
    case ALB_ACTIVATION_RELU: return alb_relu_avx512(y);
    case ALB_ACTIVATION_NONE: break;
    }
    return y;
}

/// alb_gelu_avx512 of `count` vectors, a constant where it is inlined, step by step side by side: the chain of one vector is
/// too long for the processor to find the next one's beginning behind it.
static inline __attribute__((always_inline)) void alb_gelu_many_avx512(__m512 *x, const int count) {
    const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
    __m512 scaled[ALB_GELU_MANY], a[ALB_GELU_MANY], p[ALB_GELU_MANY];
    __m512i i[ALB_GELU_MANY];
#define ALB_EACH ALB_PRAGMA(clang loop unroll(full)) for (int v = 0; v < count; v++)
    ALB_EACH scaled[v] = _mm512_mul_ps(x[v], _mm512_set1_ps(ALB_SQRT_HALF));
    ALB_EACH a[v] = _mm512_abs_ps(scaled[v]);
    ALB_EACH i[v] = _mm512_cvttps_epi32(
        _mm512_min_ps(_mm512_mul_ps(a[v], _mm512_set1_ps(4.0f)), _mm512_set1_ps(15.0f)));
    ALB_EACH p[v] = _mm512_permutexvar_ps(i[v], _mm512_loadu_ps(alb_erf_coefficients[5]));
    __m512 t[ALB_GELU_MANY];
    ALB_EACH t[v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(i[v]), _mm512_set1_ps(-0.25f), a[v]);
    for (int k = 4; k >= 0; k--) {
        const __m512 row = _mm512_loadu_ps(alb_erf_coefficients[k]);
        ALB_EACH p[v] = _mm512_fmadd_ps(p[v], t[v], _mm512_permutexvar_ps(i[v], row));
        // Keeps the order: the compiler would finish one vector after the other.
        ALB_EACH __asm__ volatile("" : "+v"(p[v]));
    }
    ALB_EACH p[v] = _mm512_mask_mov_ps(p[v], _mm512_cmp_ps_mask(a[v], _mm512_set1_ps(ALB_ERF_LIMIT), _CMP_GE_OQ), one);
    ALB_EACH p[v] = _mm512_or_ps(_mm512_abs_ps(p[v]), _mm512_and_ps(sign, scaled[v]));
    ALB_EACH x[v] = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), x[v]), _mm512_add_ps(one, p[v]));
#undef ALB_EACH
}

static inline __m512 alb_finish_avx512(
    __m512 y, const alb_epilogue *epilogue, size_t row, size_t column, __mmask16 mask) {
    y = alb_activate_avx512(y, epilogue->activation);
    if (!epilogue->residual) return y;
    return _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, epilogue->residual + row * epilogue->residual_stride + column));
}

ALB_TARGET_END

#endif
