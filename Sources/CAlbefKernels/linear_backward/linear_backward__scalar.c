// The definition of the linear layer's backward: one accumulator an output, channels ascending.
#include "linear_backward.h"

#include <math.h>

void alb_linear_backward_block__scalar(
    const alb_linear_backward_args *args, size_t row, size_t rows, size_t column, size_t columns) {
    for (size_t i = row; i < row + rows; i++) {
        const float *g = args->g + i * args->g_row;
        float *dst = args->dst + i * args->dst_row;
        for (size_t k = column; k < column + columns; k++) {
            float sum = 0;
            for (size_t n = 0; n < args->channels; n++) {
                if (args->int8_weights)
                    sum = fmaf(g[n] * args->scales[n], (float)args->int8_weights[alb_int8_position(n, k, args->depth)], sum);
                else
                    sum = fmaf(g[n], args->float_weights[alb_float_position(n, k, args->depth)], sum);
            }
            dst[k] = args->accumulate ? dst[k] + sum : sum;
        }
    }
}
