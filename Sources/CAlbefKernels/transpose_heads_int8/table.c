#include "transpose_heads_int8.h"

const alb_variant alb_transpose_heads_int8_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_transpose_heads_int8__avx512vnni},
    {ALB_ISA_AVX2, alb_transpose_heads_int8__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_transpose_heads_int8__neon},
#endif
    {ALB_ISA_SCALAR, alb_transpose_heads_int8__scalar},
};

alb_isa alb_transpose_heads_int8_variant(alb_isa ceiling) { return alb_select(alb_transpose_heads_int8_table, ceiling)->isa; }
