/// Resizing of 8-bit RGB pictures as Pillow's bicubic does it, bit for bit.
#ifndef ALB_RESAMPLE_H
#define ALB_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "alb_isa.h"

/// The greatest width or height of a result.
#define ALB_RESAMPLE_MAXIMUM 65536

/// Bytes of scratch that alb_resample_rgb needs; bounded by the result's size and 16 MiB, however large the source is.
size_t alb_resample_rgb_scratch(int threads, size_t src_width, size_t src_height, size_t dst_width, size_t dst_height);

/// Resizes with Pillow's bicubic filter (a = -0.5), which widens with the scale when shrinking.
///
/// Two passes, each rounded to 8 bits; a pass whose size does not change is left out. The horizontal one is first, but
/// not where src_height > 100 * src_width and the height shrinks. For output x of n_out from n_in, in double precision:
///
///     scale = n_in / n_out, f = max(scale, 1), centre = (x + 0.5) * scale
///     first = max(0, trunc(centre - 2 f + 0.5)), end = min(n_in, trunc(centre + 2 f + 0.5))
///     weight of input j = C((j - centre + 0.5) * (1 / f)) / sum of these
///
/// Weights become integers with 22 bits behind the point, rounded half away from zero; a result is
/// clamp((2^21 + sum) >> 22, 0, 255).
///
/// @param[in]  isa      Ceiling for the variant; the bytes are equal for all, since after the weights all is integer.
/// @param[in]  src      Rows of src_width * 3 bytes, src_height of them; both from 1 to 2^31 - 1.
/// @param[out] dst      Rows of dst_width * 3 bytes; both from 1 to ALB_RESAMPLE_MAXIMUM. Must not overlap src.
/// @param      scratch  alb_resample_rgb_scratch bytes, 64-byte aligned.
void alb_resample_rgb(
    alb_isa isa, int threads, const uint8_t *_Nonnull src, size_t src_width, size_t src_height, uint8_t *_Nonnull dst,
    size_t dst_width, size_t dst_height, void *_Nonnull scratch);

/// The variant that runs under a ceiling.
alb_isa alb_resample_rgb_variant(alb_isa ceiling);

#endif
