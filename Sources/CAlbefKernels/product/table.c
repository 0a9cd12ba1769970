// Variants of the float product in order of preference, the reference last.
#include "product.h"

typedef struct {
    alb_isa isa;
    alb_product_tile tile;
} variant;

static const variant variants[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, alb_product_tile__avx512vnni},
    {ALB_ISA_AVX2, alb_product_tile__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, alb_product_tile__neon},
#endif
    {ALB_ISA_SCALAR, NULL},
};

static const variant *pick(alb_isa isa) {
    const variant *v = variants;
    while (v->isa > isa) v++;
    return v;
}

alb_product_tile alb_product_select(alb_isa isa) { return pick(isa)->tile; }

alb_isa alb_product_f32_variant(alb_isa ceiling) { return pick(ceiling)->isa; }
