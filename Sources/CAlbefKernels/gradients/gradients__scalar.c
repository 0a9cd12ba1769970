// The definition of Grad-CAM's elementwise and row operations.
#include "gradients.h"

#include "../common/functions.h"
#include "../common/reduce.h"

static void layer_norm_backward(
    size_t n, const float *g, const float *normalized, float reciprocal, const float *weight, float *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = g[i] * weight[i];
    const float a = alb_r16_sum(dst, n) / (float)n;
    const float b = alb_r16_dot(dst, normalized, n) / (float)n;
    for (size_t i = 0; i < n; i++) dst[i] = reciprocal * fmaf(-b, normalized[i], dst[i] - a);
}

static void gelu_backward(size_t n, const float *g, const float *h, float *dst) {
    for (size_t i = 0; i < n; i++) {
        const float density = ALB_NORMAL_DENSITY * alb_exp(-0.5f * (h[i] * h[i]));
        const float cumulative = 0.5f * (1.0f + alb_erf(h[i] * ALB_SQRT_HALF));
        dst[i] = g[i] * fmaf(h[i], density, cumulative);
    }
}

static void softmax_backward(size_t n, const float *dp, const float *p, float scale, float *dst) {
    const float sum = alb_r16_dot(dp, p, n);
    for (size_t i = 0; i < n; i++) dst[i] = (p[i] * (dp[i] - sum)) * scale;
}

static void l2_normalize_backward(size_t n, const float *g, const float *x, float *dst) {
    float length = sqrtf(alb_r16_dot(x, x, n));
    length = length > ALB_SHORTEST ? length : ALB_SHORTEST;
    for (size_t i = 0; i < n; i++) dst[i] = x[i] / length;
    const float along = alb_r16_dot(g, dst, n);
    for (size_t i = 0; i < n; i++) dst[i] = fmaf(-along, dst[i], g[i]) / length;
}

static void log_softmax_backward(size_t n, const float *p, size_t id, float weight, float *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = p[i] * -weight;
    dst[id] = 0;
    dst[id] = -alb_r16_sum(dst, n);
}

static void grad_cam(size_t n, size_t heads, size_t stride, const float *p, const float *dp, float *dst) {
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t h = 0; h < heads; h++) sum = fmaf(p[h * stride + i], alb_relu(dp[h * stride + i]), sum);
        dst[i] = sum / (float)heads;
    }
}

static void add(size_t n, const float *a, const float *b, float *dst) {
    for (size_t i = 0; i < n; i++) dst[i] = a[i] + b[i];
}

static void mean_rows(size_t n, size_t rows, size_t stride, const float *x, float *dst) {
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t t = 0; t < rows; t++) sum = sum + x[t * stride + i];
        dst[i] = sum / (float)rows;
    }
}

const alb_gradients_variant_entry alb_gradients__scalar = {
    ALB_ISA_SCALAR, layer_norm_backward, gelu_backward, softmax_backward, l2_normalize_backward, log_softmax_backward,
    grad_cam, add, mean_rows};
