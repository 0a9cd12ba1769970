// Splits a batch of products into blocks of outputs. The vector variants pack both operands of a block, so that any strides
// meet one tile, and keep the sums in a block of their own, so that tails need no masks.
#include "../common/variant.h"
#include "product.h"

#include <string.h>

typedef struct {
    const alb_product_f32_args *args;
    alb_product_tile tile;
    size_t row_blocks, column_blocks;
} job;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void pack_lhs(const alb_product_f32_args *a, const float *lhs, size_t rows, size_t depth, float *packed) {
    for (size_t i = 0; i < rows; i++)
        for (size_t p = 0; p < depth; p++)
            packed[i * ALB_PRODUCT_DEPTH + p] = lhs[i * a->lhs_row + p * a->lhs_depth];
}

static void pack_rhs(const alb_product_f32_args *a, const float *rhs, size_t depth, size_t columns, float *packed) {
    if (columns < ALB_PRODUCT_COLUMNS) memset(packed, 0, depth * ALB_PRODUCT_COLUMNS * sizeof(float));
    if (a->rhs_column == 1) {
        for (size_t p = 0; p < depth; p++)
            memcpy(packed + p * ALB_PRODUCT_COLUMNS, rhs + p * a->rhs_depth, columns * sizeof(float));
        return;
    }
    for (size_t j = 0; j < columns; j++)
        for (size_t p = 0; p < depth; p++)
            packed[p * ALB_PRODUCT_COLUMNS + j] = rhs[p * a->rhs_depth + j * a->rhs_column];
}

static void packed_block(
    const job *j, size_t batch, size_t row, size_t rows, size_t column, size_t columns) {
    const alb_product_f32_args *a = j->args;
    _Alignas(64) float lhs[ALB_PRODUCT_ROWS * ALB_PRODUCT_DEPTH];
    _Alignas(64) float rhs[ALB_PRODUCT_DEPTH * ALB_PRODUCT_COLUMNS];
    _Alignas(64) float sums[ALB_PRODUCT_ROWS * ALB_PRODUCT_COLUMNS];
    memset(sums, 0, rows * ALB_PRODUCT_COLUMNS * sizeof(float));
    for (size_t p = 0; p < a->depth; p += ALB_PRODUCT_DEPTH) {
        size_t depth = smaller(ALB_PRODUCT_DEPTH, a->depth - p);
        pack_lhs(a, a->lhs + batch * a->lhs_batch + row * a->lhs_row + p * a->lhs_depth, rows, depth, lhs);
        pack_rhs(a, a->rhs + batch * a->rhs_batch + p * a->rhs_depth + column * a->rhs_column, depth, columns, rhs);
        j->tile(rows, depth, lhs, rhs, sums);
    }
    for (size_t i = 0; i < rows; i++) {
        float *dst = a->dst + batch * a->dst_batch + (row + i) * a->dst_row + column;
        for (size_t c = 0; c < columns; c++) dst[c] = sums[i * ALB_PRODUCT_COLUMNS + c] * a->scale;
    }
}

static void part(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (size_t index = begin; index < end; index++) {
        size_t column = index % j->column_blocks * ALB_PRODUCT_COLUMNS;
        size_t row = index / j->column_blocks % j->row_blocks * ALB_PRODUCT_ROWS;
        size_t batch = index / j->column_blocks / j->row_blocks;
        size_t rows = smaller(ALB_PRODUCT_ROWS, j->args->rows - row);
        size_t columns = smaller(ALB_PRODUCT_COLUMNS, j->args->columns - column);
        if (j->tile)
            packed_block(j, batch, row, rows, column, columns);
        else
            alb_product_block__scalar(j->args, batch, row, rows, column, columns);
    }
}

void alb_product_f32(alb_isa isa, int threads, const alb_product_f32_args *args) {
    job j = {
        args, alb_product_select(isa), (args->rows + ALB_PRODUCT_ROWS - 1) / ALB_PRODUCT_ROWS,
        (args->columns + ALB_PRODUCT_COLUMNS - 1) / ALB_PRODUCT_COLUMNS};
    const size_t work = smaller(args->rows, ALB_PRODUCT_ROWS) * smaller(args->columns, ALB_PRODUCT_COLUMNS) * args->depth;
    alb_parallel_for(threads, args->batch * j.row_blocks * j.column_blocks, alb_grain(work, 120000), part, &j);
}
