// Vector forms of the unpacking of int8 weights in order of preference. The float product that follows has its own table.
#include "linear_backward.h"

typedef struct {
    alb_isa isa;
    alb_unpack_channels unpack;
} variant;

static const variant variants[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_unpack_channels__avx512vnni},
    {ALB_ISA_AVX2, alb_unpack_channels__avx2},
#endif
    {ALB_ISA_SCALAR, NULL},
};

alb_unpack_channels alb_unpack_channels_select(alb_isa isa) {
    const variant *v = variants;
    while (v->isa > isa) v++;
    return v->unpack;
}
