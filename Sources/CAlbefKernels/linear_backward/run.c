// Splits the linear layer's backward into blocks of dst. The vector form unpacks weights into the operand of the float
// product's tile, so that one tile serves both.
#include "../common/variant.h"
#include "linear_backward.h"

#include <string.h>

typedef struct {
    const alb_linear_backward_args *args;
    alb_product_tile tile;
    alb_unpack_channels unpack;
    size_t column_blocks;
} job;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void pack_gradient(
    const alb_linear_backward_args *a, size_t row, size_t rows, size_t n, size_t channels, float *packed) {
    for (size_t i = 0; i < rows; i++) {
        const float *g = a->g + (row + i) * a->g_row + n;
        float *line = packed + i * ALB_PRODUCT_DEPTH;
        if (a->int8_weights)
            for (size_t p = 0; p < channels; p++) line[p] = g[p] * a->scales[n + p];
        else
            memcpy(line, g, channels * sizeof(float));
    }
}

/// Weights of channels [n, n + channels) and inputs [k, k + columns) as (channels, COLUMNS); n is a multiple of 16.
static void unpack_weights(
    const alb_linear_backward_args *a, alb_unpack_channels unpack, size_t n, size_t channels, size_t k, size_t columns,
    float *packed) {
    for (size_t first = 0; first < channels; first += ALB_LINEAR_BACKWARD_LANES) {
        const size_t lanes = smaller(ALB_LINEAR_BACKWARD_LANES, channels - first);
        float *block = packed + first * ALB_PRODUCT_COLUMNS;
        if (unpack && a->int8_weights && columns == ALB_PRODUCT_COLUMNS) {
            unpack(a->int8_weights + alb_int8_position(n + first, k, a->depth), block);
            continue;
        }
        for (size_t c = 0; c < columns; c++) {
            if (a->int8_weights) {
                const int8_t *w = a->int8_weights + alb_int8_position(n + first, k + c, a->depth);
                for (size_t l = 0; l < lanes; l++)
                    block[l * ALB_PRODUCT_COLUMNS + c] = (float)w[l * ALB_LINEAR_BACKWARD_GROUP];
            } else {
                const float *w = a->float_weights + alb_float_position(n + first, k + c, a->depth);
                for (size_t l = 0; l < lanes; l++) block[l * ALB_PRODUCT_COLUMNS + c] = w[l];
            }
        }
    }
}

static void packed_block(const job *j, size_t row, size_t rows, size_t column, size_t columns) {
    const alb_linear_backward_args *a = j->args;
    _Alignas(64) float lhs[ALB_PRODUCT_ROWS * ALB_PRODUCT_DEPTH];
    _Alignas(64) float rhs[ALB_PRODUCT_DEPTH * ALB_PRODUCT_COLUMNS];
    _Alignas(64) float sums[ALB_PRODUCT_ROWS * ALB_PRODUCT_COLUMNS];
    memset(sums, 0, rows * ALB_PRODUCT_COLUMNS * sizeof(float));
    if (columns < ALB_PRODUCT_COLUMNS) memset(rhs, 0, sizeof rhs);
    for (size_t n = 0; n < a->channels; n += ALB_PRODUCT_DEPTH) {
        const size_t channels = smaller(ALB_PRODUCT_DEPTH, a->channels - n);
        pack_gradient(a, row, rows, n, channels, lhs);
        unpack_weights(a, j->unpack, n, channels, column, columns, rhs);
        j->tile(rows, channels, lhs, rhs, sums);
    }
    for (size_t i = 0; i < rows; i++) {
        float *dst = a->dst + (row + i) * a->dst_row + column;
        const float *sum = sums + i * ALB_PRODUCT_COLUMNS;
        if (a->accumulate)
            for (size_t c = 0; c < columns; c++) dst[c] = dst[c] + sum[c];
        else
            memcpy(dst, sum, columns * sizeof(float));
    }
}

static void part(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t index = begin; index < end; index++) {
        const size_t column = index % j->column_blocks * ALB_PRODUCT_COLUMNS;
        const size_t row = index / j->column_blocks * ALB_PRODUCT_ROWS;
        const size_t rows = smaller(ALB_PRODUCT_ROWS, j->args->rows - row);
        const size_t columns = smaller(ALB_PRODUCT_COLUMNS, j->args->depth - column);
        if (j->tile)
            packed_block(j, row, rows, column, columns);
        else
            alb_linear_backward_block__scalar(j->args, row, rows, column, columns);
    }
}

void alb_linear_backward(alb_isa isa, int threads, const alb_linear_backward_args *args) {
    job j = {
        args, alb_product_select(isa), alb_unpack_channels_select(isa),
        (args->depth + ALB_PRODUCT_COLUMNS - 1) / ALB_PRODUCT_COLUMNS};
    const size_t row_blocks = (args->rows + ALB_PRODUCT_ROWS - 1) / ALB_PRODUCT_ROWS;
    const size_t work = smaller(args->rows, ALB_PRODUCT_ROWS) * ALB_PRODUCT_COLUMNS * args->channels;
    alb_parallel_for(threads, row_blocks * j.column_blocks, alb_grain(work, 120000), part, &j);
}

alb_isa alb_linear_backward_variant(alb_isa ceiling) { return alb_product_f32_variant(ceiling); }
