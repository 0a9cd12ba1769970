// Six rows by four vectors: 24 sums in registers, 4 loads and 6 broadcasts feed 24 multiply-adds.
#include "product.h"

#if defined(__x86_64__)
#include <immintrin.h>

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

static inline __attribute__((always_inline)) void tile(
    const size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
    __m512 sum[6][4];
    for (size_t i = 0; i < rows; i++)
        for (int v = 0; v < 4; v++) sum[i][v] = _mm512_load_ps(sums + i * ALB_PRODUCT_COLUMNS + 16 * v);
    for (size_t p = 0; p < depth; p++) {
        __m512 r[4];
        for (int v = 0; v < 4; v++) r[v] = _mm512_load_ps(rhs + p * ALB_PRODUCT_COLUMNS + 16 * v);
        for (size_t i = 0; i < rows; i++) {
            __m512 l = _mm512_set1_ps(lhs[i * ALB_PRODUCT_DEPTH + p]);
            for (int v = 0; v < 4; v++) sum[i][v] = _mm512_fmadd_ps(l, r[v], sum[i][v]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (int v = 0; v < 4; v++) _mm512_store_ps(sums + i * ALB_PRODUCT_COLUMNS + 16 * v, sum[i][v]);
}

void alb_product_tile__avx512vnni(size_t rows, size_t depth, const float *lhs, const float *rhs, float *sums) {
    for (size_t row = 0; row < rows; row += 6) {
        const float *l = lhs + row * ALB_PRODUCT_DEPTH;
        float *s = sums + row * ALB_PRODUCT_COLUMNS;
        switch (rows - row) {
        case 1: tile(1, depth, l, rhs, s); break;
        case 2: tile(2, depth, l, rhs, s); break;
        case 3: tile(3, depth, l, rhs, s); break;
        case 4: tile(4, depth, l, rhs, s); break;
        case 5: tile(5, depth, l, rhs, s); break;
        default: tile(6, depth, l, rhs, s); break;
        }
    }
}

ALB_TARGET_END
#endif
