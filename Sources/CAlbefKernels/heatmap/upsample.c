#include "alb_heatmap.h"

#include "../common/target_region.h"
#include "../common/variant.h"

enum { TAPS = 4 };

// Values that pay for starting a worker.
enum { VALUES_A_WORKER = 16384 };

typedef struct {
    float weight[TAPS];
    int32_t index[TAPS];
} cubic_taps;

static double near_kernel(double t) {  // |t| <= 1
    const double a = -0.75;
    return ((a + 2) * t - (a + 3)) * t * t + 1;
}

static double far_kernel(double t) {  // 1 < |t| < 2
    const double a = -0.75;
    return (((t - 5) * t + 8) * t - 4) * a;
}

static cubic_taps taps_of(size_t i, size_t n_src, size_t n_dst) {
    double position = ((double)i + 0.5) * ((double)n_src / (double)n_dst) - 0.5;
    int64_t floor = (int64_t)position;
    if ((double)floor > position) floor--;
    double t = position - (double)floor;
    cubic_taps taps = {
        .weight = {(float)far_kernel(t + 1), (float)near_kernel(t), (float)near_kernel(1 - t), (float)far_kernel(2 - t)}};
    for (int k = 0; k < TAPS; k++) {
        int64_t index = floor - 1 + k;
        taps.index[k] = (int32_t)(index < 0 ? 0 : index >= (int64_t)n_src ? (int64_t)n_src - 1 : index);
    }
    return taps;
}

typedef struct {
    const float *src;
    size_t rows, columns;
    float *dst;
    size_t dst_rows, dst_columns;
    const cubic_taps *column_taps;  // [dst_columns]
    float *wide;                    // [rows][dst_columns]
} upsample_context;

static void widen(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const upsample_context *context = opaque;
    for (size_t y = begin; y < end; y++) {
        const float *src = context->src + y * context->columns;
        float *dst = context->wide + y * context->dst_columns;
        for (size_t x = 0; x < context->dst_columns; x++) {
            const cubic_taps *t = &context->column_taps[x];
            dst[x] = ((t->weight[0] * src[t->index[0]] + t->weight[1] * src[t->index[1]]) + t->weight[2] * src[t->index[2]]) +
                     t->weight[3] * src[t->index[3]];
        }
    }
}

static void heighten(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const upsample_context *context = opaque;
    size_t n = context->dst_columns;
    for (size_t y = begin; y < end; y++) {
        cubic_taps t = taps_of(y, context->rows, context->dst_rows);
        const float *v0 = context->wide + (size_t)t.index[0] * n, *v1 = context->wide + (size_t)t.index[1] * n;
        const float *v2 = context->wide + (size_t)t.index[2] * n, *v3 = context->wide + (size_t)t.index[3] * n;
        float *dst = context->dst + y * n;
        for (size_t x = 0; x < n; x++)
            dst[x] = ((t.weight[0] * v0[x] + t.weight[1] * v1[x]) + t.weight[2] * v2[x]) + t.weight[3] * v3[x];
    }
}

size_t alb_upsample_f32_scratch(size_t rows, size_t dst_columns) {
    return dst_columns * (sizeof(cubic_taps) / sizeof(float)) + rows * dst_columns;
}

void alb_upsample_f32(
    int threads, const float *src, size_t rows, size_t columns, float *dst, size_t dst_rows, size_t dst_columns,
    float *scratch) {
    cubic_taps *column_taps = (cubic_taps *)scratch;
    for (size_t x = 0; x < dst_columns; x++) column_taps[x] = taps_of(x, columns, dst_columns);
    upsample_context context = {
        .src = src, .rows = rows, .columns = columns, .dst = dst, .dst_rows = dst_rows, .dst_columns = dst_columns,
        .column_taps = column_taps, .wide = (float *)(column_taps + dst_columns)};
    size_t grain = alb_grain(dst_columns, VALUES_A_WORKER);
    alb_parallel_for(threads, rows, grain, widen, &context);
    alb_parallel_for(threads, dst_rows, grain, heighten, &context);
}
