/// What the files of this operation share.
#ifndef ALB_RESAMPLE_INTERNAL_H
#define ALB_RESAMPLE_INTERNAL_H

#include "../common/target_region.h"
#include "alb_isa.h"
#include "alb_resample.h"

#define ALB_RESAMPLE_BITS 22

/// Which inputs make one output, and what their weights are computed from.
typedef struct {
    size_t first, count;
    double centre;
    double inverse;  ///< 1 / filter scale
    double sum;      ///< of the weights before they are normalised
} alb_resample_span;

/// Fills the spans of one axis.
void alb_resample_spans(size_t n_src, size_t n_dst, alb_resample_span *spans);

/// The fixed-point weight of input j for a span.
int32_t alb_resample_weight(const alb_resample_span *span, size_t j);

static inline uint8_t alb_resample_clamp(int32_t sum) {
    int32_t value = sum >> ALB_RESAMPLE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static inline int32_t alb_resample_half(void) { return 1 << (ALB_RESAMPLE_BITS - 1); }

/// Taps are padded to a multiple of this, so that every variant's form of the weights fits 4 bytes a tap.
#define ALB_RESAMPLE_TAPS 16

/// Stores the weights of one output in a variant's own form, zero behind the span's count.
/// @param[out] weights  taps * 4 bytes, 64-byte aligned; taps is a multiple of ALB_RESAMPLE_TAPS.
typedef void (*alb_resample_pack_function)(const alb_resample_span *span, size_t taps, void *weights);

/// One picture row to dst_width pixels. Reads no byte outside of the row.
/// @param[in] weights  dst_width times what the variant's pack function stored.
typedef void (*alb_resample_row_function)(
    const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,
    const void *weights, size_t taps);

/// sums[i] += weight * src[i]
typedef void (*alb_resample_add_function)(const uint8_t *src, int32_t weight, int32_t *sums, size_t count);

/// The inner loops of one instruction set.
typedef struct {
    alb_isa isa;
    alb_resample_pack_function pack;
    alb_resample_row_function row;
    alb_resample_add_function add;
} alb_resample_variant;

extern const alb_resample_variant alb_resample_table[];

#define ALB_RESAMPLE_DECLARE(isa)                                                                                          \
    void alb_resample_pack__##isa(const alb_resample_span *span, size_t taps, void *weights);                              \
    void alb_resample_row__##isa(                                                                                          \
        const uint8_t *src, size_t src_width, uint8_t *dst, size_t dst_width, const alb_resample_span *spans,              \
        const void *weights, size_t taps);                                                                                 \
    void alb_resample_add__##isa(const uint8_t *src, int32_t weight, int32_t *sums, size_t count);

ALB_RESAMPLE_DECLARE(scalar)
ALB_RESAMPLE_DECLARE(avx2)
ALB_RESAMPLE_DECLARE(avx512vnni)
ALB_RESAMPLE_DECLARE(neon)

#endif
