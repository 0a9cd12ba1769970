/// What is done with a heatmap once it is computed: upsampling, scores of boxes, the region it points at, and its picture.
///
/// Every operation here is plain IEEE arithmetic in a fixed order, never fused, so one implementation gives the same bytes
/// everywhere. Maps are row-major f32.
#ifndef ALB_HEATMAP_H
#define ALB_HEATMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Floats of scratch that alb_upsample_f32 needs.
size_t alb_upsample_f32_scratch(size_t rows, size_t dst_columns);

/// Cubic convolution with a = -0.75, half-pixel centres, edges repeated, no antialiasing: PyTorch's
/// interpolate(mode="bicubic", align_corners=False).
///
/// Horizontal pass first. Weights are computed in double precision and rounded to f32; a result is
/// ((w0 v0 + w1 v1) + w2 v2) + w3 v3, taps ascending.
/// @param[in]  src      rows x columns, both at least 1.
/// @param[out] dst      dst_rows x dst_columns.
/// @param      scratch  alb_upsample_f32_scratch floats, 64-byte aligned.
void alb_upsample_f32(
    int threads, const float *_Nonnull src, size_t rows, size_t columns, float *_Nonnull dst, size_t dst_rows,
    size_t dst_columns, float *_Nonnull scratch);

/// Scores of boxes: the sum of map[int(y) : int(y + h), int(x) : int(x + w)] over sqrt(w * h), as ALBEF ranks proposals.
///
/// Bounds are truncated toward zero and cut at the map's edges; the area is that of the untruncated box. A row's sum is
/// R16, rows are added in ascending order. A box without area or with a value that is not finite scores 0.
/// @param[in]  boxes   count x (x, y, w, h) in pixels of the map.
/// @param[out] scores  count
void alb_box_scores_f32(
    int threads, const float *_Nonnull map, size_t rows, size_t columns, const double *_Nonnull boxes, size_t count,
    float *_Nonnull scores);

/// The bounds of the largest 4-connected region whose values are at least half of the map's maximum. Of two regions of equal
/// size the one that begins first, row by row, counts.
/// @param      labels  Scratch, rows * columns; rows * columns is below 2^31.
/// @param[out] box     x, y, width, height.
/// @return False where no value is above 0.
bool alb_heatmap_region(
    const float *_Nonnull map, size_t rows, size_t columns, int32_t *_Nonnull labels, size_t box[_Nonnull 4]);

/// Scales a map to [0, 1]: (x - min) * (1 / (max - min)); a constant map becomes 0.
void alb_rescale_f32(float *_Nonnull map, size_t count);

/// Floats of scratch that alb_blur_f32 needs.
size_t alb_blur_f32_scratch(size_t rows, size_t columns, float sigma);

/// Gaussian blur in place, columns first, cut at 4 sigma, edges mirrored (the edge value is repeated).
/// @param      sigma    In pixels, above 0 and at most 64.
/// @param      scratch  alb_blur_f32_scratch floats.
void alb_blur_f32(
    int threads, float *_Nonnull map, size_t rows, size_t columns, float sigma, float *_Nonnull scratch);

/// Draws a map over a picture: (1 - m^0.7) * picture + m^0.7 * jet(m), rounded half up; m in 4096 levels.
/// @param[in]  map  One value in [0, 1] a pixel; values outside are clamped.
/// @param[in]  src  RGB, count pixels.
/// @param[out] dst  RGB, may be src.
void alb_overlay_rgb(
    int threads, const float *_Nonnull map, const uint8_t *_Nonnull src, size_t count, uint8_t *_Nonnull dst);

#endif
