#include "alb_compare.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/// The quotient of a mixed and two square sums; two vectors of length zero count as equal.
static double ratio(double mixed, double first, double second) {
    if (first == 0.0 && second == 0.0) return 1.0;
    if (first == 0.0 || second == 0.0) return 0.0;
    return mixed / (sqrt(first) * sqrt(second));
}

alb_comparison alb_compare_f32(size_t n, const float *a, const float *b) {
    alb_comparison result = {0.0, 0.0, 1.0, 1.0};
    double ab = 0.0, aa = 0.0, bb = 0.0, mean_a = 0.0, mean_b = 0.0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i], difference = fabs(x - y);
        if (difference != difference) return (alb_comparison){NAN, NAN, NAN, NAN};
        if (difference > result.maximum_difference) result.maximum_difference = difference;
        if (fabs(y) > result.maximum_absolute) result.maximum_absolute = fabs(y);
        ab += x * y;
        aa += x * x;
        bb += y * y;
        mean_a += x;
        mean_b += y;
    }
    if (n == 0) return result;
    result.cosine = ratio(ab, aa, bb);
    mean_a /= (double)n;
    mean_b /= (double)n;
    double centred_ab = 0.0, centred_aa = 0.0, centred_bb = 0.0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i] - mean_a, y = (double)b[i] - mean_b;
        centred_ab += x * y;
        centred_aa += x * x;
        centred_bb += y * y;
    }
    result.pearson = ratio(centred_ab, centred_aa, centred_bb);
    return result;
}
