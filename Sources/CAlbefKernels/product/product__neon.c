// Six rows by four vectors: 24 sums in registers, 4 loads and 6 scalars feed 24 multiply-adds.
#include "product.h"

#if defined(__aarch64__)
#include <arm_neon.h>

static inline __attribute__((always_inline)) void tile(
    const size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
    float32x4_t sum[6][4];
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < 4; v++) sum[i][v] = vld1q_f32(sums + i * ALB_PRODUCT_COLUMNS + 4 * v);
    for (size_t p = 0; p < depth; p++) {
        float32x4_t r[4];
        for (size_t v = 0; v < 4; v++) r[v] = vld1q_f32(rhs + p * ALB_PRODUCT_COLUMNS + 4 * v);
        for (size_t i = 0; i < rows; i++) {
            const float l = lhs[i * ALB_PRODUCT_DEPTH + p];
            for (size_t v = 0; v < 4; v++) sum[i][v] = vfmaq_n_f32(sum[i][v], r[v], l);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < 4; v++) vst1q_f32(sums + i * ALB_PRODUCT_COLUMNS + 4 * v, sum[i][v]);
}

void alb_product_tile__neon(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
    for (size_t column = 0; column < ALB_PRODUCT_COLUMNS; column += 16) {
        for (size_t row = 0; row < rows; row += 6) {
            const float *l = lhs + row * ALB_PRODUCT_DEPTH;
            float *s = sums + row * ALB_PRODUCT_COLUMNS + column;
            switch (rows - row) {
            case 1: tile(1, depth, l, rhs + column, s); break;
            case 2: tile(2, depth, l, rhs + column, s); break;
            case 3: tile(3, depth, l, rhs + column, s); break;
            case 4: tile(4, depth, l, rhs + column, s); break;
            case 5: tile(5, depth, l, rhs + column, s); break;
            default: tile(6, depth, l, rhs + column, s); break;
            }
        }
    }
}

#endif
