#include "resample.h"

const alb_resample_variant alb_resample_table[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_resample_pack__avx512vnni, alb_resample_row__avx512vnni, alb_resample_add__avx512vnni},
    {ALB_ISA_AVX2, alb_resample_pack__avx2, alb_resample_row__avx2, alb_resample_add__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_resample_pack__neon, alb_resample_row__neon, alb_resample_add__neon},
#endif
    {ALB_ISA_SCALAR, alb_resample_pack__scalar, alb_resample_row__scalar, alb_resample_add__scalar},
};
