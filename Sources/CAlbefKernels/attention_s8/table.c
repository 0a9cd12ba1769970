// Variants of int8 attention in order of preference, the reference last.
#include "attention_s8.h"

#define ENTRY(isa, height, suffix)                                                                          \
    {                                                                                                       \
        isa, height, alb_attention_s8_quantize_keys__##suffix, alb_attention_s8_quantize_values__##suffix,  \
            alb_attention_s8_block__##suffix                                                                \
    }

static const alb_attention_s8_variant_entry variants[] = {
#if defined(__x86_64__)
    ENTRY(ALB_ISA_AVX512VNNI, 2 * ALB_ATTENTION_S8_STEP, avx512vnni),
    ENTRY(ALB_ISA_AVXVNNI, ALB_ATTENTION_S8_QUERIES, avxvnni),
    ENTRY(ALB_ISA_AVX2, ALB_ATTENTION_S8_QUERIES, avx2),
#elif defined(__aarch64__)
    {ALB_ISA_I8MM, ALB_ATTENTION_S8_QUERIES, alb_attention_s8_quantize_keys__neon, alb_attention_s8_quantize_values__neon,
     alb_attention_s8_block__i8mm},
    {ALB_ISA_DOTPROD, ALB_ATTENTION_S8_QUERIES, alb_attention_s8_quantize_keys__neon, alb_attention_s8_quantize_values__neon,
     alb_attention_s8_block__dotprod},
    ENTRY(ALB_ISA_NEON, ALB_ATTENTION_S8_QUERIES, neon),
#endif
    ENTRY(ALB_ISA_SCALAR, ALB_ATTENTION_S8_QUERIES, scalar),
};

const alb_attention_s8_variant_entry *alb_attention_s8_select(alb_isa isa) {
    const alb_attention_s8_variant_entry *variant = variants;
    while (variant->isa > isa) variant++;
    return variant;
}

alb_isa alb_attention_s8_variant(alb_isa ceiling) { return alb_attention_s8_select(ceiling)->isa; }
