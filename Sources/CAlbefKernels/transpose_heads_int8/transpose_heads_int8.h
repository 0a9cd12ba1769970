#ifndef ALB_TRANSPOSE_HEADS_INT8_H
#define ALB_TRANSPOSE_HEADS_INT8_H

#include "../common/tiles.h"
#include "../common/variant.h"
#include "alb_pack.h"

/// Depth steps of one channel that lie together.
#define ALB_GROUP 4

/// Bytes of 16 channels over 16 inputs. They lie together in both layouts: in 16 vectors of 4 channels over 4 inputs, of which
/// each is transposed by itself and goes to where it lies in the transposed order of the vectors.
#define ALB_SQUARE (ALB_BLOCK * ALB_BLOCK)

typedef struct {
    size_t head_blocks;   ///< blocks of channels of a head
    size_t depth_blocks;  ///< blocks of inputs
    const int8_t *src;
    int8_t *values;
    float *scales;
    int32_t *sums;
} alb_transpose_heads;

/// Square n of a part, a block of inputs of a head. In each block of channels, consecutive parts read on where the last one
/// stopped.
static inline const int8_t *alb_square_of(const alb_transpose_heads *a, size_t part, size_t n) {
    const size_t head = part / a->depth_blocks, k = part % a->depth_blocks;
    return a->src + ((head * a->head_blocks + n) * a->depth_blocks + k) * ALB_SQUARE;
}

extern const alb_variant alb_transpose_heads_int8_table[];

// Parts are blocks of inputs of a head.
void alb_transpose_heads_int8__scalar(void *context, size_t begin, size_t end, int worker);
void alb_transpose_heads_int8__avx2(void *context, size_t begin, size_t end, int worker);
void alb_transpose_heads_int8__avx512vnni(void *context, size_t begin, size_t end, int worker);
void alb_transpose_heads_int8__neon(void *context, size_t begin, size_t end, int worker);

#endif
