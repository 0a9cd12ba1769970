// Six rows by two vectors: 12 sums in registers, 2 loads and 6 broadcasts feed 12 multiply-adds.
#include "product.h"

#if defined(__x86_64__)
#include <immintrin.h>

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

static inline __attribute__((always_inline)) void tile(
    const size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
    __m256 sum[6][2];
    for (size_t i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++) sum[i][v] = _mm256_load_ps(sums + i * ALB_PRODUCT_COLUMNS + 8 * v);
    for (size_t p = 0; p < depth; p++) {
        __m256 r0 = _mm256_load_ps(rhs + p * ALB_PRODUCT_COLUMNS);
        __m256 r1 = _mm256_load_ps(rhs + p * ALB_PRODUCT_COLUMNS + 8);
        for (size_t i = 0; i < rows; i++) {
            __m256 l = _mm256_broadcast_ss(lhs + i * ALB_PRODUCT_DEPTH + p);
            sum[i][0] = _mm256_fmadd_ps(l, r0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(l, r1, sum[i][1]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++) _mm256_store_ps(sums + i * ALB_PRODUCT_COLUMNS + 8 * v, sum[i][v]);
}

void alb_product_tile__avx2(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
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

ALB_TARGET_END
#endif
