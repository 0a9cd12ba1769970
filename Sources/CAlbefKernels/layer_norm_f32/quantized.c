// Normalises and quantises a few rows at a time: with a variant that does both, or with those of the two operations.
#include "../quantize_qu8d_f32/quantize_qu8d_f32.h"
#include "layer_norm_f32.h"

typedef struct {
    void (*both)(const alb_layer_norm_args *norm, const alb_quantize_args *quantized, size_t rows);  ///< or NULL
    const alb_variant *normalize, *quantize;
    const alb_layer_norm_args *norm;
    const alb_quantize_args *quantized;
    float *scratch;
} job;

// Parts are rows.
static void run(void *context, size_t begin, size_t end, int worker) {
    const job *j = context;
    alb_layer_norm_args norm = *j->norm;
    alb_quantize_args quantized = *j->quantized;
    norm.normalized = norm.reciprocals = NULL;
    norm.dst = j->scratch + (size_t)worker * ALB_LAYER_NORM_SCRATCH_ROWS * norm.n;
    norm.dst_stride = norm.n;
    quantized.src = norm.dst;
    quantized.src_stride = norm.n;
    for (size_t row = begin; row < end; row += ALB_LAYER_NORM_SCRATCH_ROWS) {
        const size_t rows = end - row < ALB_LAYER_NORM_SCRATCH_ROWS ? end - row : ALB_LAYER_NORM_SCRATCH_ROWS;
        norm.src = j->norm->src + row * j->norm->src_stride;
        quantized.dst = j->quantized->dst + row * j->quantized->dst_stride;
        quantized.scales = j->quantized->scales + row;
        quantized.zero_points = j->quantized->zero_points + row;
        if (j->both) {
            j->both(&norm, &quantized, rows);
        } else {
            j->normalize->run(&norm, 0, rows, worker);
            j->quantize->run(&quantized, 0, rows, worker);
        }
    }
}

void alb_layer_norm_qu8d_f32(
    alb_isa isa, int threads, const alb_layer_norm_args *norm, const alb_quantize_args *quantized, float *scratch) {
    job j = {
        .normalize = alb_select(alb_layer_norm_f32_table, isa), .quantize = alb_select(alb_quantize_qu8d_f32_table, isa),
        .norm = norm, .quantized = quantized, .scratch = scratch};
#if defined(__x86_64__)
    if (isa >= ALB_ISA_AVX512VNNI) j.both = alb_layer_norm_qu8d_rows__avx512vnni;
#endif
    alb_parallel_for(threads, norm->m, alb_grain(norm->n, ALB_ROW_ELEMENTS), run, &j);
}
