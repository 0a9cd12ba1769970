// The definition of the float product: one accumulator an output, depth ascending.
#include "product.h"

#include <math.h>

void alb_product_block__scalar(
    const alb_product_f32_args *args, size_t batch, size_t row, size_t rows, size_t column, size_t columns) {
    for (size_t i = row; i < row + rows; i++) {
        const float *lhs = args->lhs + batch * args->lhs_batch + i * args->lhs_row;
        float *dst = args->dst + batch * args->dst_batch + i * args->dst_row;
        for (size_t j = column; j < column + columns; j++) {
            const float *rhs = args->rhs + batch * args->rhs_batch + j * args->rhs_column;
            float sum = 0;
            for (size_t p = 0; p < args->depth; p++)
                sum = fmaf(lhs[p * args->lhs_depth], rhs[p * args->rhs_depth], sum);
            dst[j] = sum * args->scale;
        }
    }
}
