/// R16, the one order in which floats of a row are summed: sixteen accumulators, element i into accumulator i mod 16 in
/// ascending order, absent tail elements leaving theirs alone, then folded by halves. Scalar, AVX2, AVX-512 and NEON forms of
/// equal bytes.
#ifndef ALB_REDUCE_H
#define ALB_REDUCE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "target_region.h"

#define ALB_R16_LANES 16

/// Folds the accumulators: for s = 8, 4, 2, 1, acc[l] = acc[l] + acc[l + s].
static inline float alb_r16_fold(float acc[ALB_R16_LANES]) {
    for (int s = ALB_R16_LANES / 2; s > 0; s /= 2)
        for (int l = 0; l < s; l++) acc[l] = acc[l] + acc[l + s];
    return acc[0];
}

/// R16 of x[0...n).
static inline float alb_r16_sum(const float *x, size_t n) {
    float acc[ALB_R16_LANES] = {0};
    for (size_t i = 0; i < n; i++) acc[i % ALB_R16_LANES] = acc[i % ALB_R16_LANES] + x[i];
    return alb_r16_fold(acc);
}

/// R16 of the products x[i] * y[i], each fused into its accumulator.
static inline float alb_r16_dot(const float *x, const float *y, size_t n) {
    float acc[ALB_R16_LANES] = {0};
    for (size_t i = 0; i < n; i++) acc[i % ALB_R16_LANES] = fmaf(x[i], y[i], acc[i % ALB_R16_LANES]);
    return alb_r16_fold(acc);
}

/// R16 of d * d, d = x[i] - mean.
static inline float alb_r16_deviation(const float *x, float mean, size_t n) {
    float acc[ALB_R16_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        acc[i % ALB_R16_LANES] = fmaf(d, d, acc[i % ALB_R16_LANES]);
    }
    return alb_r16_fold(acc);
}

#if defined(__x86_64__)

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

/// A mask of the first n (0...8) lanes, for maskload, maskstore and blendv.
static inline __m256i alb_mask_avx2(size_t n) {
    static const int32_t ramp[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(ramp + 8 - n));
}

/// How many of the 8 lanes from element `first` on lie below n.
static inline size_t alb_lanes_avx2(size_t first, size_t n) {
    return n <= first ? 0 : n - first < 8 ? n - first : 8;
}

/// Folds accumulators 0...7 (low) and 8...15 (high).
static inline float alb_r16_fold_avx2(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float alb_r16_sum_avx2(const float *x, size_t n) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(x + i));
        high = _mm256_add_ps(high, _mm256_loadu_ps(x + i + 8));
    }
    if (i < n) {
        __m256i m0 = alb_mask_avx2(alb_lanes_avx2(i, n)), m1 = alb_mask_avx2(alb_lanes_avx2(i + 8, n));
        __m256 s0 = _mm256_add_ps(low, _mm256_maskload_ps(x + i, m0));
        __m256 s1 = _mm256_add_ps(high, _mm256_maskload_ps(x + i + 8, m1));
        low = _mm256_blendv_ps(low, s0, _mm256_castsi256_ps(m0));
        high = _mm256_blendv_ps(high, s1, _mm256_castsi256_ps(m1));
    }
    return alb_r16_fold_avx2(low, high);
}

static inline float alb_r16_dot_avx2(const float *x, const float *y, size_t n) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        low = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i), low);
        high = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8), _mm256_loadu_ps(y + i + 8), high);
    }
    if (i < n) {
        __m256i m0 = alb_mask_avx2(alb_lanes_avx2(i, n)), m1 = alb_mask_avx2(alb_lanes_avx2(i + 8, n));
        __m256 s0 = _mm256_fmadd_ps(_mm256_maskload_ps(x + i, m0), _mm256_maskload_ps(y + i, m0), low);
        __m256 s1 = _mm256_fmadd_ps(_mm256_maskload_ps(x + i + 8, m1), _mm256_maskload_ps(y + i + 8, m1), high);
        low = _mm256_blendv_ps(low, s0, _mm256_castsi256_ps(m0));
        high = _mm256_blendv_ps(high, s1, _mm256_castsi256_ps(m1));
    }
    return alb_r16_fold_avx2(low, high);
}

static inline float alb_r16_deviation_avx2(const float *x, float mean, size_t n) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps(), m = _mm256_set1_ps(mean);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(x + i), m), d1 = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), m);
        low = _mm256_fmadd_ps(d0, d0, low);
        high = _mm256_fmadd_ps(d1, d1, high);
    }
    if (i < n) {
        __m256i m0 = alb_mask_avx2(alb_lanes_avx2(i, n)), m1 = alb_mask_avx2(alb_lanes_avx2(i + 8, n));
        __m256 d0 = _mm256_sub_ps(_mm256_maskload_ps(x + i, m0), m), d1 = _mm256_sub_ps(_mm256_maskload_ps(x + i + 8, m1), m);
        low = _mm256_blendv_ps(low, _mm256_fmadd_ps(d0, d0, low), _mm256_castsi256_ps(m0));
        high = _mm256_blendv_ps(high, _mm256_fmadd_ps(d1, d1, high), _mm256_castsi256_ps(m1));
    }
    return alb_r16_fold_avx2(low, high);
}

ALB_TARGET_END

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

/// A mask of the first n lanes; all 16 from 16 on.
static inline __mmask16 alb_mask_avx512(size_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

static inline float alb_r16_fold_avx512(__m512 acc) {
    __m256 low = _mm512_castps512_ps256(acc), high = _mm512_extractf32x8_ps(acc, 1);
    return alb_r16_fold_avx2(low, high);
}

static inline float alb_r16_sum_avx512(const float *x, size_t n) {
    __m512 acc = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) acc = _mm512_add_ps(acc, _mm512_loadu_ps(x + i));
    __mmask16 tail = alb_mask_avx512(n - i);
    acc = _mm512_mask_add_ps(acc, tail, acc, _mm512_maskz_loadu_ps(tail, x + i));
    return alb_r16_fold_avx512(acc);
}

static inline float alb_r16_dot_avx512(const float *x, const float *y, size_t n) {
    __m512 acc = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) acc = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i), acc);
    __mmask16 tail = alb_mask_avx512(n - i);
    acc = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(tail, x + i), _mm512_maskz_loadu_ps(tail, y + i), acc, tail);
    return alb_r16_fold_avx512(acc);
}

static inline float alb_r16_deviation_avx512(const float *x, float mean, size_t n) {
    __m512 acc = _mm512_setzero_ps(), m = _mm512_set1_ps(mean);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), m);
        acc = _mm512_fmadd_ps(d, d, acc);
    }
    __mmask16 tail = alb_mask_avx512(n - i);
    __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(tail, x + i), m);
    acc = _mm512_mask3_fmadd_ps(d, d, acc, tail);
    return alb_r16_fold_avx512(acc);
}

ALB_TARGET_END

#elif defined(__aarch64__)

/// How many of the 4 lanes from element `first` on lie below n.
static inline size_t alb_lanes_neon(size_t first, size_t n) {
    return n <= first ? 0 : n - first < 4 ? n - first : 4;
}

/// The first `lanes` lanes, for vbslq.
static inline uint32x4_t alb_mask_neon(size_t lanes) {
    static const uint32_t order[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(order), vdupq_n_u32((uint32_t)lanes));
}

/// The first `lanes` (4 and more: all) floats of src, +0 behind them; reads no other.
static inline float32x4_t alb_load_neon(const float *src, size_t lanes) {
    if (lanes >= 4) return vld1q_f32(src);
    float32x4_t x = vdupq_n_f32(0.0f);
    if (lanes > 0) x = vld1q_lane_f32(src, x, 0);
    if (lanes > 1) x = vld1q_lane_f32(src + 1, x, 1);
    if (lanes > 2) x = vld1q_lane_f32(src + 2, x, 2);
    return x;
}

/// Writes the first `lanes` (4 and more: all) lanes and nothing behind them.
static inline void alb_store_neon(float *dst, float32x4_t x, size_t lanes) {
    if (lanes >= 4) {
        vst1q_f32(dst, x);
        return;
    }
    if (lanes > 0) vst1q_lane_f32(dst, x, 0);
    if (lanes > 1) vst1q_lane_f32(dst + 1, x, 1);
    if (lanes > 2) vst1q_lane_f32(dst + 2, x, 2);
}

/// Folds accumulators 0...15, four to a register.
static inline float alb_r16_fold_neon(const float32x4_t acc[4]) {
    float32x4_t four = vaddq_f32(vaddq_f32(acc[0], acc[2]), vaddq_f32(acc[1], acc[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

static inline float alb_r16_sum_neon(const float *x, size_t n) {
    float32x4_t acc[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int q = 0; q < 4; q++) acc[q] = vaddq_f32(acc[q], vld1q_f32(x + i + 4 * q));
    for (int q = 0; q < 4; q++) {
        const size_t lanes = alb_lanes_neon(i + 4 * (size_t)q, n);
        float32x4_t sum = vaddq_f32(acc[q], alb_load_neon(x + i + 4 * q, lanes));
        acc[q] = vbslq_f32(alb_mask_neon(lanes), sum, acc[q]);
    }
    return alb_r16_fold_neon(acc);
}

static inline float alb_r16_dot_neon(const float *x, const float *y, size_t n) {
    float32x4_t acc[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int q = 0; q < 4; q++) acc[q] = vfmaq_f32(acc[q], vld1q_f32(x + i + 4 * q), vld1q_f32(y + i + 4 * q));
    for (int q = 0; q < 4; q++) {
        const size_t lanes = alb_lanes_neon(i + 4 * (size_t)q, n);
        float32x4_t sum = vfmaq_f32(acc[q], alb_load_neon(x + i + 4 * q, lanes), alb_load_neon(y + i + 4 * q, lanes));
        acc[q] = vbslq_f32(alb_mask_neon(lanes), sum, acc[q]);
    }
    return alb_r16_fold_neon(acc);
}

static inline float alb_r16_deviation_neon(const float *x, float mean, size_t n) {
    const float32x4_t m = vdupq_n_f32(mean);
    float32x4_t acc[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int q = 0; q < 4; q++) {
            float32x4_t d = vsubq_f32(vld1q_f32(x + i + 4 * q), m);
            acc[q] = vfmaq_f32(acc[q], d, d);
        }
    for (int q = 0; q < 4; q++) {
        const size_t lanes = alb_lanes_neon(i + 4 * (size_t)q, n);
        float32x4_t d = vsubq_f32(alb_load_neon(x + i + 4 * q, lanes), m);
        acc[q] = vbslq_f32(alb_mask_neon(lanes), vfmaq_f32(acc[q], d, d), acc[q]);
    }
    return alb_r16_fold_neon(acc);
}

#endif
#endif
