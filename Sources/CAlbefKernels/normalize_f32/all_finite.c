#include <string.h>

#include "alb_rows.h"

bool alb_all_finite_f32(size_t m, size_t n, const float *src, size_t src_stride) {
    const uint32_t exponent = 0x7f800000u;
    for (size_t i = 0; i < m; i++) {
        // Integers only: no comparison with a NaN can be optimised away, and the loop becomes vector code on every ISA.
        uint32_t found = 0;
        for (size_t j = 0; j < n; j++) {
            uint32_t bits;
            memcpy(&bits, src + i * src_stride + j, sizeof bits);
            found |= (bits & exponent) == exponent;
        }
        if (found) return false;
    }
    return true;
}
