#include "alb_heatmap.h"

#include <string.h>

#include "../common/functions.h"
#include "../common/reduce.h"
#include "../common/variant.h"

// Pixels that pay for starting a worker.
enum { PIXELS_A_WORKER = 16384 };

void alb_rescale_f32(float *map, size_t count) {
    if (count == 0) return;
    float low = map[0], high = map[0];
    for (size_t i = 1; i < count; i++) {
        low = map[i] < low ? map[i] : low;
        high = map[i] > high ? map[i] : high;
    }
    float scale = high > low ? 1.0f / (high - low) : 0.0f;
    for (size_t i = 0; i < count; i++) map[i] = (map[i] - low) * scale;
}

// -- blur ------------------------------------------------------------------------------------------------------------

static size_t radius_of(float sigma) { return (size_t)(4.0f * sigma + 0.5f); }

typedef struct {
    const float *src;
    float *dst;
    size_t rows, columns;
    const float *weights;  // [2 * radius + 1]
    size_t radius;
} blur_context;

// ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
static size_t mirrored(int64_t i, size_t n) {
    int64_t period = 2 * (int64_t)n;
    i %= period;
    if (i < 0) i += period;
    return (size_t)(i < (int64_t)n ? i : period - 1 - i);
}

static void blur_columns(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const blur_context *context = opaque;
    size_t n = context->columns;
    for (size_t y = begin; y < end; y++) {
        float *dst = context->dst + y * n;
        memset(dst, 0, n * sizeof(float));
        for (size_t k = 0; k <= 2 * context->radius; k++) {
            const float *src = context->src + mirrored((int64_t)(y + k) - (int64_t)context->radius, context->rows) * n;
            float weight = context->weights[k];
            for (size_t x = 0; x < n; x++) dst[x] = dst[x] + weight * src[x];
        }
    }
}

static void blur_rows(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const blur_context *context = opaque;
    size_t n = context->columns;
    for (size_t y = begin; y < end; y++) {
        const float *src = context->src + y * n;
        float *dst = context->dst + y * n;
        memset(dst, 0, n * sizeof(float));
        for (size_t k = 0; k <= 2 * context->radius; k++) {
            int64_t shift = (int64_t)k - (int64_t)context->radius;
            float weight = context->weights[k];
            for (size_t x = 0; x < n; x++) {
                int64_t from = (int64_t)x + shift;
                size_t index = from >= 0 && from < (int64_t)n ? (size_t)from : mirrored(from, n);
                dst[x] = dst[x] + weight * src[index];
            }
        }
    }
}

size_t alb_blur_f32_scratch(size_t rows, size_t columns, float sigma) {
    return rows * columns + 2 * radius_of(sigma) + 1;
}

void alb_blur_f32(int threads, float *map, size_t rows, size_t columns, float sigma, float *scratch) {
    size_t radius = radius_of(sigma), taps = 2 * radius + 1;
    float *weights = scratch + rows * columns;
    for (size_t k = 0; k < taps; k++) {
        float distance = ((float)k - (float)radius) / sigma;
        weights[k] = alb_exp(-0.5f * (distance * distance));
    }
    float total = alb_r16_sum(weights, taps);
    for (size_t k = 0; k < taps; k++) weights[k] = weights[k] / total;
    size_t grain = alb_grain(columns * taps, PIXELS_A_WORKER);
    blur_context down = {.src = map, .dst = scratch, .rows = rows, .columns = columns, .weights = weights, .radius = radius};
    alb_parallel_for(threads, rows, grain, blur_columns, &down);
    blur_context across = down;
    across.src = scratch;
    across.dst = map;
    alb_parallel_for(threads, rows, grain, blur_rows, &across);
}

// -- colours ---------------------------------------------------------------------------------------------------------

enum { LEVELS = 4096 };

// Opacity and premultiplied colour of every level.
typedef struct {
    float keep;      // 1 - m^0.7
    float color[3];  // m^0.7 * 255 * jet(m)
} overlay_level;

typedef struct {
    float position, value;
} color_stop;

// The corners of matplotlib's colour map "jet".
static const color_stop jet_red[] = {{0, 0}, {0.35f, 0}, {0.66f, 1}, {0.89f, 1}, {1, 0.5f}};
static const color_stop jet_green[] = {{0, 0}, {0.125f, 0}, {0.375f, 1}, {0.64f, 1}, {0.91f, 0}, {1, 0}};
static const color_stop jet_blue[] = {{0, 0.5f}, {0.11f, 1}, {0.34f, 1}, {0.65f, 0}, {1, 0}};

static float between(const color_stop *stop, float m) {
    while (m > stop[1].position) stop++;
    float share = (m - stop[0].position) / (stop[1].position - stop[0].position);
    return stop[0].value + share * (stop[1].value - stop[0].value);
}

static overlay_level level_of(int index) {
    float m = (float)index / (float)(LEVELS - 1);
    float opacity = index == 0 ? 0.0f : index == LEVELS - 1 ? 1.0f : alb_exp(0.7f * alb_log(m));
    float full = opacity * 255.0f;
    overlay_level level = {
        .keep = 1.0f - opacity,
        .color = {full * between(jet_red, m), full * between(jet_green, m), full * between(jet_blue, m)}};
    return level;
}

typedef struct {
    const float *map;
    const uint8_t *src;
    uint8_t *dst;
    const overlay_level *levels;
} overlay_context;

static void blend(void *opaque, size_t begin, size_t end, int worker) {
    (void)worker;
    const overlay_context *context = opaque;
    for (size_t i = begin; i < end; i++) {
        float m = context->map[i];
        int index = m > 0.0f ? m < 1.0f ? (int)(m * (float)(LEVELS - 1) + 0.5f) : LEVELS - 1 : 0;
        const overlay_level *level = &context->levels[index];
        for (size_t c = 0; c < 3; c++) {
            float value = level->keep * (float)context->src[3 * i + c] + level->color[c];
            context->dst[3 * i + c] = (uint8_t)(value < 255.0f ? value + 0.5f : 255.0f);
        }
    }
}

void alb_overlay_rgb(int threads, const float *map, const uint8_t *src, size_t count, uint8_t *dst) {
    overlay_level levels[LEVELS];
    for (int index = 0; index < LEVELS; index++) levels[index] = level_of(index);
    overlay_context context = {.map = map, .src = src, .dst = dst, .levels = levels};
    alb_parallel_for(threads, count, PIXELS_A_WORKER, blend, &context);
}
