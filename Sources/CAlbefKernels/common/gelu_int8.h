/// GELU of int8 linear layers, whose results are quantised next: quadratics in place of erf's polynomials of degree 5, which
/// functions.h has for all else. Scalar, AVX2, AVX-512 and NEON forms of one sequence of IEEE operations.
///
/// Error against double precision, over every float32: at most 1.27e-4, at |x| = 4, and at most 2.7e-5 below |x| = 3.75.
#ifndef ALB_GELU_INT8_H
#define ALB_GELU_INT8_H

#include "functions.h"

#define ALB_GELU_INT8_LIMIT 0x1.fffffep+1f  // the float32 below 4: from here on the quadratic is exactly 1/2
#define ALB_GELU_INT8_MANY 6                // the most vectors of alb_gelu_int8_many_avx512

/// Phi(b) - 1/2 = erf(b sqrt(1/2)) / 2 on [i/4, (i+1)/4), i = 0...15: coefficient [k][i] of b^k. For every float32 the value is
/// in 0...1/2. Each quadratic is the one whose greatest error, times b, is least, found by Remez exchange and rounded; the first
/// is 0 at 0. The last is 1/2 at the limit, where no other error of it is as great: it has the least squares of errors times b,
/// and coefficient 1 is 6 units in the last place above the rounded one, which makes 1/2 exact.
static const float alb_gelu_int8_coefficients[3][16] = {
    {0x0p+0f, -0x1.841cbap-9f, -0x1.650406p-7f, -0x1.4117cp-6f, -0x1.391cp-6f, 0x1.1270ecp-10f, 0x1.7a2f44p-5f,
     0x1.d0f74ep-4f, 0x1.8caa2p-3f, 0x1.1946cap-2f, 0x1.62a55cp-2f, 0x1.9c7e4ap-2f, 0x1.c59ebcp-2f, 0x1.e0328ap-2f,
     0x1.efe658p-2f, 0x1.096d14p-1f},
    {0x1.9aecd2p-2f, 0x1.b2557p-2f, 0x1.d2e2c6p-2f, 0x1.eb25b2p-2f, 0x1.eabe52p-2f, 0x1.ca33b6p-2f, 0x1.8ce366p-2f,
     0x1.3e2886p-2f, 0x1.d8085ap-3f, 0x1.4453fcp-3f, 0x1.9d5106p-4f, 0x1.e91b22p-5f, 0x1.0d0faep-5f, 0x1.138834p-6f,
     0x1.06e282p-7f, -0x1.426eap-7f},
    {-0x1.a2eecap-6f, -0x1.20ed64p-4f, -0x1.a3fc2cp-4f, -0x1.e6262ep-4f, -0x1.e686e6p-4f, -0x1.b3316ep-4f, -0x1.61c748p-4f,
     -0x1.07de22p-4f, -0x1.6b4bd2p-5f, -0x1.cf7f8ep-6f, -0x1.12bddp-6f, -0x1.2f449p-7f, -0x1.3829e2p-8f, -0x1.2bfbe2p-9f,
     -0x1.0d622ep-10f, 0x1.573acp-10f},
};

/// x times about Phi(x): x from 4 on, -0 from -4 down, NaN for NaN and -infinity.
static inline float alb_gelu_int8(float x) {
    float b = fabsf(x);
    // The limit takes the place of a NaN too; the last product brings the NaN back.
    b = b < ALB_GELU_INT8_LIMIT ? b : ALB_GELU_INT8_LIMIT;
    int32_t i = (int32_t)(b * 4.0f);
    float p = fmaf(alb_gelu_int8_coefficients[2][i], b, alb_gelu_int8_coefficients[1][i]);
    p = fmaf(p, b, alb_gelu_int8_coefficients[0][i]);
    return x * (0.5f + copysignf(p, x));
}

#if defined(__x86_64__)

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __m256 alb_gelu_int8_avx2(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    // In this order the minimum of a NaN is the limit.
    __m256 b = _mm256_min_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(ALB_GELU_INT8_LIMIT));
    __m256i i = _mm256_cvttps_epi32(_mm256_mul_ps(b, _mm256_set1_ps(4.0f)));
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
    __m256 p = alb_lookup_avx2(alb_gelu_int8_coefficients[2], i, upper);
    for (int k = 1; k >= 0; k--) p = _mm256_fmadd_ps(p, b, alb_lookup_avx2(alb_gelu_int8_coefficients[k], i, upper));
    p = _mm256_or_ps(p, _mm256_and_ps(sign, x));
    return _mm256_mul_ps(x, _mm256_add_ps(_mm256_set1_ps(0.5f), p));
}

ALB_TARGET_END

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// GELU of `count` vectors, a constant where it is inlined, step by step side by side: the chain of one vector is too long for
/// the processor to find the next one's beginning behind it. How far they overlap is left to the compiler, which is faster than
/// forcing it.
static inline __attribute__((always_inline)) void alb_gelu_int8_many_avx512(__m512 *x, const int count) {
    __m512 b[ALB_GELU_INT8_MANY], p[ALB_GELU_INT8_MANY];
    __m512i i[ALB_GELU_INT8_MANY];
#define ALB_EACH ALB_PRAGMA(clang loop unroll(full)) for (int v = 0; v < count; v++)
    // The lesser absolute value (0x0a); that of a NaN is the limit.
    ALB_EACH b[v] = _mm512_range_ps(x[v], _mm512_set1_ps(ALB_GELU_INT8_LIMIT), 0x0a);
    // From 2^21 on the last place is worth 1/4: the sum's lowest bits, four of which pick, are the integer below 4 b.
    ALB_EACH i[v] = _mm512_castps_si512(
        _mm512_add_round_ps(b[v], _mm512_set1_ps(0x1p21f), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
    ALB_EACH p[v] = _mm512_permutexvar_ps(i[v], _mm512_loadu_ps(alb_gelu_int8_coefficients[2]));
    for (int k = 1; k >= 0; k--) {
        const __m512 row = _mm512_loadu_ps(alb_gelu_int8_coefficients[k]);
        ALB_EACH p[v] = _mm512_fmadd_ps(p[v], b[v], _mm512_permutexvar_ps(i[v], row));
    }
    ALB_EACH p[v] = _mm512_or_ps(p[v], _mm512_and_ps(_mm512_set1_ps(-0.0f), x[v]));
    ALB_EACH x[v] = _mm512_mul_ps(x[v], _mm512_add_ps(_mm512_set1_ps(0.5f), p[v]));
#undef ALB_EACH
}

static inline __m512 alb_gelu_int8_avx512(__m512 x) {
    alb_gelu_int8_many_avx512(&x, 1);
    return x;
}

ALB_TARGET_END

#elif defined(__aarch64__)

static inline float32x4_t alb_gelu_int8_neon(float32x4_t x) {
    // A NaN stays one all the way, and picks the first quadratic.
    float32x4_t b = vminq_f32(vabsq_f32(x), vdupq_n_f32(ALB_GELU_INT8_LIMIT));
    uint8x16_t bytes = alb_lookup_places_neon(vcvtq_s32_f32(vmulq_f32(b, vdupq_n_f32(4.0f))));
    float32x4_t p = alb_lookup_neon(alb_gelu_int8_coefficients[2], bytes);
    for (int k = 1; k >= 0; k--) p = vfmaq_f32(alb_lookup_neon(alb_gelu_int8_coefficients[k], bytes), p, b);
    p = vbslq_f32(vdupq_n_u32(0x80000000u), x, p);
    return vmulq_f32(x, vaddq_f32(vdupq_n_f32(0.5f), p));
}

#endif
#endif
