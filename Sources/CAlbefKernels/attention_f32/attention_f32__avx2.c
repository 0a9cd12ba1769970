// A block of queries of one head: scores against panels of 16 packed keys, softmax row by row, then sums over the values.
// Tiles keep one accumulator an output in registers and run over the depth in order.
#include "attention_f32.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "../common/functions.h"
#include "../common/reduce.h"

ALB_TARGET_BEGIN(ALB_AVX2_FEATURES)

enum { ROWS = 4 };

/// Scores of `rows` queries against one panel of 16 keys.
static inline __attribute__((always_inline)) void score_tile(
    const size_t rows, size_t width, const float *q, size_t q_row, const float *packed, __m256 scale, float *scores,
    size_t padded) {
    __m256 sum[ROWS][2];
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (size_t c = 0; c < width; c++) {
        const __m256 low = _mm256_load_ps(packed + c * 16), high = _mm256_load_ps(packed + c * 16 + 8);
        for (size_t i = 0; i < rows; i++) {
            const __m256 x = _mm256_broadcast_ss(q + i * q_row + c);
            sum[i][0] = _mm256_fmadd_ps(x, low, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(x, high, sum[i][1]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++) _mm256_store_ps(scores + i * padded + 8 * v, _mm256_mul_ps(sum[i][v], scale));
}

static inline __attribute__((always_inline)) void score_rows(
    const size_t rows, size_t width, const float *q, size_t q_row, const float *packed, float *scores, size_t padded) {
    const __m256 scale = _mm256_set1_ps(alb_attention_scale(width));
    for (size_t j = 0; j < padded; j += 16)
        score_tile(rows, width, q, q_row, packed + j * width, scale, scores + j, padded);
}

static inline __m256i mask_from(size_t i, size_t n) { return alb_mask_avx2(alb_lanes_avx2(i, n)); }

/// Scores to probabilities, over the first n of a row.
static void softmax_row(float *x, size_t n) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 top = lowest;
    for (size_t j = 0; j < n; j += 8) {
        const __m256i m = mask_from(j, n);
        top = _mm256_max_ps(top, _mm256_blendv_ps(lowest, _mm256_maskload_ps(x + j, m), _mm256_castsi256_ps(m)));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    const __m256 maximum = _mm256_set1_ps(_mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1))));
    for (size_t j = 0; j < n; j += 8) {
        const __m256i m = mask_from(j, n);
        _mm256_maskstore_ps(x + j, m, alb_exp_avx2(_mm256_sub_ps(_mm256_maskload_ps(x + j, m), maximum)));
    }
    const __m256 total = _mm256_set1_ps(alb_r16_sum_avx2(x, n));
    for (size_t j = 0; j < n; j += 8) {
        const __m256i m = mask_from(j, n);
        _mm256_maskstore_ps(x + j, m, _mm256_div_ps(_mm256_maskload_ps(x + j, m), total));
    }
}

/// Sums of `rows` rows of probabilities over n values, for the 16 or fewer channels under two masks.
static inline __attribute__((always_inline)) void value_tile(
    const size_t rows, size_t channels, size_t n, const float *p, size_t padded, const float *v, size_t v_row, float *dst,
    size_t dst_row) {
    const __m256i m0 = mask_from(0, channels), m1 = mask_from(8, channels);
    __m256 sum[ROWS][2];
    for (size_t i = 0; i < rows; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (size_t j = 0; j < n; j++) {
        const __m256 low = _mm256_maskload_ps(v + j * v_row, m0), high = _mm256_maskload_ps(v + j * v_row + 8, m1);
        for (size_t i = 0; i < rows; i++) {
            const __m256 w = _mm256_broadcast_ss(p + i * padded + j);
            sum[i][0] = _mm256_fmadd_ps(w, low, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(w, high, sum[i][1]);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        _mm256_maskstore_ps(dst + i * dst_row, m0, sum[i][0]);
        _mm256_maskstore_ps(dst + i * dst_row + 8, m1, sum[i][1]);
    }
}

static inline __attribute__((always_inline)) void value_rows(
    const size_t rows, size_t width, size_t n, const float *p, size_t padded, const float *v, size_t v_row, float *dst,
    size_t dst_row) {
    for (size_t c = 0; c < width; c += 16)
        value_tile(rows, width - c < 16 ? width - c : 16, n, p, padded, v + c, v_row, dst + c, dst_row);
}

void alb_attention_f32_block__avx2(
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

ALB_TARGET_END
#endif
