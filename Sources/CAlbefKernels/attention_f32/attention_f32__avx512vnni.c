// A block of queries of one head: scores against panels of 16 packed keys, softmax row by row, then sums over the values.
// Tiles keep one accumulator an output in registers and run over the depth in order.
#include "attention_f32.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX512VNNI_FEATURES)

enum { ROWS = 8, SCORE_PANELS = 2, VALUE_VECTORS = 2 };

/// Scores of `rows` queries against `panels` panels of 16 keys.
static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, const size_t panels, size_t width, const float *q, size_t q_row, const float *packed, __m512 scale,
    float *scores, size_t padded) {
    __m512 sum[ROWS][SCORE_PANELS];
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_setzero_ps();
    for (size_t c = 0; c < width; c++) {
        __m512 k[SCORE_PANELS];
        for (size_t v = 0; v < panels; v++) k[v] = _mm512_load_ps(packed + (v * width + c) * 16);
        for (size_t i = 0; i < rows; i++) {
            const __m512 x = _mm512_set1_ps(q[i * q_row + c]);
            for (size_t v = 0; v < panels; v++) sum[i][v] = _mm512_fmadd_ps(x, k[v], sum[i][v]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t v = 0; v < panels; v++) _mm512_store_ps(scores + i * padded + v * 16, _mm512_mul_ps(sum[i][v], scale));
}

static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, size_t width, const float *q, size_t q_row, const float *packed, float *scores, size_t padded) {
    const __m512 scale = _mm512_set1_ps(alb_attention_scale(width));
    size_t j = 0;
    for (; j + 16 * SCORE_PANELS <= padded; j += 16 * SCORE_PANELS)
        score_tile(rows, SCORE_PANELS, width, q, q_row, packed + j * width, scale, scores + j, padded);
    if (j < padded) score_tile(rows, 1, width, q, q_row, packed + j * width, scale, scores + j, padded);
}

/// Scores to probabilities, over the first n of a row.
static void softmax_row(float *x, size_t n) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 top = lowest;
    for (size_t j = 0; j < n; j += 16)
        top = _mm512_max_ps(top, _mm512_mask_loadu_ps(lowest, alb_mask_avx512(n - j), x + j));
    const __m512 maximum = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 m = alb_mask_avx512(n - j);
        _mm512_mask_storeu_ps(x + j, m, alb_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + j), maximum)));
    }
    const __m512 total = _mm512_set1_ps(alb_r16_sum_avx512(x, n));
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 m = alb_mask_avx512(n - j);
        _mm512_mask_storeu_ps(x + j, m, _mm512_div_ps(_mm512_maskz_loadu_ps(m, x + j), total));
    }
}

/// Sums of `rows` rows of probabilities over n values, for `vectors` vectors of channels, the last of them masked.
static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, const size_t vectors, __mmask16 last, size_t n, const float *p, size_t padded, const float *v,
    size_t v_row, float *dst, size_t dst_row) {
    __m512 sum[ROWS][VALUE_VECTORS];
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < vectors; c++) sum[i][c] = _mm512_setzero_ps();
    for (size_t j = 0; j < n; j++) {
        __m512 x[VALUE_VECTORS];
        for (size_t c = 0; c < vectors; c++)
            x[c] = c + 1 < vectors ? _mm512_loadu_ps(v + j * v_row + 16 * c)
                                   : _mm512_maskz_loadu_ps(last, v + j * v_row + 16 * c);
        for (size_t i = 0; i < rows; i++) {
            const __m512 w = _mm512_set1_ps(p[i * padded + j]);
            for (size_t c = 0; c < vectors; c++) sum[i][c] = _mm512_fmadd_ps(w, x[c], sum[i][c]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < vectors; c++)
            _mm512_mask_storeu_ps(dst + i * dst_row + 16 * c, c + 1 < vectors ? (__mmask16)0xffff : last, sum[i][c]);
}

static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, size_t width, size_t n, const float *p, size_t padded, const float *v, size_t v_row, float *dst,
    size_t dst_row) {
    for (size_t c = 0; c < width; c += 16 * VALUE_VECTORS) {
        const size_t left = width - c;
        if (left > 16)
            value_tile(rows, 2, alb_mask_avx512(left - 16), n, p, padded, v + c, v_row, dst + c, dst_row);
        else
            value_tile(rows, 1, alb_mask_avx512(left), n, p, padded, v + c, v_row, dst + c, dst_row);
    }
}

// What whole tiles leave of a block: one tile of so many rows, since rows one by one would wait for each of their sums.
#define LESS_THAN_A_TILE(rows, CALL) \
    switch (rows) { \
    case 1: CALL(1); break; \
    case 2: CALL(2); break; \
    case 3: CALL(3); break; \
    case 4: CALL(4); break; \
    case 5: CALL(5); break; \
    case 6: CALL(6); break; \
    case 7: CALL(7); break; \
    }

void alb_attention_f32_block__avx512vnni(
    const alb_attention_f32_args *args, const float *packed, size_t head, size_t query, size_t queries, float *scores) {
    const size_t width = args->width, padded = alb_attention_f32_padded(args->keys);
    const float *q = args->q + query * args->q_row + head * width, *v = args->v + head * width;
    float *dst = args->dst + query * args->dst_row + head * width;
    size_t t = 0;
#define SCORES(rows) score_rows(rows, width, q + t * args->q_row, args->q_row, packed, scores + t * padded, padded)
    for (; t + ROWS <= queries; t += ROWS) SCORES(ROWS);
    LESS_THAN_A_TILE(queries - t, SCORES)

    for (t = 0; t < queries; t++) {
        const size_t n = alb_attention_f32_visible(args, query + t);
        softmax_row(scores + t * padded, n);
        if (args->probabilities) {
            float *row = args->probabilities + (head * args->queries + query + t) * args->keys;
            for (size_t j = 0; j < args->keys; j++) row[j] = j < n ? scores[t * padded + j] : 0.0f;
        }
    }

    t = 0;
#define VALUES(rows, n) \
    value_rows(rows, width, n, scores + t * padded, padded, v, args->v_row, dst + t * args->dst_row, args->dst_row)
    if (args->causal) {
        // Rows see different numbers of keys, so they go one by one.
        for (; t < queries; t++) VALUES(1, alb_attention_f32_visible(args, query + t));
        return;
    }
#define ALL_VALUES(rows) VALUES(rows, args->keys)
    for (; t + ROWS <= queries; t += ROWS) ALL_VALUES(ROWS);
    LESS_THAN_A_TILE(queries - t, ALL_VALUES)
}

ALB_TARGET_END
#endif
