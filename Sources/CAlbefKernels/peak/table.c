#include "peak.h"

const alb_peak_variant alb_peak_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, ALB_PEAK_CHAINS * 64.0, ALB_PEAK_CHAINS * 16.0, alb_peak_int8__avx512vnni, alb_peak_f32__avx512vnni},
    {ALB_ISA_AVXVNNI, ALB_PEAK_CHAINS * 32.0, ALB_PEAK_CHAINS * 8.0, alb_peak_int8__avxvnni, alb_peak_f32__avx2},
    {ALB_ISA_AVX2, ALB_PEAK_CHAINS * 32.0, ALB_PEAK_CHAINS * 8.0, alb_peak_int8__avx2, alb_peak_f32__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_I8MM, ALB_PEAK_CHAINS * 32.0, ALB_PEAK_CHAINS * 4.0, alb_peak_int8__i8mm, alb_peak_f32__neon},
    {ALB_ISA_DOTPROD, ALB_PEAK_CHAINS * 16.0, ALB_PEAK_CHAINS * 4.0, alb_peak_int8__dotprod, alb_peak_f32__neon},
    {ALB_ISA_NEON, ALB_PEAK_CHAINS * 16.0, ALB_PEAK_CHAINS * 4.0, alb_peak_int8__neon, alb_peak_f32__neon},
#endif
    {ALB_ISA_SCALAR, ALB_PEAK_CHAINS, ALB_PEAK_CHAINS, alb_peak_int8__scalar, alb_peak_f32__scalar},
};
