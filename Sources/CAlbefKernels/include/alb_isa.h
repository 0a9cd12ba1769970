/// Instruction sets: what was built, what this CPU supports, and which variant of an operation to take.
#ifndef ALB_ISA_H
#define ALB_ISA_H

#include <stdbool.h>

/// Instruction sets for which variants exist. Within an architecture a later one is preferred.
typedef enum {
    ALB_ISA_SCALAR = 0,
    ALB_ISA_AVX2 = 1,        ///< AVX2 with FMA
    ALB_ISA_AVXVNNI = 2,     ///< AVX2, FMA and AVX-VNNI
    ALB_ISA_AVX512VNNI = 3,  ///< AVX-512 F, BW, VL, DQ and VNNI
    ALB_ISA_NEON = 4,
    ALB_ISA_DOTPROD = 5,
    ALB_ISA_I8MM = 6,
    ALB_ISA_COUNT = 7
} alb_isa;

/// The name used on command lines, such as "avx512vnni"; "unknown" outside of the enumeration.
const char *_Nonnull alb_isa_name(alb_isa isa);

/// True when this build contains variants for the instruction set (another architecture's are not built).
bool alb_isa_built(alb_isa isa);

/// True when the instruction set is built and this CPU and its operating system run it.
bool alb_isa_supported(alb_isa isa);

/// The most preferred instruction set that is supported.
alb_isa alb_isa_best(void);

#endif
