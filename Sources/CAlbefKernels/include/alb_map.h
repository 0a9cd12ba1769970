/// The project's own functions, element by element.
#ifndef ALB_MAP_H
#define ALB_MAP_H

#include <stddef.h>

#include "alb_isa.h"

typedef enum {
    ALB_FUNCTION_EXP = 0,        ///< +0 below -87, infinity above 88.72283; at most 2 ulp from exact
    ALB_FUNCTION_LOG = 1,        ///< -infinity at 0, NaN below; at most 2 ulp from exact
    ALB_FUNCTION_ERF = 2,        ///< +-1 from 4 on; at most 2e-7 from exact
    ALB_FUNCTION_GELU = 3,       ///< (0.5 x) (1 + erf(x * 0.70710678))
    ALB_FUNCTION_RELU = 4,       ///< max(x, 0)
    ALB_FUNCTION_GELU_INT8 = 5,  ///< that of int8 linear layers: x from 4 on, -0 from -4 down; at most 1.27e-4 from exact
} alb_function;

typedef struct {
    alb_function function;
    size_t m;                   ///< rows
    size_t n;                   ///< columns
    const float *_Nonnull src;  ///< m x n
    size_t src_stride;          ///< elements from row to row
    float *_Nonnull dst;        ///< m x n; may be src
    size_t dst_stride;          ///< elements from row to row
} alb_map_args;

/// Bits: equal on every ISA; NaN for NaN. Threads: rows are split. Reads and writes no byte outside of the buffers.
void alb_map_f32(alb_isa isa, int threads, const alb_map_args *_Nonnull args);

/// The variant that runs under a ceiling.
alb_isa alb_map_f32_variant(alb_isa ceiling);

#endif
