#include "resample.h"

// Keys' cubic convolution with a = -0.5, in the order of operations of Pillow's bicubic_filter.
static double bicubic(double x) {
    const double a = -0.5;
    if (x < 0.0) x = -x;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double raw_weight(const alb_resample_span *span, size_t j) {
    return bicubic(((double)j - span->centre + 0.5) * span->inverse);
}

void alb_resample_spans(size_t n_src, size_t n_dst, alb_resample_span *spans) {
    // Pillow keeps the box to resize in float32: above 2^24 the size is rounded.
    double scale = (double)(float)n_src / (double)n_dst;
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double support = 2.0 * filter_scale;
    for (size_t i = 0; i < n_dst; i++) {
        alb_resample_span *span = &spans[i];
        span->centre = ((double)i + 0.5) * scale;
        span->inverse = 1.0 / filter_scale;
        double low = span->centre - support + 0.5, high = span->centre + support + 0.5;
        size_t first = low > 0 ? (size_t)low : 0, end = (size_t)high;
        if (end > n_src) end = n_src;
        span->first = first;
        span->count = end > first ? end - first : 0;
        span->sum = 0.0;
        for (size_t j = first; j < end; j++) span->sum += raw_weight(span, j);
    }
}

int32_t alb_resample_weight(const alb_resample_span *span, size_t j) {
    double weight = raw_weight(span, j);
    if (span->sum != 0.0) weight /= span->sum;
    const double one = (double)(1 << ALB_RESAMPLE_BITS);
    return (int32_t)(weight < 0 ? weight * one - 0.5 : weight * one + 0.5);
}
