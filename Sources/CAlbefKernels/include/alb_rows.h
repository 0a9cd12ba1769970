/// Operations on whole rows: softmax, the log-probability of one entry, unit length, sums, and the check for finite values.
#ifndef ALB_ROWS_H
#define ALB_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alb_isa.h"

/// What every operation on rows takes.
typedef struct {
    size_t m;                       ///< rows
    size_t n;                       ///< columns, at least 1
    const float *_Nonnull src;      ///< m x n
    size_t src_stride;              ///< elements from row to row
    const int32_t *_Nullable ids;   ///< each in 0...n-1; for the log-probability
    const int32_t *_Nullable id_ends;  ///< m entries: ids below id_ends[i], from id_ends[i - 1] on, are of row i; NULL: one a row
    float *_Nonnull dst;            ///< m x n, may be src; for the log-probability an element an id, for the sum m x 1
    size_t dst_stride;              ///< elements from row to row
} alb_rows_args;

/// dst = e / R16(e), e = exp(x - max x). Bits equal on every ISA; rows are split over threads.
void alb_softmax_f32(alb_isa isa, int threads, const alb_rows_args *_Nonnull args);

/// dst = (x[id] - max x) - log(R16(exp(x - max x))) for each id of the row. Bits equal on every ISA; rows are split over
/// threads.
void alb_log_softmax_gather_f32(alb_isa isa, int threads, const alb_rows_args *_Nonnull args);

/// dst = x / max(sqrt(R16(x * x)), 1e-12). Bits equal on every ISA; rows are split over threads.
void alb_l2_normalize_f32(alb_isa isa, int threads, const alb_rows_args *_Nonnull args);

/// dst[row] = R16(x). Bits equal on every ISA; rows are split over threads.
void alb_sum_f32(alb_isa isa, int threads, const alb_rows_args *_Nonnull args);

/// The variants that run under a ceiling.
alb_isa alb_softmax_f32_variant(alb_isa ceiling);
alb_isa alb_l2_normalize_f32_variant(alb_isa ceiling);

/// True when none of the m x n values is an infinity or a NaN.
bool alb_all_finite_f32(size_t m, size_t n, const float *_Nonnull src, size_t src_stride);

#endif
