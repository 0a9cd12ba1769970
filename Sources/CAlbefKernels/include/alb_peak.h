/// What this machine can do at most: loops that only multiply and add in registers, or only read memory. The yardstick for the
/// kernels' speed; the caller takes the time.
#ifndef ALB_PEAK_H
#define ALB_PEAK_H

#include <stddef.h>

#include "alb_isa.h"

/// Multiplies and adds int8 values in registers on `threads` workers, in the way of the int8 product's variant.
/// @param steps  Rounds of each worker; a round is some dozens of instructions.
/// @return       Multiply-adds done by all workers.
double alb_peak_int8(alb_isa isa, int threads, size_t steps);

/// The same with float32 values and fused multiply-adds.
double alb_peak_f32(alb_isa isa, int threads, size_t steps);

/// Reads a buffer once, split over `threads` workers.
/// @param count  Bytes; a multiple of 64.
/// @return       Bytes read: count.
double alb_peak_read(int threads, const void *_Nonnull src, size_t count);

#endif
