#include "resample.h"

void alb_resample_pack__scalar(const alb_resample_span *span, size_t taps, void *weights) {
    int32_t *row = weights;
    for (size_t j = 0; j < taps; j++) row[j] = j < span->count ? alb_resample_weight(span, span->first + j) : 0;
}

void alb_resample_row__scalar(
    const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,
    const void *weights, size_t taps) {
    (void)src_width;
    for (size_t x = 0; x < dst_width; x++) {
        const uint8_t *pixel = src + spans[x].first * 3;
        const int32_t *weight = (const int32_t *)weights + x * taps;
        int32_t r = alb_resample_half(), g = r, b = r;
        for (size_t j = 0; j < spans[x].count; j++) {
            r += weight[j] * pixel[3 * j];
            g += weight[j] * pixel[3 * j + 1];
            b += weight[j] * pixel[3 * j + 2];
        }
        dst[3 * x] = alb_resample_clamp(r);
        dst[3 * x + 1] = alb_resample_clamp(g);
        dst[3 * x + 2] = alb_resample_clamp(b);
    }
}

void alb_resample_add__scalar(const uint8_t *src, int32_t weight, int32_t *sums, size_t count) {
    for (size_t i = 0; i < count; i++) sums[i] += weight * src[i];
}
