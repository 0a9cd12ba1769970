// Int8 attention on ARM. The sums of products of bytes are what the instruction sets differ in; they come from int8_sums. Where
// these lower the unsigned factor by an offset, a query's zero point is lowered too, and the probabilities get theirs back from
// the sums of the values.
#include "attention_s8.h"

#if defined(__aarch64__)
#include <string.h>

#include "../common/functions.h"
#include "../common/quantization_neon.h"

enum { QUARTERS = ALB_ATTENTION_S8_LANES / 4 };

typedef int32_t block_sums[ALB_ATTENTION_S8_QUERIES][ALB_ATTENTION_S8_LANES];

// --- Quantisation

/// clamp(rne(x * inverse), -127, 127) of up to 16 elements, 0 behind the first n.
static inline int8x16_t symmetric(const float *x, size_t n, float32x4_t inverse) {
    const int16x8x2_t q = alb_scaled_neon(x, n, inverse);
    return vmaxq_s8(vcombine_s8(vqmovn_s16(q.val[0]), vqmovn_s16(q.val[1])), vdupq_n_s8(-127));
}

static float absolute_maximum(const float *x, size_t n) {
    float32x4_t top = vdupq_n_f32(0.0f);
    for (size_t i = 0; i < n; i += 4) top = vmaxnmq_f32(top, vabsq_f32(alb_load_neon(x + i, n - i)));
    return vmaxnmvq_f32(top);
}

/// Quantises one key, whose groups lie a panel's width apart, and returns its sum.
static int32_t quantize_key(const float *x, size_t width, float inverse, int8_t *dst) {
    const float32x4_t factor = vdupq_n_f32(inverse);
    int32_t total = 0;
    for (size_t c = 0; c < width; c += 16) {
        const int8x16_t q = symmetric(x + c, width - c, factor);
        int8_t bytes[16];
        vst1q_s8(bytes, q);
        total += vaddlvq_s8(q);
        for (size_t i = 0; i < 16 && c + i < width; i += ALB_ATTENTION_S8_GROUP)
            memcpy(dst + (c + i) * ALB_ATTENTION_S8_LANES, bytes + i, ALB_ATTENTION_S8_GROUP);
    }
    return total;
}

void alb_attention_s8_quantize_keys__neon(
    const float *k, size_t k_row, const alb_keys_values_s8 *kv, size_t head, size_t key) {
    const size_t width = kv->width, lanes = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(width, ALB_ATTENTION_S8_GROUP);
    int8_t *panel = alb_s8_head_keys(kv, head) + key * depth;
    for (size_t j = 0; j < ALB_ATTENTION_S8_LANES; j++) {
        float scale = 0.0f;
        int32_t sum = 0;
        int8_t *dst = panel + j * ALB_ATTENTION_S8_GROUP;
        if (key + j < kv->tokens) {
            const float *x = k + (key + j) * k_row;
            const float maximum = absolute_maximum(x, width);
            const int zero = maximum < ALB_SMALLEST_RANGE;
            sum = quantize_key(x, width, zero ? 0.0f : 127.0f / maximum, dst);
            scale = zero ? 0.0f : maximum / 127.0f;
        } else {
            for (size_t c = 0; c < depth; c += ALB_ATTENTION_S8_GROUP)
                memset(dst + c * ALB_ATTENTION_S8_LANES, 0, ALB_ATTENTION_S8_GROUP);
        }
        kv->key_scales[head * lanes + key + j] = scale;
        kv->key_sums[head * lanes + key + j] = sum;
    }
}

void alb_attention_s8_quantize_values__neon(
    const float *v, size_t v_row, const alb_keys_values_s8 *kv, size_t head, size_t channel) {
    const size_t tokens = kv->tokens, lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    const size_t padded = alb_round_up(tokens, ALB_ATTENTION_S8_GROUP);
    int8_t *panel = alb_s8_head_values(kv, head) + channel * padded;
    const int32x4_t lowest = vdupq_n_s32(-127), highest = vdupq_n_s32(127);
    for (size_t quarter = 0; quarter < QUARTERS; quarter++) {
        const size_t first = channel + 4 * quarter, present = alb_lanes_neon(first, kv->width);
        const float *x = v + first;
        float32x4_t top = vdupq_n_f32(0.0f);
        for (size_t j = 0; j < tokens; j++) top = vmaxnmq_f32(top, vabsq_f32(alb_load_neon(x + j * v_row, present)));
        const uint32x4_t used = vcgeq_f32(top, vdupq_n_f32(ALB_SMALLEST_RANGE));
        const float32x4_t none = vdupq_n_f32(0.0f), limit = vdupq_n_f32(127.0f);
        const float32x4_t inverse = vbslq_f32(used, vdivq_f32(limit, top), none);
        vst1q_f32(kv->value_scales + head * lanes + first, vbslq_f32(used, vdivq_f32(top, limit), none));
        for (size_t j = 0; j < padded; j += ALB_ATTENTION_S8_GROUP) {
            int32x4_t q[ALB_ATTENTION_S8_GROUP];
            for (size_t i = 0; i < ALB_ATTENTION_S8_GROUP; i++) {
                q[i] = vdupq_n_s32(0);
                if (j + i < tokens)
                    q[i] = alb_rne_neon(vmulq_f32(alb_load_neon(x + (j + i) * v_row, present), inverse));
                q[i] = vminq_s32(vmaxq_s32(q[i], lowest), highest);
            }
            // Shift and insert: the low bytes of four tokens side by side in each channel's lane.
            const int32x4_t low = vsliq_n_s32(q[0], q[1], 8), high = vsliq_n_s32(q[2], q[3], 8);
            const int8x16_t bytes = vreinterpretq_s8_s32(vsliq_n_s32(low, high, 16));
            vst1q_s8(panel + j * ALB_ATTENTION_S8_LANES + quarter * 16, bytes);
        }
    }
}

// --- Products

static void score_rows(
    size_t queries, const alb_keys_values_s8 *kv, size_t head, const alb_attention_s8_scratch *scratch,
    const alb_int8_sums *product) {
    const size_t padded = alb_round_up(kv->tokens, ALB_ATTENTION_S8_LANES);
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    const int8_t *keys = alb_s8_head_keys(kv, head);
    block_sums sums;
    for (size_t key = 0; key < padded; key += ALB_ATTENTION_S8_LANES) {
        product->run(queries, depth / ALB_ATTENTION_S8_GROUP, scratch->q, depth, keys + key * depth, sums);
        const float *key_scales = kv->key_scales + head * padded + key;
        const int32_t *key_sums = kv->key_sums + head * padded + key;
        for (size_t t = 0; t < queries; t++) {
            const int32x4_t zero_point = vdupq_n_s32(scratch->q_zeros[t] - product->offset);
            float *u = scratch->scores + t * alb_s8_row_length(kv->tokens) + key;
#pragma clang loop unroll(full)
            for (int i = 0; i < QUARTERS; i++) {
                const int32x4_t s = vmlsq_s32(vld1q_s32(sums[t] + 4 * i), zero_point, vld1q_s32(key_sums + 4 * i));
                vst1q_f32(u + 4 * i, vmulq_f32(vcvtq_f32_s32(s), vld1q_f32(key_scales + 4 * i)));
            }
        }
    }
}

/// rne(255 * 2^(x * factor)) of four x that are at most 0, in the scalar's sequence of operations.
static inline uint32x4_t probability(float32x4_t x, float32x4_t factor, float32x4_t lowest) {
    const float32x4_t shift = vdupq_n_f32(ALB_ATTENTION_S8_SHIFT);
    const float32x4_t c = vmaxnmq_f32(x, lowest);
    const float32x4_t shifted = vfmaq_f32(shift, c, factor);
    const float32x4_t r = vfmaq_f32(vsubq_f32(shift, shifted), c, factor);
    float32x4_t p = vfmaq_f32(vdupq_n_f32(ALB_ATTENTION_S8_C2), vdupq_n_f32(ALB_ATTENTION_S8_C3), r);
    p = vfmaq_f32(vdupq_n_f32(ALB_ATTENTION_S8_C1), p, r);
    p = vfmaq_f32(vdupq_n_f32(ALB_ATTENTION_S8_C0), p, r);
    const int32x4_t bits = vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23));
    return vcvtnq_u32_f32(vreinterpretq_f32_s32(bits));
}

/// Sixteen scores to bytes.
static inline uint8x16_t probabilities(const float *u, float32x4_t maximum, float32x4_t factor, float32x4_t lowest) {
    uint16x4_t bytes[QUARTERS];
#pragma clang loop unroll(full)
    for (int i = 0; i < QUARTERS; i++)
        bytes[i] = vmovn_u32(probability(vsubq_f32(vld1q_f32(u + 4 * i), maximum), factor, lowest));
    return vcombine_u8(
        vmovn_u16(vcombine_u16(bytes[0], bytes[1])), vmovn_u16(vcombine_u16(bytes[2], bytes[3])));
}

static float greatest(const float *x, size_t n) {
    float32x4_t top[QUARTERS];
    for (int i = 0; i < QUARTERS; i++) top[i] = vdupq_n_f32(-INFINITY);
    size_t j = 0;
    for (; j + 16 <= n; j += 16)
#pragma clang loop unroll(full)
        for (int i = 0; i < QUARTERS; i++) top[i] = vmaxq_f32(top[i], vld1q_f32(x + j + 4 * i));
    float maximum = vmaxvq_f32(vmaxq_f32(vmaxq_f32(top[0], top[1]), vmaxq_f32(top[2], top[3])));
    for (; j < n; j++) maximum = x[j] > maximum ? x[j] : maximum;
    return maximum;
}

/// Scores of a whole row to bytes, 0 behind the last key, and the reciprocal of their sum.
static void softmax_row(size_t row, size_t n, float scale, const alb_attention_s8_scratch *scratch) {
    static const uint8_t order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const alb_attention_s8_exponent exponent = alb_attention_s8_exponent_of(scratch->q_scales[row], scale);
    const float32x4_t factor = vdupq_n_f32(exponent.factor), lowest = vdupq_n_f32(exponent.lowest);
    const float *u = scratch->scores + row * alb_s8_row_length(n);
    uint8_t *p = scratch->p + row * alb_s8_row_length(n);
    const float32x4_t maximum = vdupq_n_f32(greatest(u, n));
    uint32x4_t sum = vdupq_n_u32(0);
    for (size_t j = 0; j < n; j += 16) {
        uint8x16_t bytes = probabilities(u + j, maximum, factor, lowest);
        if (n - j < 16) bytes = vandq_u8(bytes, vcltq_u8(vld1q_u8(order), vdupq_n_u8((uint8_t)(n - j))));
        sum = vpadalq_u16(sum, vpaddlq_u8(bytes));
        vst1q_u8(p + j, bytes);
    }
    scratch->inverses[row] = 1.0f / (float)(int32_t)vaddvq_u32(sum);
}

static void value_rows(
    size_t queries, const alb_keys_values_s8 *kv, size_t head, float *dst, size_t dst_row,
    const alb_attention_s8_scratch *scratch, const alb_int8_sums *product) {
    const size_t length = alb_s8_row_length(kv->tokens);
    const size_t depth = alb_round_up(kv->tokens, ALB_ATTENTION_S8_GROUP), groups = depth / ALB_ATTENTION_S8_GROUP;
    const size_t lanes = alb_round_up(kv->width, ALB_ATTENTION_S8_LANES);
    // The scores are done with: a row that stands for ones takes the sums of the values, by the product itself.
    uint8_t *ones = (uint8_t *)scratch->scores;
    if (product->offset) memset(ones, product->offset + 1, depth);
    int32_t value_sums[1][ALB_ATTENTION_S8_LANES] = {{0}};
    block_sums sums;
    for (size_t channel = 0; channel < lanes; channel += ALB_ATTENTION_S8_LANES) {
        const int8_t *values = alb_s8_head_values(kv, head) + channel * depth;
        product->run(queries, groups, scratch->p, length, values, sums);
        if (product->offset) product->run(1, groups, ones, depth, values, value_sums);
        const float *scales = kv->value_scales + head * lanes + channel;
        for (size_t i = 0; i < ALB_ATTENTION_S8_LANES && channel + i < kv->width; i += 4) {
            const int32x4_t lowered = vmulq_n_s32(vld1q_s32(value_sums[0] + i), product->offset);
            for (size_t t = 0; t < queries; t++) {
                const int32x4_t sum = vaddq_s32(vld1q_s32(sums[t] + i), lowered);
                const float32x4_t y = vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(scales + i));
                alb_store_neon(
                    dst + t * dst_row + channel + i, vmulq_n_f32(y, scratch->inverses[t]), kv->width - channel - i);
            }
        }
    }
}

void alb_attention_s8_block_neon(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch, const alb_int8_sums *product) {
    const size_t depth = alb_round_up(kv->width, ALB_ATTENTION_S8_GROUP);
    for (size_t t = 0; t < queries; t++) {
        const alb_row_quantization row = alb_quantize_row_neon(q + t * q_row, kv->width, scratch->q + t * depth, depth);
        scratch->q_scales[t] = row.scale;
        scratch->q_zeros[t] = row.zero_point;
    }
    score_rows(queries, kv, head, scratch, product);
    for (size_t t = 0; t < queries; t++) softmax_row(t, kv->tokens, scale, scratch);
    value_rows(queries, kv, head, dst, dst_row, scratch, product);
}

void alb_attention_s8_block__neon(
    size_t queries, const float *q, size_t q_row, const alb_keys_values_s8 *kv, size_t head, float scale, float *dst,
    size_t dst_row, const alb_attention_s8_scratch *scratch) {
    alb_attention_s8_block_neon(queries, q, q_row, kv, head, scale, dst, dst_row, scratch, &alb_int8_sums__neon);
}

#endif
