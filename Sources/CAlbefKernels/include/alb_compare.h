/// Compares two lists of numbers in double precision. For reports; never part of an inference.
#ifndef ALB_COMPARE_H
#define ALB_COMPARE_H

#include <stddef.h>

typedef struct {
    double maximum_difference;  ///< max |a - b|; all four are NaN if any difference is
    double maximum_absolute;    ///< max |b|
    double cosine;              ///< of the angle between a and b; 1 when both are all zero, 0 when one is
    double pearson;             ///< correlation; 1 when both are constant, 0 when one is
} alb_comparison;

alb_comparison alb_compare_f32(size_t n, const float *_Nonnull a, const float *_Nonnull b);

#endif
