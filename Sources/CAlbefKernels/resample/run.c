#include "resample.h"

#include <stdbool.h>
#include <string.h>

#include "alb_threads.h"

// Weights of the horizontal pass are tabulated up to this many. A picture a million pixels wide would need more: there each
// weight is computed where it is used, which such a picture's few rows make affordable.
enum { MAXIMUM_WEIGHTS = 1 << 22 };

typedef struct {
    const alb_resample_variant *variant;
    const uint8_t *src;
    uint8_t *dst;
    size_t src_width, dst_width, dst_height;
    const alb_resample_span *columns;  // [dst_width]; null where the width does not change
    const alb_resample_span *rows;     // [dst_height]; null where the height does not change
    const uint8_t *weights;            // [dst_width][taps * 4]; null where they are not tabulated
    size_t taps;
    int32_t *sums;   // [dst_height][dst_width * 3]
    uint8_t *lines;  // [threads][dst_width * 3]
} resample_context;

static size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Most inputs of one output, support on both sides of the centre, padded.
static size_t tap_count(size_t n_src, size_t n_dst) {
    size_t ceiling = n_src > n_dst ? (2 * n_src + n_dst - 1) / n_dst : 2;
    size_t taps = 2 * ceiling + 2 < n_src ? 2 * ceiling + 2 : n_src;
    return (taps + ALB_RESAMPLE_TAPS - 1) / ALB_RESAMPLE_TAPS * ALB_RESAMPLE_TAPS;
}

static size_t weight_count(size_t src_width, size_t dst_width) {
    size_t count = tap_count(src_width, dst_width) * dst_width;
    return src_width != dst_width && count <= MAXIMUM_WEIGHTS ? count : 0;
}

// What Pillow's Python code does before it comes to the resize itself: of a picture more than a hundred times as high as
// wide that shrinks in height, the vertical pass is done first.
static bool vertical_first(size_t src_width, size_t src_height, size_t dst_width, size_t dst_height) {
    return src_height > src_width * 100 && dst_height < src_height && dst_width != src_width;
}

static size_t scratch_once(int threads, size_t src_width, size_t dst_width, size_t dst_height) {
    return align(dst_width * sizeof(alb_resample_span)) + align(dst_height * sizeof(alb_resample_span)) +
           align(weight_count(src_width, dst_width) * sizeof(int32_t)) + align(dst_width * dst_height * 3 * sizeof(int32_t)) +
           align((size_t)(threads < 1 ? 1 : threads) * dst_width * 3);
}

size_t alb_resample_rgb_scratch(int threads, size_t src_width, size_t src_height, size_t dst_width, size_t dst_height) {
    size_t last = scratch_once(threads, src_width, dst_width, dst_height);
    if (!vertical_first(src_width, src_height, dst_width, dst_height)) return last;
    size_t first = scratch_once(threads, src_width, src_width, dst_height);
    return align(src_width * dst_height * 3) + (first > last ? first : last);
}

static void row_without_table(const resample_context *context, const uint8_t *src, uint8_t *dst) {
    for (size_t x = 0; x < context->dst_width; x++) {
        const alb_resample_span *span = &context->columns[x];
        int32_t sum[3] = {alb_resample_half(), alb_resample_half(), alb_resample_half()};
        for (size_t j = span->first; j < span->first + span->count; j++) {
            int32_t weight = alb_resample_weight(span, j);
            for (size_t c = 0; c < 3; c++) sum[c] += weight * src[3 * j + c];
        }
        for (size_t c = 0; c < 3; c++) dst[3 * x + c] = alb_resample_clamp(sum[c]);
    }
}

// One source row after the horizontal pass: the source itself where that is left out, else `line`.
static const uint8_t *horizontal(const resample_context *context, size_t y, uint8_t *line) {
    const uint8_t *src = context->src + y * context->src_width * 3;
    if (context->columns == NULL) return src;
    if (context->weights == NULL)
        row_without_table(context, src, line);
    else
        context->variant->row(
            src, context->src_width, line, context->dst_width, context->columns, context->weights, context->taps);
    return line;
}

// Output rows [begin, end). Each source row is resized once and added to the sums of all output rows that it is part of,
// so that no picture between the passes is stored.
static void part(void *opaque, size_t begin, size_t end, int worker) {
    const resample_context *context = opaque;
    size_t bytes = context->dst_width * 3;
    uint8_t *line = context->lines + (size_t)worker * bytes;
    if (context->rows == NULL) {
        for (size_t y = begin; y < end; y++) {
            uint8_t *dst = context->dst + y * bytes;
            const uint8_t *row = horizontal(context, y, dst);
            if (row != dst) memcpy(dst, row, bytes);
        }
        return;
    }
    for (size_t i = begin * bytes; i < end * bytes; i++) context->sums[i] = alb_resample_half();
    const alb_resample_span *rows = context->rows;
    size_t oldest = begin;  // spans begin and end in ascending order
    for (size_t y = rows[begin].first; y < rows[end - 1].first + rows[end - 1].count; y++) {
        while (oldest < end && rows[oldest].first + rows[oldest].count <= y) oldest++;
        if (oldest == end || rows[oldest].first > y) continue;
        const uint8_t *row = horizontal(context, y, line);
        for (size_t out = oldest; out < end && rows[out].first <= y; out++)
            if (y < rows[out].first + rows[out].count)
                context->variant->add(row, alb_resample_weight(&rows[out], y), context->sums + out * bytes, bytes);
    }
    for (size_t i = begin * bytes; i < end * bytes; i++) context->dst[i] = alb_resample_clamp(context->sums[i]);
}

static void *take(uint8_t **scratch, size_t bytes) {
    void *start = *scratch;
    *scratch += align(bytes);
    return start;
}

static const alb_resample_variant *choose(alb_isa ceiling) {
    const alb_resample_variant *variant = alb_resample_table;
    while (variant->isa > ceiling) variant++;
    return variant;
}

alb_isa alb_resample_rgb_variant(alb_isa ceiling) { return choose(ceiling)->isa; }

static void resample_once(
    alb_isa isa, int threads, const uint8_t *src, size_t src_width, size_t src_height, uint8_t *dst, size_t dst_width,
    size_t dst_height, void *scratch) {
    uint8_t *rest = scratch;
    resample_context context = {
        .variant = choose(isa), .src = src, .dst = dst, .src_width = src_width, .dst_width = dst_width,
        .dst_height = dst_height};
    alb_resample_span *columns = take(&rest, dst_width * sizeof(alb_resample_span));
    alb_resample_span *rows = take(&rest, dst_height * sizeof(alb_resample_span));
    uint8_t *weights = take(&rest, weight_count(src_width, dst_width) * sizeof(int32_t));
    context.sums = take(&rest, dst_width * dst_height * 3 * sizeof(int32_t));
    context.lines = take(&rest, (size_t)(threads < 1 ? 1 : threads) * dst_width * 3);
    if (src_width != dst_width) {
        alb_resample_spans(src_width, dst_width, columns);
        context.columns = columns;
    }
    if (src_height != dst_height) {
        alb_resample_spans(src_height, dst_height, rows);
        context.rows = rows;
    }
    if (weight_count(src_width, dst_width) > 0) {
        context.taps = tap_count(src_width, dst_width);
        for (size_t x = 0; x < dst_width; x++)
            context.variant->pack(&columns[x], context.taps, weights + x * context.taps * sizeof(int32_t));
        context.weights = weights;
    }
    // Each part reads the source rows around its border again, so parts are not made small.
    alb_parallel_for(threads, dst_height, 8, part, &context);
}

void alb_resample_rgb(
    alb_isa isa, int threads, const uint8_t *src, size_t src_width, size_t src_height, uint8_t *dst, size_t dst_width,
    size_t dst_height, void *scratch) {
    if (!vertical_first(src_width, src_height, dst_width, dst_height)) {
        resample_once(isa, threads, src, src_width, src_height, dst, dst_width, dst_height, scratch);
        return;
    }
    uint8_t *rest = scratch;
    uint8_t *between = take(&rest, src_width * dst_height * 3);
    resample_once(isa, threads, src, src_width, src_height, between, src_width, dst_height, rest);
    resample_once(isa, threads, between, src_width, dst_height, dst, dst_width, dst_height, rest);
}
