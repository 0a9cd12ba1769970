#include "quantize_qu8d_f32.h"

#include "../common/quantization.h"

void alb_quantize_qu8d_f32__scalar(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_quantize_args *a = context;
    for (size_t i = begin; i < end; i++) {
        const float *src = a->src + i * a->src_stride;
        uint8_t *dst = a->dst + i * a->dst_stride;
        float lo = 0.0f, hi = 0.0f;
        for (size_t j = 0; j < a->k; j++) {
            lo = src[j] < lo ? src[j] : lo;
            hi = src[j] > hi ? src[j] : hi;
        }
        alb_row_quantization row = alb_quantization_of(lo, hi);
        for (size_t j = 0; j < a->k; j++) dst[j] = alb_quantized(src[j], row);
        for (size_t j = a->k; j < a->dst_stride; j++) dst[j] = 0;
        a->scales[i] = row.scale;
        a->zero_points[i] = row.zero_point;
    }
}
