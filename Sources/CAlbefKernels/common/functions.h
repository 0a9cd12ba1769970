/// exp, log, erf and GELU: our own, so that every instruction set gives the same bytes. Scalar, AVX2, AVX-512 and NEON forms of
/// one sequence of IEEE operations each: Horner with fused multiply-adds, exponents built by integer operations, every branch
/// computed and one selected. GELU alone has a shorter sequence on x86, of the same bytes for every float32. Int8 linear layers
/// have a GELU of their own, gelu_int8.h.
///
/// Errors against double precision, over every float32: exp and log at most 2 ulp, erf at most 2e-7 absolute.
#ifndef ALB_FUNCTIONS_H
#define ALB_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "target_region.h"

// exp(x) = 2^n * exp(r), n = rint(x * log2(e)), |r| <= ln(2)/2, and exp(r) = 1 + r + r^2 * (E2 + E3 r + ... + E6 r^4).
#define ALB_EXP_LOWEST (-87.0f)              // below: +0
#define ALB_EXP_HIGHEST 0x1.62e42ep+6f       // above: +infinity; the greatest float32 whose exponential is finite
#define ALB_EXP_LOG2E 0x1.715476p+0f
#define ALB_EXP_LN2_HIGH 0x1.62e4p-1f        // few enough bits that n times it is exact
#define ALB_EXP_LN2_LOW 0x1.7f7d1cp-20f
#define ALB_EXP_E2 0x1.fffffcp-2f
#define ALB_EXP_E3 0x1.555492p-3f
#define ALB_EXP_E4 0x1.5558f2p-5f
#define ALB_EXP_E5 0x1.123a2p-7f
#define ALB_EXP_E6 0x1.6a23cep-10f

// log(x) = e * ln(2) + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)), and log(1 + f) = f - f^2/2 + f^3 * (L0 + ... + L8 f^8).
#define ALB_LOG_SQRT_HALF_BITS 0x3f3504f3    // float32 bits of sqrt(1/2)
#define ALB_LOG_SMALLEST_NORMAL 0x1p-126f
#define ALB_LOG_DENORMAL_SCALE 0x1p23f       // brings every denormal into the normal range
#define ALB_LOG_DENORMAL_EXPONENT 23
#define ALB_LOG_L0 0x1.555548p-2f
#define ALB_LOG_L1 -0x1.000006p-2f
#define ALB_LOG_L2 0x1.99a4b6p-3f
#define ALB_LOG_L3 -0x1.555c4ep-3f
#define ALB_LOG_L4 0x1.233768p-3f
#define ALB_LOG_L5 -0x1.fc2208p-4f
#define ALB_LOG_L6 0x1.e6f06ap-4f
#define ALB_LOG_L7 -0x1.de3c16p-4f
#define ALB_LOG_L8 0x1.1457a6p-4f

#define ALB_ERF_LIMIT 4.0f                   // from here on +-1: the nearest float32
#define ALB_SQRT_HALF 0.70710678f

/// erf on [i/4, (i+1)/4], i = 0...15: coefficient [k][i] of t^k, t = |x| - i/4. Row 0 is erf(i/4), so erf(0) is 0. Sixteen
/// entries a coefficient are one AVX-512 register, two of AVX2 and four of NEON.
static const float alb_erf_coefficients[6][16] = {
    {0x0p+0f, 0x1.1af54ep-2f, 0x1.0a7ef6p-1f, 0x1.6c1c98p-1f, 0x1.af767ap-1f, 0x1.d8865ep-1f,
     0x1.eea556p-1f, 0x1.f92d08p-1f, 0x1.fd9ae2p-1f, 0x1.ff4048p-1f, 0x1.ffcaa8p-1f, 0x1.fff2dp-1f,
     0x1.fffd1ap-1f, 0x1.ffff7p-1f, 0x1.ffffe8p-1f, 0x1.fffffcp-1f},
    {0x1.20dd6cp+0f, 0x1.0f5d06p+0f, 0x1.c1ef88p-1f, 0x1.492dbap-1f, 0x1.a912b6p-2f, 0x1.e46432p-3f,
     0x1.e7204cp-4f, 0x1.b04f2p-5f, 0x1.528908p-6f, 0x1.d3d4f6p-8f, 0x1.1e4068p-9f, 0x1.32652p-11f,
     0x1.2d917p-13f, 0x1.c4028p-16f, -0x1.52aadp-23f, 0x1.091c72p-19f},
    {0x1.cd134p-16f, -0x1.0f4cc4p-2f, -0x1.c1d8dap-2f, -0x1.eda0b8p-2f, -0x1.a92cf2p-2f, -0x1.2eb396p-2f,
     -0x1.6d2de2p-3f, -0x1.79ed2cp-4f, -0x1.51703cp-5f, -0x1.05489cp-6f, -0x1.709c6ap-8f, -0x1.96b3cap-10f,
     -0x1.2713cep-11f, -0x1.7fcacap-16f, 0x1.4d3182p-13f, -0x1.412522p-15f},
    {-0x1.81a28cp-2f, -0x1.3dccp-2f, -0x1.2eddd2p-3f, 0x1.9aa498p-6f, 0x1.1e06e8p-3f, 0x1.56975ap-3f,
     0x1.1a8fa2p-3f, 0x1.6d6fc6p-4f, 0x1.7dd4ccp-5f, 0x1.4cde42p-6f, 0x1.5262cep-7f, 0x1.0ebeaap-9f,
     0x1.3b967p-9f, -0x1.40f5a2p-11f, -0x1.fee5e6p-10f, 0x1.a2edbp-12f},
    {0x1.b5f9e2p-9f, 0x1.177f22p-3f, 0x1.8c735ap-3f, 0x1.47e1ecp-3f, 0x1.fdbadcp-5f, -0x1.cb3f74p-8f,
     -0x1.5c46e4p-5f, -0x1.6b4ab2p-5f, -0x1.ba09cp-6f, -0x1.9544aap-7f, -0x1.1d9df6p-6f, 0x1.4655dap-15f,
     -0x1.13016ep-7f, 0x1.c0c1d8p-9f, 0x1.282e48p-7f, -0x1.d8802ap-10f},
    {0x1.a8ce28p-4f, 0x1.7aa96ap-5f, -0x1.dc877cp-6f, -0x1.3a7c6ep-4f, -0x1.bb6b1p-5f, -0x1.2c1168p-5f,
     -0x1.651aeep-7f, 0x1.cd7dfep-9f, 0x1.de9ad8p-11f, -0x1.646baap-10f, 0x1.396d26p-6f, -0x1.994c4ap-9f,
     0x1.9a1846p-7f, -0x1.764714p-8f, -0x1.db8b6ap-7f, 0x1.78acf2p-9f},
};

#define ALB_GELU_HIGHEST 0x1.fffffep+3f  // the float32 below 4 ALB_ERF_LIMIT

/// The shorter way to GELU: x (0.5 + e), where e = erf(x sqrt(1/2)) / 2 is a polynomial in the fraction of a = 4 |x| sqrt(1/2),
/// picked by the integer below a. Its coefficients are those of erf times 2^-(2k + 1), so each step rounds as it does there.
/// Where x is so small that a step leaves the normal range, both ways give x times exactly one half. Up to the limit of erf the
/// last polynomial has reached 1/2 already: a minimum takes the place of comparison and selection.
static const float alb_gelu_coefficients[6][16] = {
    {0x0p+0f, 0x1.1af54ep-3f, 0x1.0a7ef6p-2f, 0x1.6c1c98p-2f, 0x1.af767ap-2f, 0x1.d8865ep-2f, 0x1.eea556p-2f, 0x1.f92d08p-2f,
     0x1.fd9ae2p-2f, 0x1.ff4048p-2f, 0x1.ffcaa8p-2f, 0x1.fff2dp-2f, 0x1.fffd1ap-2f, 0x1.ffff7p-2f, 0x1.ffffe8p-2f,
     0x1.fffffcp-2f},
    {0x1.20dd6cp-3f, 0x1.0f5d06p-3f, 0x1.c1ef88p-4f, 0x1.492dbap-4f, 0x1.a912b6p-5f, 0x1.e46432p-6f, 0x1.e7204cp-7f,
     0x1.b04f2p-8f, 0x1.528908p-9f, 0x1.d3d4f6p-11f, 0x1.1e4068p-12f, 0x1.32652p-14f, 0x1.2d917p-16f, 0x1.c4028p-19f,
     -0x1.52aadp-26f, 0x1.091c72p-22f},
    {0x1.cd134p-21f, -0x1.0f4cc4p-7f, -0x1.c1d8dap-7f, -0x1.eda0b8p-7f, -0x1.a92cf2p-7f, -0x1.2eb396p-7f, -0x1.6d2de2p-8f,
     -0x1.79ed2cp-9f, -0x1.51703cp-10f, -0x1.05489cp-11f, -0x1.709c6ap-13f, -0x1.96b3cap-15f, -0x1.2713cep-16f,
     -0x1.7fcacap-21f, 0x1.4d3182p-18f, -0x1.412522p-20f},
    {-0x1.81a28cp-9f, -0x1.3dccp-9f, -0x1.2eddd2p-10f, 0x1.9aa498p-13f, 0x1.1e06e8p-10f, 0x1.56975ap-10f, 0x1.1a8fa2p-10f,
     0x1.6d6fc6p-11f, 0x1.7dd4ccp-12f, 0x1.4cde42p-13f, 0x1.5262cep-14f, 0x1.0ebeaap-16f, 0x1.3b967p-16f, -0x1.40f5a2p-18f,
     -0x1.fee5e6p-17f, 0x1.a2edbp-19f},
    {0x1.b5f9e2p-18f, 0x1.177f22p-12f, 0x1.8c735ap-12f, 0x1.47e1ecp-12f, 0x1.fdbadcp-14f, -0x1.cb3f74p-17f, -0x1.5c46e4p-14f,
     -0x1.6b4ab2p-14f, -0x1.ba09cp-15f, -0x1.9544aap-16f, -0x1.1d9df6p-15f, 0x1.4655dap-24f, -0x1.13016ep-16f, 0x1.c0c1d8p-18f,
     0x1.282e48p-16f, -0x1.d8802ap-19f},
    {0x1.a8ce28p-15f, 0x1.7aa96ap-16f, -0x1.dc877cp-17f, -0x1.3a7c6ep-15f, -0x1.bb6b1p-16f, -0x1.2c1168p-16f, -0x1.651aeep-18f,
     0x1.cd7dfep-20f, 0x1.de9ad8p-22f, -0x1.646baap-21f, 0x1.396d26p-17f, -0x1.994c4ap-20f, 0x1.9a1846p-18f, -0x1.764714p-19f,
     -0x1.db8b6ap-18f, 0x1.78acf2p-20f},
};

static inline int32_t alb_bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float alb_float_of(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/// e^x: +0 below -87, infinity above 88.72283, NaN for NaN.
static inline float alb_exp(float x) {
    float c = x > ALB_EXP_LOWEST ? x : ALB_EXP_LOWEST;
    c = c < ALB_EXP_HIGHEST ? c : ALB_EXP_HIGHEST;
    float n = rintf(c * ALB_EXP_LOG2E);
    float r = fmaf(n, -ALB_EXP_LN2_HIGH, c);
    r = fmaf(n, -ALB_EXP_LN2_LOW, r);
    float p = fmaf(ALB_EXP_E6, r, ALB_EXP_E5);
    p = fmaf(p, r, ALB_EXP_E4);
    p = fmaf(p, r, ALB_EXP_E3);
    p = fmaf(p, r, ALB_EXP_E2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    // p is in [0.7, 1.42] and the product is normal: n is added to the exponent.
    float y = alb_float_of(alb_bits_of(p) + (int32_t)((uint32_t)(int32_t)n << 23));
    y = x < ALB_EXP_LOWEST ? 0.0f : y;
    y = x > ALB_EXP_HIGHEST ? INFINITY : y;
    return x != x ? x : y;
}

/// Natural logarithm: -infinity for +-0, NaN below 0, infinity for infinity; denormals are exact inputs.
static inline float alb_log(float x) {
    int small = x < ALB_LOG_SMALLEST_NORMAL;
    float scaled = small ? x * ALB_LOG_DENORMAL_SCALE : x;
    int32_t bits = alb_bits_of(scaled) - ALB_LOG_SQRT_HALF_BITS;
    int32_t exponent = (bits >> 23) - (small ? ALB_LOG_DENORMAL_EXPONENT : 0);
    float f = alb_float_of((bits & 0x7fffff) + ALB_LOG_SQRT_HALF_BITS) - 1.0f;
    float e = (float)exponent;
    float p = fmaf(ALB_LOG_L8, f, ALB_LOG_L7);
    p = fmaf(p, f, ALB_LOG_L6);
    p = fmaf(p, f, ALB_LOG_L5);
    p = fmaf(p, f, ALB_LOG_L4);
    p = fmaf(p, f, ALB_LOG_L3);
    p = fmaf(p, f, ALB_LOG_L2);
    p = fmaf(p, f, ALB_LOG_L1);
    p = fmaf(p, f, ALB_LOG_L0);
    float square = f * f;
    float y = fmaf(square * f, p, e * ALB_EXP_LN2_LOW);
    y = fmaf(-0.5f, square, y);
    y = fmaf(e, ALB_EXP_LN2_HIGH, f + y);
    y = x < INFINITY ? y : x;
    y = x < 0.0f ? NAN : y;
    return x == 0.0f ? -INFINITY : y;
}

/// The error function.
static inline float alb_erf(float x) {
    float a = fabsf(x);
    float scaled = a * 4.0f;
    scaled = scaled < 15.0f ? scaled : 15.0f;
    int32_t i = (int32_t)scaled;
    float t = fmaf((float)i, -0.25f, a);
    float p = alb_erf_coefficients[5][i];
    for (int k = 4; k >= 0; k--) p = fmaf(p, t, alb_erf_coefficients[k][i]);
    p = a >= ALB_ERF_LIMIT ? 1.0f : p;
    return copysignf(p, x);
}

/// (0.5 x) (1 + erf(x * 0.70710678)).
static inline float alb_gelu(float x) { return (0.5f * x) * (1.0f + alb_erf(x * ALB_SQRT_HALF)); }

/// max(x, 0); NaN stays NaN, so that it is found later.
static inline float alb_relu(float x) { return 0.0f > x ? 0.0f : x; }

#if defined(__x86_64__)

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __m256 alb_exp_avx2(__m256 x) {
    const __m256 lowest = _mm256_set1_ps(ALB_EXP_LOWEST), highest = _mm256_set1_ps(ALB_EXP_HIGHEST);
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 c = _mm256_min_ps(_mm256_max_ps(x, lowest), highest);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(c, _mm256_set1_ps(ALB_EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-ALB_EXP_LN2_HIGH), c);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-ALB_EXP_LN2_LOW), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(ALB_EXP_E6), r, _mm256_set1_ps(ALB_EXP_E5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(ALB_EXP_E4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(ALB_EXP_E3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(ALB_EXP_E2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), shifted));
    y = _mm256_andnot_ps(_mm256_cmp_ps(x, lowest, _CMP_LT_OQ), y);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, highest, _CMP_GT_OQ));
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline __m256 alb_log_avx2(__m256 x) {
    __m256 small = _mm256_cmp_ps(x, _mm256_set1_ps(ALB_LOG_SMALLEST_NORMAL), _CMP_LT_OQ);
    __m256 scaled = _mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(ALB_LOG_DENORMAL_SCALE)), small);
    const __m256i base = _mm256_set1_epi32(ALB_LOG_SQRT_HALF_BITS);
    __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(scaled), base);
    __m256i lowered = _mm256_and_si256(_mm256_castps_si256(small), _mm256_set1_epi32(ALB_LOG_DENORMAL_EXPONENT));
    __m256 e = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srai_epi32(bits, 23), lowered));
    __m256i mantissa = _mm256_add_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)), base);
    __m256 f = _mm256_sub_ps(_mm256_castsi256_ps(mantissa), _mm256_set1_ps(1.0f));
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(ALB_LOG_L8), f, _mm256_set1_ps(ALB_LOG_L7));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L6));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L5));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L4));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L3));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L2));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L1));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(ALB_LOG_L0));
    __m256 square = _mm256_mul_ps(f, f);
    __m256 y = _mm256_fmadd_ps(_mm256_mul_ps(square, f), p, _mm256_mul_ps(e, _mm256_set1_ps(ALB_EXP_LN2_LOW)));
    y = _mm256_fmadd_ps(_mm256_set1_ps(-0.5f), square, y);
    y = _mm256_fmadd_ps(e, _mm256_set1_ps(ALB_EXP_LN2_HIGH), _mm256_add_ps(f, y));
    const __m256 zero = _mm256_setzero_ps();
    y = _mm256_blendv_ps(x, y, _mm256_cmp_ps(x, _mm256_set1_ps(INFINITY), _CMP_LT_OQ));
    y = _mm256_blendv_ps(y, _mm256_set1_ps(NAN), _mm256_cmp_ps(x, zero, _CMP_LT_OQ));
    return _mm256_blendv_ps(y, _mm256_set1_ps(-INFINITY), _mm256_cmp_ps(x, zero, _CMP_EQ_OQ));
}

/// Entry i (0...15) of a row of sixteen.
static inline __m256 alb_lookup_avx2(const float *row, __m256i i, __m256 upper) {
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(row), i);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(row + 8), i);
    return _mm256_blendv_ps(low, high, upper);
}

static inline __m256 alb_erf_avx2(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_andnot_ps(sign, x);
    __m256 scaled = _mm256_min_ps(_mm256_mul_ps(a, _mm256_set1_ps(4.0f)), _mm256_set1_ps(15.0f));
    __m256i i = _mm256_cvttps_epi32(scaled);
    __m256 t = _mm256_fmadd_ps(_mm256_cvtepi32_ps(i), _mm256_set1_ps(-0.25f), a);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
    __m256 p = alb_lookup_avx2(alb_erf_coefficients[5], i, upper);
    for (int k = 4; k >= 0; k--) p = _mm256_fmadd_ps(p, t, alb_lookup_avx2(alb_erf_coefficients[k], i, upper));
    p = _mm256_blendv_ps(p, _mm256_set1_ps(1.0f), _mm256_cmp_ps(a, _mm256_set1_ps(ALB_ERF_LIMIT), _CMP_GE_OQ));
    return _mm256_or_ps(_mm256_andnot_ps(sign, p), _mm256_and_ps(sign, x));
}

static inline __m256 alb_gelu_avx2(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    // The minimum of a NaN is the limit; the last product brings the NaN back.
    __m256 a = _mm256_andnot_ps(sign, _mm256_mul_ps(x, _mm256_set1_ps(4.0f * ALB_SQRT_HALF)));
    a = _mm256_min_ps(a, _mm256_set1_ps(ALB_GELU_HIGHEST));
    __m256i i = _mm256_cvttps_epi32(a);
    __m256 t = _mm256_sub_ps(a, _mm256_cvtepi32_ps(i));
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
    __m256 p = alb_lookup_avx2(alb_gelu_coefficients[5], i, upper);
    for (int k = 4; k >= 0; k--) p = _mm256_fmadd_ps(p, t, alb_lookup_avx2(alb_gelu_coefficients[k], i, upper));
    p = _mm256_or_ps(p, _mm256_and_ps(sign, x));
    return _mm256_mul_ps(x, _mm256_add_ps(_mm256_set1_ps(0.5f), p));
}

static inline __m256 alb_relu_avx2(__m256 x) { return _mm256_max_ps(_mm256_setzero_ps(), x); }

ALB_TARGET_END

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline __m512 alb_exp_avx512(__m512 x) {
    const __m512 lowest = _mm512_set1_ps(ALB_EXP_LOWEST), highest = _mm512_set1_ps(ALB_EXP_HIGHEST);
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 c = _mm512_min_ps(_mm512_max_ps(x, lowest), highest);
    __m512 n = _mm512_roundscale_ps(
        _mm512_mul_ps(c, _mm512_set1_ps(ALB_EXP_LOG2E)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-ALB_EXP_LN2_HIGH), c);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-ALB_EXP_LN2_LOW), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(ALB_EXP_E6), r, _mm512_set1_ps(ALB_EXP_E5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(ALB_EXP_E4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(ALB_EXP_E3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(ALB_EXP_E2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    __m512i shifted = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), shifted));
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, lowest, _CMP_LT_OQ), _mm512_setzero_ps());
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, highest, _CMP_GT_OQ), _mm512_set1_ps(INFINITY));
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

static inline __m512 alb_log_avx512(__m512 x) {
    __mmask16 small = _mm512_cmp_ps_mask(x, _mm512_set1_ps(ALB_LOG_SMALLEST_NORMAL), _CMP_LT_OQ);
    __m512 scaled = _mm512_mask_mul_ps(x, small, x, _mm512_set1_ps(ALB_LOG_DENORMAL_SCALE));
    const __m512i base = _mm512_set1_epi32(ALB_LOG_SQRT_HALF_BITS);
    __m512i bits = _mm512_sub_epi32(_mm512_castps_si512(scaled), base);
    __m512i exponent = _mm512_srai_epi32(bits, 23);
    exponent = _mm512_mask_sub_epi32(exponent, small, exponent, _mm512_set1_epi32(ALB_LOG_DENORMAL_EXPONENT));
    __m512 e = _mm512_cvtepi32_ps(exponent);
    __m512i mantissa = _mm512_add_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x7fffff)), base);
    __m512 f = _mm512_sub_ps(_mm512_castsi512_ps(mantissa), _mm512_set1_ps(1.0f));
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(ALB_LOG_L8), f, _mm512_set1_ps(ALB_LOG_L7));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L6));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L5));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L4));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L3));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L2));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L1));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(ALB_LOG_L0));
    __m512 square = _mm512_mul_ps(f, f);
    __m512 y = _mm512_fmadd_ps(_mm512_mul_ps(square, f), p, _mm512_mul_ps(e, _mm512_set1_ps(ALB_EXP_LN2_LOW)));
    y = _mm512_fmadd_ps(_mm512_set1_ps(-0.5f), square, y);
    y = _mm512_fmadd_ps(e, _mm512_set1_ps(ALB_EXP_LN2_HIGH), _mm512_add_ps(f, y));
    const __m512 zero = _mm512_setzero_ps();
    y = _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, _mm512_set1_ps(INFINITY), _CMP_LT_OQ), y);
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, zero, _CMP_LT_OQ), _mm512_set1_ps(NAN));
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, zero, _CMP_EQ_OQ), _mm512_set1_ps(-INFINITY));
}

static inline __m512 alb_erf_avx512(__m512 x) {
    __m512 a = _mm512_abs_ps(x);
    __m512 scaled = _mm512_min_ps(_mm512_mul_ps(a, _mm512_set1_ps(4.0f)), _mm512_set1_ps(15.0f));
    __m512i i = _mm512_cvttps_epi32(scaled);
    __m512 t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(i), _mm512_set1_ps(-0.25f), a);
    __m512 p = _mm512_permutexvar_ps(i, _mm512_loadu_ps(alb_erf_coefficients[5]));
    for (int k = 4; k >= 0; k--)
        p = _mm512_fmadd_ps(p, t, _mm512_permutexvar_ps(i, _mm512_loadu_ps(alb_erf_coefficients[k])));
    p = _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(a, _mm512_set1_ps(ALB_ERF_LIMIT), _CMP_GE_OQ), _mm512_set1_ps(1.0f));
    const __m512 sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_abs_ps(p), _mm512_and_ps(sign, x));
}

static inline __m512 alb_gelu_avx512(__m512 x) {
    __m512 a = _mm512_mul_ps(x, _mm512_set1_ps(4.0f * ALB_SQRT_HALF));
    // The lesser absolute value (0x0a). That of a NaN is the limit; the last product brings the NaN back.
    a = _mm512_range_ps(a, _mm512_set1_ps(ALB_GELU_HIGHEST), 0x0a);
    // From 2^23 on there are no fractions: the sum's lowest bits, four of which pick, are the integer below a.
    __m512i i = _mm512_castps_si512(
        _mm512_add_round_ps(a, _mm512_set1_ps(0x1p23f), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
    __m512 t = _mm512_reduce_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_permutexvar_ps(i, _mm512_loadu_ps(alb_gelu_coefficients[5]));
    for (int k = 4; k >= 0; k--)
        p = _mm512_fmadd_ps(p, t, _mm512_permutexvar_ps(i, _mm512_loadu_ps(alb_gelu_coefficients[k])));
    p = _mm512_or_ps(p, _mm512_and_ps(_mm512_set1_ps(-0.0f), x));
    return _mm512_mul_ps(x, _mm512_add_ps(_mm512_set1_ps(0.5f), p));
}

static inline __m512 alb_relu_avx512(__m512 x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }

ALB_TARGET_END

#elif defined(__aarch64__)
#include "functions_neon.h"
#endif
#endif
