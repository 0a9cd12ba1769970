#include "transpose_heads_int8.h"

/// Where channel n and input k of a square lie in the order of whole channels.
static size_t place(size_t n, size_t k) { return (k / ALB_GROUP * ALB_BLOCK + n) * ALB_GROUP + k % ALB_GROUP; }

void alb_transpose_heads_int8__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_transpose_heads *a = context;
    for (size_t part = begin; part < end; part++)
        for (size_t k = 0; k < ALB_BLOCK; k++) {
            int32_t sum = 0;
            for (size_t n = 0; n < a->head_blocks; n++) {
                const int8_t *src = alb_square_of(a, part, n);
                int8_t *values = a->values + (part * a->head_blocks + n) * ALB_SQUARE;
                for (size_t c = 0; c < ALB_BLOCK; c++) {
                    values[place(k, c)] = src[place(c, k)];
                    sum += src[place(c, k)];
                }
            }
            a->scales[part * ALB_BLOCK + k] = 1.0f;
            a->sums[part * ALB_BLOCK + k] = sum;
        }
}
