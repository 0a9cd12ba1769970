// Variants of float attention in order of preference, the reference last.
#include "attention_f32.h"

static const alb_attention_f32_variant_entry variants[] = {
#if defined(__x86_64__)
    {ALB_ISA_AVX512VNNI, true, alb_attention_f32_block__avx512vnni},
    {ALB_ISA_AVX2, true, alb_attention_f32_block__avx2},
#elif defined(__aarch64__)
    {ALB_ISA_NEON, true, alb_attention_f32_block__neon},
#endif
    {ALB_ISA_SCALAR, false, alb_attention_f32_block__scalar},
};

const alb_attention_f32_variant_entry *alb_attention_f32_select(alb_isa isa) {
    const alb_attention_f32_variant_entry *variant = variants;
    while (variant->isa > isa) variant++;
    return variant;
}

alb_isa alb_attention_f32_variant(alb_isa ceiling) { return alb_attention_f32_select(ceiling)->isa; }
