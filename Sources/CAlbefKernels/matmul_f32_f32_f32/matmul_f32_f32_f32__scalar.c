#include "matmul_f32_f32_f32.h"

#include "../common/epilogue.h"

void alb_matmul_f32_f32_f32__scalar(const alb_matmul_f32_args *a, alb_tile tile) {
    for (size_t m = tile.row; m < tile.row + tile.rows; m++)
        for (size_t n = tile.channel; n < tile.channel + tile.channels; n++) {
            const float *lhs = a->lhs + m * a->lhs_stride;
            const float *rhs = a->rhs + n / ALB_BLOCK * a->k * ALB_BLOCK + n % ALB_BLOCK;
            float acc = 0.0f;
            for (size_t k = 0; k < a->k; k++) acc = fmaf(lhs[k], rhs[k * ALB_BLOCK], acc);
            float y = a->epilogue.bias ? acc + a->epilogue.bias[n] : acc;
            a->dst[m * a->dst_stride + n] = alb_finish(y, alb_gelu, &a->epilogue, m, n);
        }
}
