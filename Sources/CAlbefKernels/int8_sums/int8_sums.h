/// Sums of products of bytes on ARM: rows of activations with one block of 16 channels. The int8 product and int8 attention
/// differ from one ARM instruction set to the next in these sums alone.
#ifndef ALB_INT8_SUMS_H
#define ALB_INT8_SUMS_H

#include <stddef.h>
#include <stdint.h>

/// Channels of a block, and neighbouring bytes of one channel in it.
#define ALB_SUMS_LANES 16
#define ALB_SUMS_GROUP 4

/// Groups that are summed before the next rows are met: 16 KiB of weights stay in the first-level cache meanwhile.
#define ALB_SUMS_CHUNK ((size_t)256)

/// sums[r][c] = sum_k (lhs[r][k] - offset) * rhs[c][k] in int32, exact, for 16 channels c and k below 4 * groups.
///
/// rhs is [groups][16][4] with values in -127...127: baseline NEON adds two products in 16 bits.
/// Reads and writes no byte outside of the operands.
typedef void (*alb_int8_sums_function)(
    size_t rows, size_t groups, const uint8_t *lhs, size_t lhs_stride, const int8_t *rhs, int32_t (*sums)[ALB_SUMS_LANES]);

typedef struct {
    alb_int8_sums_function run;
    int32_t offset;  ///< 128 where the instructions multiply signed bytes only, else 0
} alb_int8_sums;

extern const alb_int8_sums alb_int8_sums__neon;
extern const alb_int8_sums alb_int8_sums__dotprod;
extern const alb_int8_sums alb_int8_sums__i8mm;

/// The height of a band where `rows` rows, of which `done` are done, are cut into as few bands of at most `height` rows as
/// possible, none much lower than the others.
static inline size_t alb_band_height(size_t rows, size_t done, size_t height) {
    const size_t left = rows - done, bands = (left + height - 1) / height;
    return (left + bands - 1) / bands;
}

#endif
