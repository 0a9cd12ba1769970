#include "peak.h"

#include <math.h>
#include <stdint.h>

void alb_peak_int8__scalar(size_t steps) {
    int32_t acc[ALB_PEAK_CHAINS] = {0}, weight = 3;
    for (size_t s = 0; s < steps; s++)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            __asm__ volatile("" : "+r"(acc[i]), "+r"(weight));
            acc[i] += weight * 2;
        }
}

void alb_peak_f32__scalar(size_t steps) {
    float acc[ALB_PEAK_CHAINS] = {0}, weight = 0.5f;
    for (size_t s = 0; s < steps; s++)
        for (int i = 0; i < ALB_PEAK_CHAINS; i++) {
            __asm__ volatile("" : "+m"(weight));
            acc[i] = fmaf(acc[i], weight, 1.0f);
        }
    volatile float sink = acc[0];
    (void)sink;
}
