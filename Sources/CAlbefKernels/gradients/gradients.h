/// What the variants of Grad-CAM's elementwise and row operations share: each works on one row of columns.
#ifndef ALB_GRADIENTS_INTERNAL_H
#define ALB_GRADIENTS_INTERNAL_H

#include "../common/target_region.h"
#include "alb_gradients.h"

#define ALB_NORMAL_DENSITY 0x1.988454p-2f  // 1 / sqrt(2 pi)
#define ALB_SHORTEST 1e-12f                // the length below which a row is not brought to unit length

typedef struct {
    alb_isa isa;
    void (*layer_norm_backward)(
        size_t n, const float *g, const float *normalized, float reciprocal, const float *weight, float *dst);
    void (*gelu_backward)(size_t n, const float *g, const float *h, float *dst);
    void (*softmax_backward)(size_t n, const float *dp, const float *p, float scale, float *dst);
    void (*l2_normalize_backward)(size_t n, const float *g, const float *x, float *dst);
    void (*log_softmax_backward)(size_t n, const float *p, size_t id, float weight, float *dst);
    /// `n` columns; `stride` floats from one head to the next.
    void (*grad_cam)(size_t n, size_t heads, size_t stride, const float *p, const float *dp, float *dst);
    void (*add)(size_t n, const float *a, const float *b, float *dst);
    /// `n` columns; `stride` floats from one row to the next.
    void (*mean_rows)(size_t n, size_t rows, size_t stride, const float *x, float *dst);
} alb_gradients_variant_entry;

extern const alb_gradients_variant_entry alb_gradients__scalar;
extern const alb_gradients_variant_entry alb_gradients__avx2;
extern const alb_gradients_variant_entry alb_gradients__avx512vnni;
extern const alb_gradients_variant_entry alb_gradients__neon;

#endif
