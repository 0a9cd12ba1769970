// A block of queries of one head: scores against panels of 16 packed keys, softmax row by row, then sums over the values.
// Tiles keep one accumulator an output in registers and run over the depth in order.
#include "attention_f32.h"

#if defined(__aarch64__)

#include "../common/functions.h"
#include "../common/reduce.h"

enum { ROWS = 4, VECTORS = 4, LANES = 4, CHANNELS = VECTORS * LANES };

/// Scores of `rows` queries against one panel of 16 keys.
static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, size_t width, const float *q, size_t q_row, const float *packed, float32x4_t scale, float *scores,
    size_t padded) {
    float32x4_t sum[ROWS][VECTORS];
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECTORS; v++) sum[i][v] = vdupq_n_f32(0.0f);
    for (size_t c = 0; c < width; c++) {
        float32x4_t keys[VECTORS];
        for (size_t v = 0; v < VECTORS; v++) keys[v] = vld1q_f32(packed + c * ALB_ATTENTION_F32_PANEL + v * LANES);
        for (size_t i = 0; i < rows; i++) {
            const float x = q[i * q_row + c];
            for (size_t v = 0; v < VECTORS; v++) sum[i][v] = vfmaq_n_f32(sum[i][v], keys[v], x);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECTORS; v++) vst1q_f32(scores + i * padded + v * LANES, vmulq_f32(sum[i][v], scale));
}

static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, size_t width, const float *q, size_t q_row, const float *packed, float *scores, size_t padded) {
    const float32x4_t scale = vdupq_n_f32(alb_attention_scale(width));
    for (size_t j = 0; j < padded; j += ALB_ATTENTION_F32_PANEL)
        score_tile(rows, width, q, q_row, packed + j * width, scale, scores + j, padded);
}

/// Scores to probabilities, over the first n of a row.
static void softmax_row(float *x, size_t n) {
    float32x4_t top = vdupq_n_f32(-INFINITY);
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) top = vmaxq_f32(top, vld1q_f32(x + j));
    float greatest = vmaxvq_f32(top);
    for (; j < n; j++) greatest = x[j] > greatest ? x[j] : greatest;
    const float32x4_t maximum = vdupq_n_f32(greatest);
    for (j = 0; j + LANES <= n; j += LANES) vst1q_f32(x + j, alb_exp_neon(vsubq_f32(vld1q_f32(x + j), maximum)));
    alb_store_neon(x + j, alb_exp_neon(vsubq_f32(alb_load_neon(x + j, n - j), maximum)), n - j);
    const float32x4_t total = vdupq_n_f32(alb_r16_sum_neon(x, n));
    for (j = 0; j + LANES <= n; j += LANES) vst1q_f32(x + j, vdivq_f32(vld1q_f32(x + j), total));
    alb_store_neon(x + j, vdivq_f32(alb_load_neon(x + j, n - j), total), n - j);
}

/// Sums of `rows` rows of probabilities over n values, for `channels` channels: 16, a constant then, or fewer.
static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, size_t channels, size_t n, const float *p, size_t padded, const float *values, size_t v_row,
    float *dst, size_t dst_row) {
    float32x4_t sum[ROWS][VECTORS];
    size_t lanes[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) lanes[v] = alb_lanes_neon(v * LANES, channels);
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECTORS; v++) sum[i][v] = vdupq_n_f32(0.0f);
    for (size_t j = 0; j < n; j++) {
        float32x4_t value[VECTORS];
        for (size_t v = 0; v < VECTORS; v++) value[v] = alb_load_neon(values + j * v_row + v * LANES, lanes[v]);
        for (size_t i = 0; i < rows; i++) {
            const float w = p[i * padded + j];
            for (size_t v = 0; v < VECTORS; v++) sum[i][v] = vfmaq_n_f32(sum[i][v], value[v], w);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < VECTORS; v++) alb_store_neon(dst + i * dst_row + v * LANES, sum[i][v], lanes[v]);
}

static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, size_t width, size_t n, const float *p, size_t padded, const float *v, size_t v_row, float *dst,
    size_t dst_row) {
    size_t c = 0;
    for (; c + CHANNELS <= width; c += CHANNELS) value_tile(rows, CHANNELS, n, p, padded, v + c, v_row, dst + c, dst_row);
    if (c < width) value_tile(rows, width - c, n, p, padded, v + c, v_row, dst + c, dst_row);
}

void alb_attention_f32_block__neon(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores) {
    const size_t width = args->width, padded = alb_attention_f32_padded(args->keys);
    const float *q = args->q + query * args->q_row + head * width, *v = args->v + head * width;
    float *dst = args->dst + query * args->dst_row + head * width;
    size_t t = 0;
    for (; t + ROWS <= queries; t += ROWS)
        score_rows(ROWS, width, q + t * args->q_row, args->q_row, packed, scores + t * padded, padded);
    for (; t < queries; t++) score_rows(1, width, q + t * args->q_row, args->q_row, packed, scores + t * padded, padded);

    for (t = 0; t < queries; t++) {
        const size_t n = alb_attention_f32_visible(args, query + t);
        softmax_row(scores + t * padded, n);
        if (args->probabilities) {
            float *row = args->probabilities + (head * args->queries + query + t) * args->keys;
            for (size_t j = 0; j < args->keys; j++) row[j] = j < n ? scores[t * padded + j] : 0.0f;
        }
    }

    // Rows of a causal block see different numbers of keys, so they go one by one.
    t = 0;
    if (!args->causal)
        for (; t + ROWS <= queries; t += ROWS)
            value_rows(
                ROWS, width, args->keys, scores + t * padded, padded, v, args->v_row, dst + t * args->dst_row, args->dst_row);
    for (; t < queries; t++)
        value_rows(
            1, width, alb_attention_f32_visible(args, query + t), scores + t * padded, padded, v, args->v_row,
            dst + t * args->dst_row, args->dst_row);
}

#endif
