// Four columns at a time; the last vector is loaded and stored as far as the row goes.
#include "gradients.h"

#if defined(__aarch64__)

#include "../common/functions.h"
#include "../common/reduce.h"

static void layer_norm_backward(
    size_t n, const float *g, const float *normalized, float reciprocal, const float *weight, float *dst) {
    for (size_t i = 0; i < n; i += 4)
        alb_store_neon(dst + i, vmulq_f32(alb_load_neon(g + i, n - i), alb_load_neon(weight + i, n - i)), n - i);
    const float32x4_t a = vdupq_n_f32(alb_r16_sum_neon(dst, n) / (float)n);
    const float32x4_t b = vdupq_n_f32(alb_r16_dot_neon(dst, normalized, n) / (float)n);
    const float32x4_t r = vdupq_n_f32(reciprocal);
    for (size_t i = 0; i < n; i += 4) {
        const float32x4_t centred = vsubq_f32(alb_load_neon(dst + i, n - i), a);
        const float32x4_t y = vfmsq_f32(centred, b, alb_load_neon(normalized + i, n - i));
        alb_store_neon(dst + i, vmulq_f32(r, y), n - i);
    }
}

static void gelu_backward(size_t n, const float *g, const float *h, float *dst) {
    for (size_t i = 0; i < n; i += 4) {
        const float32x4_t x = alb_load_neon(h + i, n - i);
        const float32x4_t e = alb_exp_neon(vmulq_f32(vdupq_n_f32(-0.5f), vmulq_f32(x, x)));
        const float32x4_t density = vmulq_f32(vdupq_n_f32(ALB_NORMAL_DENSITY), e);
        const float32x4_t erf = alb_erf_neon(vmulq_f32(x, vdupq_n_f32(ALB_SQRT_HALF)));
        const float32x4_t cumulative = vmulq_f32(vdupq_n_f32(0.5f), vaddq_f32(vdupq_n_f32(1.0f), erf));
        const float32x4_t slope = vfmaq_f32(cumulative, x, density);
        alb_store_neon(dst + i, vmulq_f32(alb_load_neon(g + i, n - i), slope), n - i);
    }
}

static void softmax_backward(size_t n, const float *dp, const float *p, float scale, float *dst) {
    const float32x4_t sum = vdupq_n_f32(alb_r16_dot_neon(dp, p, n)), s = vdupq_n_f32(scale);
    for (size_t i = 0; i < n; i += 4) {
        const float32x4_t centred = vsubq_f32(alb_load_neon(dp + i, n - i), sum);
        alb_store_neon(dst + i, vmulq_f32(vmulq_f32(alb_load_neon(p + i, n - i), centred), s), n - i);
    }
}

static void l2_normalize_backward(size_t n, const float *g, const float *x, float *dst) {
    float length = sqrtf(alb_r16_dot_neon(x, x, n));
    length = length > ALB_SHORTEST ? length : ALB_SHORTEST;
    const float32x4_t lengths = vdupq_n_f32(length);
    for (size_t i = 0; i < n; i += 4) alb_store_neon(dst + i, vdivq_f32(alb_load_neon(x + i, n - i), lengths), n - i);
    const float32x4_t along = vdupq_n_f32(alb_r16_dot_neon(g, dst, n));
    for (size_t i = 0; i < n; i += 4) {
        const float32x4_t across = vfmsq_f32(alb_load_neon(g + i, n - i), along, alb_load_neon(dst + i, n - i));
        alb_store_neon(dst + i, vdivq_f32(across, lengths), n - i);
    }
}

static void log_softmax_backward(size_t n, const float *p, size_t id, float weight, float *dst) {
    const float32x4_t f = vdupq_n_f32(-weight);
    for (size_t i = 0; i < n; i += 4) alb_store_neon(dst + i, vmulq_f32(alb_load_neon(p + i, n - i), f), n - i);
    dst[id] = 0;
    dst[id] = -alb_r16_sum_neon(dst, n);
}

static void grad_cam(size_t n, size_t heads, size_t stride, const float *p, const float *dp, float *dst) {
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t sum = vdupq_n_f32(0.0f);
        for (size_t h = 0; h < heads; h++)
            sum = vfmaq_f32(
                sum, alb_load_neon(p + h * stride + i, n - i), alb_relu_neon(alb_load_neon(dp + h * stride + i, n - i)));
        alb_store_neon(dst + i, vdivq_f32(sum, vdupq_n_f32((float)heads)), n - i);
    }
}

static void add(size_t n, const float *a, const float *b, float *dst) {
    for (size_t i = 0; i < n; i += 4)
        alb_store_neon(dst + i, vaddq_f32(alb_load_neon(a + i, n - i), alb_load_neon(b + i, n - i)), n - i);
}

static void mean_rows(size_t n, size_t rows, size_t stride, const float *x, float *dst) {
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t sum = vdupq_n_f32(0.0f);
        for (size_t t = 0; t < rows; t++) sum = vaddq_f32(sum, alb_load_neon(x + t * stride + i, n - i));
        alb_store_neon(dst + i, vdivq_f32(sum, vdupq_n_f32((float)rows)), n - i);
    }
}

const alb_gradients_variant_entry alb_gradients__neon = {
    ALB_ISA_NEON, layer_norm_backward, gelu_backward, softmax_backward, l2_normalize_backward, log_softmax_backward,
    grad_cam, add, mean_rows};

#endif
