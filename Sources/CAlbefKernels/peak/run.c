#include "peak.h"

#include "alb_peak.h"
#include "alb_threads.h"

#include <stdint.h>
#include <string.h>

typedef struct {
    void (*loop)(size_t steps);
    size_t steps;
} loop_context;

// Parts are workers.
static void run_loops(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const loop_context *c = context;
    for (size_t i = begin; i < end; i++) c->loop(c->steps);
}

static const alb_peak_variant *selected(alb_isa ceiling) {
    const alb_peak_variant *variant = alb_peak_table;
    while (variant->isa > ceiling) variant++;
    return variant;
}

double alb_peak_int8(alb_isa isa, int threads, size_t steps) {
    const alb_peak_variant *variant = selected(isa);
    loop_context context = {variant->int8, steps};
    alb_parallel_for(threads, (size_t)threads, 1, run_loops, &context);
    return variant->int8_per_step * (double)steps * (double)threads;
}

double alb_peak_f32(alb_isa isa, int threads, size_t steps) {
    const alb_peak_variant *variant = selected(isa);
    loop_context context = {variant->f32, steps};
    alb_parallel_for(threads, (size_t)threads, 1, run_loops, &context);
    return variant->f32_per_step * (double)steps * (double)threads;
}

#define LINE 64

// Parts are cache lines.
static void read_lines(void *context, size_t begin, size_t end, int worker) {
    (void)worker;
    const unsigned char *src = context;
    uint64_t found[LINE / sizeof(uint64_t)] = {0};
    for (size_t i = begin; i < end; i++) {
        uint64_t line[LINE / sizeof(uint64_t)];
        memcpy(line, src + i * LINE, LINE);
        for (size_t j = 0; j < LINE / sizeof(uint64_t); j++) found[j] |= line[j];
    }
    for (size_t j = 0; j < LINE / sizeof(uint64_t); j++) __asm__ volatile("" : : "r"(found[j]));
}

double alb_peak_read(int threads, const void *src, size_t count) {
    alb_parallel_for(threads, count / LINE, 1024, read_lines, (void *)src);
    return (double)(count / LINE * LINE);
}
