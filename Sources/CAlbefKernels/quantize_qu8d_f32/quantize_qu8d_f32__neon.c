#if defined(__aarch64__)

#include "quantize_qu8d_f32.h"

#include "../common/quantization_neon.h"

void alb_quantize_qu8d_f32__neon(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const alb_quantize_args *a = context;
    for (size_t i = begin; i < end; i++) {
        alb_row_quantization row =
            alb_quantize_row_neon(a->src + i * a->src_stride, a->k, a->dst + i * a->dst_stride, a->dst_stride);
        a->scales[i] = row.scale;
        a->zero_points[i] = row.zero_point;
    }
}

#endif
