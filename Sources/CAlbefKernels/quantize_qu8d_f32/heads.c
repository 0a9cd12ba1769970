// Scales a few rows of a head at a time, and quantises them with the variant for whole rows.
#include "quantize_qu8d_f32.h"

#pragma STDC FP_CONTRACT OFF

typedef struct {
    const alb_variant *quantize;
    const alb_quantize_args *args;
    size_t heads;
    const float *factors;
    float *scratch;
} job;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// Parts are rows of heads, head after head.
static void run(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    alb_quantize_args rows = *j->args;
    const size_t width = rows.k / j->heads;
    float *scaled = j->scratch + (size_t)worker * ALB_QUANTIZE_HEADS_SCRATCH_ROWS * width;
    rows.k = rows.src_stride = width;
    rows.src = scaled;
    size_t count;
    for (size_t part = begin; part < end; part += count) {
        const size_t head = part / j->args->m, row = part % j->args->m;
        count = smaller(ALB_QUANTIZE_HEADS_SCRATCH_ROWS, smaller(end - part, j->args->m - row));
        const float *factors = j->factors + head * width;
        for (size_t i = 0; i < count; i++) {
            const float *src = j->args->src + (row + i) * j->args->src_stride + head * width;
            for (size_t c = 0; c < width; c++) scaled[i * width + c] = src[c] * factors[c];
        }
        rows.dst = j->args->dst + part * rows.dst_stride;
        rows.scales = j->args->scales + part;
        rows.zero_points = j->args->zero_points + part;
        j->quantize->run(&rows, 0, count, worker);
    }
}

void alb_quantize_heads_qu8d_f32(
    alb_isa isa, int threads, size_t heads, const float *factors, const alb_quantize_args *args, float *scratch) {
    job j = {alb_select(alb_quantize_qu8d_f32_table, isa), args, heads, factors, scratch};
    alb_parallel_for(threads, heads * args->m, alb_grain(args->k / heads, 16384), run, &j);
}
