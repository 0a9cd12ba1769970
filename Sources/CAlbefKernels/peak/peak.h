#ifndef ALB_PEAK_INTERNAL_H
#define ALB_PEAK_INTERNAL_H

#include <stddef.h>

#include "alb_isa.h"

/// Loops of one instruction set, with the multiply-adds of one step.
typedef struct {
    alb_isa isa;
    double int8_per_step, f32_per_step;
    void (*int8)(size_t steps);
    void (*f32)(size_t steps);
} alb_peak_variant;

extern const alb_peak_variant alb_peak_table[];

void alb_peak_int8__scalar(size_t steps);
void alb_peak_f32__scalar(size_t steps);
void alb_peak_int8__avx2(size_t steps);
void alb_peak_f32__avx2(size_t steps);
void alb_peak_int8__avxvnni(size_t steps);
void alb_peak_int8__avx512vnni(size_t steps);
void alb_peak_f32__avx512vnni(size_t steps);

// Independent accumulators: enough to hide the latency of any multiply-add.
#define ALB_PEAK_CHAINS 12

// Keeps a value in its register and unknown to the optimiser, at no cost.
#define ALB_PEAK_KEEP_VECTOR(x) __asm__ volatile("" : "+v"(x))

#endif
