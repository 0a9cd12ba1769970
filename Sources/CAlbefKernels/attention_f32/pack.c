// Keys in the order of the variants. Floats are moved, never computed with, so one form serves all instruction sets.
#include "attention_f32.h"

#include <string.h>

typedef float four __attribute__((vector_size(16)));

static inline four load_four(const float *src) {
    four x;
    memcpy(&x, src, sizeof x);
    return x;
}

/// Lanes i to i + 3 of a panel: `count` keys, 1 to 4, and 0 in what is left of the four.
static inline __attribute__((always_inline)) void pack_lanes(
    const size_t count, const float *const source[4], size_t width, float *panel) {
    size_t c = 0;
    for (; c + 4 <= width; c += 4) {
        // A transpose of 4 keys by 4 columns, whose rows are stored as they are: single floats would be 16 stores.
        const four none = {0, 0, 0, 0};
        const four a = load_four(source[0] + c), b = count > 1 ? load_four(source[1] + c) : none;
        const four d = count > 2 ? load_four(source[2] + c) : none, e = count > 3 ? load_four(source[3] + c) : none;
        const four ad_low = __builtin_shufflevector(a, d, 0, 4, 1, 5), ad_high = __builtin_shufflevector(a, d, 2, 6, 3, 7);
        const four be_low = __builtin_shufflevector(b, e, 0, 4, 1, 5), be_high = __builtin_shufflevector(b, e, 2, 6, 3, 7);
        const four columns[4] = {
            __builtin_shufflevector(ad_low, be_low, 0, 4, 1, 5), __builtin_shufflevector(ad_low, be_low, 2, 6, 3, 7),
            __builtin_shufflevector(ad_high, be_high, 0, 4, 1, 5), __builtin_shufflevector(ad_high, be_high, 2, 6, 3, 7)};
        for (size_t i = 0; i < 4; i++) memcpy(panel + (c + i) * ALB_ATTENTION_F32_PANEL, &columns[i], sizeof(four));
    }
    for (; c < width; c++)
        for (size_t i = 0; i < 4; i++) panel[c * ALB_ATTENTION_F32_PANEL + i] = i < count ? source[i][c] : 0.0f;
}

void alb_attention_f32_pack_panel(
    const float *k, size_t k_row, const int32_t *rows, size_t keys, size_t width, float *panel) {
    // Lanes are written by fours; where a whole four is padding, all of the panel is cleared at once.
    if (keys + 4 <= ALB_ATTENTION_F32_PANEL) memset(panel, 0, width * ALB_ATTENTION_F32_PANEL * sizeof(float));
    for (size_t lane = 0; lane < keys; lane += 4) {
        const size_t count = keys - lane < 4 ? keys - lane : 4;
        const float *source[4] = {k, k, k, k};
        for (size_t i = 0; i < count; i++) source[i] = k + (rows ? (size_t)rows[lane + i] : lane + i) * k_row;
        switch (count) {
        case 1: pack_lanes(1, source, width, panel + lane); break;
        case 2: pack_lanes(2, source, width, panel + lane); break;
        case 3: pack_lanes(3, source, width, panel + lane); break;
        default: pack_lanes(4, source, width, panel + lane); break;
        }
    }
}
