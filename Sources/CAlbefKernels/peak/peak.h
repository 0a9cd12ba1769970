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
void alb_peak_int8__avx512vnni(size_t steps);
void alb_peak_f32__avx512vnni(size_t steps);

void alb_peak_int8__neon(size_t steps);
void alb_peak_f32__neon(size_t steps);
void alb_peak_int8__dotprod(size_t steps);
void alb_peak_int8__i8mm(size_t steps);

// ALB_PEAK_CHAINS: independent accumulators, enough to hide the latency of any multiply-add. ARM has more registers, and CPUs
// with four pipes of four cycles.
// ALB_PEAK_KEEP_VECTOR: keeps a value in its register and unknown to the optimiser, at no cost.
#if defined(__x86_64__)
#define ALB_PEAK_CHAINS 12
#define ALB_PEAK_KEEP_VECTOR(x) __asm__ volatile("" : "+v"(x))
#elif defined(__aarch64__)
#define ALB_PEAK_CHAINS 20
#define ALB_PEAK_KEEP_VECTOR(x) __asm__ volatile("" : "+w"(x))
#endif

#endif
