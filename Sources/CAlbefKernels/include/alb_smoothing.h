/// Moves the range of a layer's inputs into its weights (SmoothQuant), by powers of two. Scalar: done once, at export.
///
/// y = (x / s) (W s): column c of W is multiplied by s_c, and whatever makes x_c is divided by it. As every s_c is a power of
/// two, each product of a float and a scale is exact (short of overflow and of denormals), so that float32 results keep their
/// bits; only what is quantised in between changes.
///
/// Source: Xiao et al., SmoothQuant, arXiv:2211.10438, with the scale rounded to a power of two.
#ifndef ALB_SMOOTHING_H
#define ALB_SMOOTHING_H

#include <stddef.h>
#include <stdint.h>

/// greatest[c] = max(greatest[c], |src[r][c]|) over all rows.
/// @param stride  Floats from one row of src to the next, at least columns.
void alb_column_absmax_f32(
    size_t rows, size_t columns, const float *_Nonnull src, size_t stride, float *_Nonnull greatest);

/// exponents[c] = log2 of the scale of column c: rne(share * log2(inputs[c]) - (1 - share) * log2(weights[c])), within
/// -24...24; 0 where inputs[c] or weights[c] is 0.
/// @param inputs   Greatest |x_c|, finite.
/// @param weights  Greatest |W[n][c]| over n, finite.
/// @param share    How much of the inputs' range moves, 0...1.
void alb_smoothing_exponents(
    size_t count, const float *_Nonnull inputs, const float *_Nonnull weights, float share, int32_t *_Nonnull exponents);

/// values[r][c] *= 2^exponents[c].
void alb_scale_columns_f32(size_t rows, size_t columns, float *_Nonnull values, const int32_t *_Nonnull exponents);

/// values[r][c] *= 2^-exponents[r].
void alb_unscale_rows_f32(size_t rows, size_t columns, float *_Nonnull values, const int32_t *_Nonnull exponents);

#endif
