#include "matmul_f32_qu8d_qs8c.h"

#include "../common/epilogue.h"
#include "../common/gelu_int8.h"

void alb_matmul_f32_qu8d_qs8c__scalar(const alb_matmul_int8_args *a, alb_tile tile) {
    for (size_t m = tile.row; m < tile.row + tile.rows; m++)
        for (size_t n = tile.channel; n < tile.channel + tile.channels; n++) {
            const uint8_t *lhs = a->lhs + m * a->k;
            const int8_t *rhs = a->rhs + n / ALB_BLOCK * a->k * ALB_BLOCK + n % ALB_BLOCK * ALB_GROUP;
            int32_t sum = 0;
            for (size_t k = 0; k < a->k; k++)
                sum += (int32_t)lhs[k] * (int32_t)rhs[k / ALB_GROUP * ALB_BLOCK * ALB_GROUP + k % ALB_GROUP];
            sum -= a->lhs_zero_points[m] * a->rhs_sums[n];
            float bias = a->epilogue.bias ? a->epilogue.bias[n] : 0.0f;
            float y = fmaf((float)sum, a->lhs_scales[m] * a->rhs_scales[n], bias);
            a->dst[m * a->dst_stride + n] = alb_finish(y, alb_gelu_int8, &a->epilogue, m, n);
        }
}
