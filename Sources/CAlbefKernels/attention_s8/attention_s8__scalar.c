// The definition of int8 attention.
#include "attention_s8.h"

#include "../common/functions.h"

#include <string.h>

static int32_t clamp(int32_t q, int32_t low, int32_t high) { return q < low ? low : q > high ? high : q; }

static float absolute_maximum(const float *x, size_t n, size_t stride) {
    float maximum = 0;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(x[i * stride]);
        maximum = a > maximum ? a : maximum;
    }
    return maximum;
}

/// Where byte `step` of the sum of `lane` lies among lanes of `steps` bytes each.
static size_t position(size_t lane, size_t step, size_t steps) {
    const size_t groups = alb_round_up(steps, ALB_ATTENTION_S8_GROUP) / ALB_ATTENTION_S8_GROUP;
    const size_t group = lane / ALB_ATTENTION_S8_LANES * groups + step / ALB_ATTENTION_S8_GROUP;
    return (group * ALB_ATTENTION_S8_LANES + lane % ALB_ATTENTION_S8_LANES) * ALB_ATTENTION_S8_GROUP +
           step % ALB_ATTENTION_S8_GROUP;
}

/// Quantises one lane and returns its scale and, where asked, the sum of its int8 values.
static float quantize_lane(const float *x, size_t stride, size_t steps, size_t lane, int8_t *dst, int32_t *sum) {
    const float maximum = absolute_maximum(x, steps, stride);
    const int zero = maximum < ALB_SMALLEST_RANGE;
    const float inverse = zero ? 0.0f : 127.0f / maximum;
    int32_t total = 0;
    for (size_t i = 0; i < steps; i++) {
        int32_t q = clamp(alb_rne(x[i * stride] * inverse), -127, 127);
        dst[position(lane, i, steps)] = (int8_t)q;
        total += q;
    }
    if (sum) *sum = total;
    return zero ? 0.0f : maximum / 127.0f;
}

void alb_attention_s8_quantize_keys__scalar(
    const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key) {
    const size_t lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    int8_t *dst = alb_s8_head_keys(kv, head);
    memset(dst + position(key, 0, kv->width), 0, ALB_ATTENTION_S8_LANES * alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP));
    for (size_t j = key; j < key + ALB_ATTENTION_S8_LANES; j++) {
        float scale = 0;
        int32_t sum = 0;
        if (j < kv->tokens) scale = quantize_lane(k + j * k_row, 1, kv->width, j, dst, &sum);
        kv->key_scales[head * lanes + j] = scale;
        kv->key_sums[head * lanes + j] = sum;
    }
}

void alb_attention_s8_quantize_values__scalar(
    const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel) {
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    int8_t *dst = alb_s8_head_values(kv, head);
    memset(dst + position(channel, 0, kv->tokens), 0, ALB_ATTENTION_S8_LANES * alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP));
    for (size_t c = channel; c < channel + ALB_ATTENTION_S8_LANES; c++)
        kv->value_scales[head * lanes + c] = c < kv->width ? quantize_lane(v + c, v_row, kv->tokens, c, dst, NULL) : 0.0f;
}

/// One row of q to uint8: scale and zero point.
static void quantize_query(const float *x, size_t n, uint8_t *q, float *scale, int32_t *zero) {
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const alb_row_quantization row = alb_quantization_of(low, high);
    for (size_t i = 0; i < n; i++) q[i] = alb_quantized(x[i], row);
    *scale = row.scale;
    *zero = row.zero_point;
}

/// rne(255 * 2^(x * factor)) for x <= 0.
static uint8_t probability(float x, alb_attention_s8_exponent exponent) {
    const float c = x > exponent.lowest ? x : exponent.lowest;
    const float shifted = fmaf(c, exponent.factor, ALB_ATTENTION_S8_SHIFT);
    const float r = fmaf(c, exponent.factor, -(shifted - ALB_ATTENTION_S8_SHIFT));
    float p = fmaf(ALB_ATTENTION_S8_C3, r, ALB_ATTENTION_S8_C2);
    p = fmaf(p, r, ALB_ATTENTION_S8_C1);
    p = fmaf(p, r, ALB_ATTENTION_S8_C0);
    // The low bits of `shifted` are n, in -16...0: it is added to the exponent of p.
    return (uint8_t)alb_rne(alb_float_of(alb_bits_of(p) + (int32_t)((uint32_t)alb_bits_of(shifted) << 23)));
}

static void attend(
    const float *x, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    const alb_attention_s8_scratch *scratch) {
    const size_t keys = kv->tokens, width = kv->width;
    float q_scale;
    int32_t zero;
    quantize_query(x, width, scratch->q, &q_scale, &zero);

    const int8_t *k = alb_s8_head_keys(kv, head);
    const float *key_scales = kv->key_scales + head * alb_round_up(keys, ALB_ATTENTION_S8_LANES);
    const int32_t *key_sums = kv->key_sums + head * alb_round_up(keys, ALB_ATTENTION_S8_LANES);
    float maximum = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
        int32_t sum = 0;
        for (size_t c = 0; c < width; c++) sum += (int32_t)scratch->q[c] * k[position(j, c, width)];
        sum -= zero * key_sums[j];
        const float score = (float)sum * key_scales[j];
        scratch->scores[j] = score;
        maximum = score > maximum ? score : maximum;
    }
    const alb_attention_s8_exponent exponent = alb_attention_s8_exponent_of(q_scale, scale);
    int32_t total = 0;
    for (size_t j = 0; j < keys; j++) {
        const uint8_t p = probability(scratch->scores[j] - maximum, exponent);
        scratch->p[j] = p;
        total += p;
    }

    const int8_t *v = alb_s8_head_values(kv, head);
    const float *value_scales = kv->value_scales + head * alb_round_up(width, ALB_ATTENTION_S8_LANES);
    const float inverse = 1.0f / (float)total;
    for (size_t c = 0; c < width; c++) {
        int32_t sum = 0;
        for (size_t j = 0; j < keys; j++) sum += (int32_t)scratch->p[j] * v[position(c, j, keys)];
        dst[c] = ((float)sum * value_scales[c]) * inverse;
    }
}

void alb_attention_s8_block__scalar(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    for (size_t t = 0; t < queries; t++) attend(q + t * q_row, kv, head, scale, dst + t * dst_row, scratch);
}
