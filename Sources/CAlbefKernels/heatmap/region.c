#include "alb_heatmap.h"

#include "../common/target_region.h"

// Labels form a forest: a member points to an earlier member of its region, a root to itself; others hold OUTSIDE.
enum { OUTSIDE = -1 };

static int32_t root_of(int32_t *labels, int32_t i) {
    while (labels[i] != i) {
        labels[i] = labels[labels[i]];  // halves the way for the next one
        i = labels[i];
    }
    return i;
}

static void join(int32_t *labels, int32_t a, int32_t b) {
    a = root_of(labels, a);
    b = root_of(labels, b);
    if (a < b) labels[b] = a;
    else labels[a] = b;
}

static void label(const float *map, size_t rows, size_t columns, float threshold, int32_t *labels) {
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++) {
            size_t i = y * columns + x;
            labels[i] = OUTSIDE;
            if (!(map[i] >= threshold)) continue;
            labels[i] = (int32_t)i;
            if (x > 0 && labels[i - 1] != OUTSIDE) join(labels, (int32_t)i, (int32_t)(i - 1));
            if (y > 0 && labels[i - columns] != OUTSIDE) join(labels, (int32_t)i, (int32_t)(i - columns));
        }
}

// The root of the largest region. Once every member points straight at its root, sizes are counted in the roots' own
// places, as numbers below OUTSIDE; then the roots point at themselves again.
static int32_t largest(int32_t *labels, size_t count) {
    int32_t best = OUTSIDE;
    size_t best_size = 0;
    for (size_t i = 0; i < count; i++)
        if (labels[i] != OUTSIDE) labels[i] = root_of(labels, (int32_t)i);
    for (size_t i = 0; i < count; i++)
        if (labels[i] == (int32_t)i) labels[i] = OUTSIDE - 2;  // a root: size 1
        else if (labels[i] != OUTSIDE) labels[labels[i]]--;
    for (size_t i = 0; i < count; i++) {
        if (labels[i] >= OUTSIDE) continue;
        size_t size = (size_t)(OUTSIDE - 1 - labels[i]);
        labels[i] = (int32_t)i;
        if (size > best_size) {
            best_size = size;
            best = (int32_t)i;
        }
    }
    return best;
}

bool alb_heatmap_region(const float *map, size_t rows, size_t columns, int32_t *labels, size_t box[4]) {
    float maximum = 0;
    for (size_t i = 0; i < rows * columns; i++)
        if (map[i] > maximum) maximum = map[i];
    if (!(maximum > 0)) return false;
    label(map, rows, columns, 0.5f * maximum, labels);
    int32_t root = largest(labels, rows * columns);
    size_t left = columns, right = 0, top = rows, bottom = 0;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++) {
            if (labels[y * columns + x] != root) continue;
            if (x < left) left = x;
            if (x + 1 > right) right = x + 1;
            if (y < top) top = y;
            bottom = y + 1;
        }
    box[0] = left;
    box[1] = top;
    box[2] = right - left;
    box[3] = bottom - top;
    return true;
}
