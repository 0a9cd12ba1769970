#include "alb_heatmap.h"

#include "../common/reduce.h"
#include "../common/variant.h"

typedef struct {
    const float *map;
    size_t rows, columns;
    const double *boxes;
    float *scores;
} score_context;

// int(value), cut to [0, limit]. Nothing left of the map is part of it: numpy would count negative bounds from the other
// end.
static size_t bound(double value, size_t limit) {
    if (!(value > 0)) return 0;
    return value >= (double)limit ? limit : (size_t)value;
}

static bool is_finite(double value) { return value - value == 0; }

static float score(const score_context *context, const double *box) {
    double x = box[0], y = box[1], w = box[2], h = box[3];
    if (!(is_finite(x) && is_finite(y) && is_finite(w) && is_finite(h) && w > 0 && h > 0)) return 0;
    float root = sqrtf((float)(w * h));
    if (!(root > 0 && is_finite(root))) return 0;
    size_t left = bound(x, context->columns), right = bound(x + w, context->columns);
    size_t top = bound(y, context->rows), bottom = bound(y + h, context->rows);
    if (left >= right) return 0;
    float sum = 0;
    for (size_t row = top; row < bottom; row++)
        sum = sum + alb_r16_sum(context->map + row * context->columns + left, right - left);
    return sum / root;
}

static void part(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const score_context *context = opaque;
    for (size_t i = begin; i < end; i++) context->scores[i] = score(context, context->boxes + 4 * i);
}

void alb_box_scores_f32(
    int threads, const float *map, size_t rows, size_t columns, const double *boxes, size_t count, float *scores) {
    score_context context = {.map = map, .rows = rows, .columns = columns, .boxes = boxes, .scores = scores};
    alb_parallel_for(threads, count, 1, part, &context);
}
