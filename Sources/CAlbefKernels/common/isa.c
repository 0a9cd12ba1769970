#include "alb_isa.h"

#if defined(__aarch64__)
#include <sys/auxv.h>

static bool has_dotprod(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

const char *alb_isa_name(alb_isa isa) {
    switch (isa) {
    case ALB_ISA_SCALAR: return "scalar";
    case ALB_ISA_AVX2: return "avx2";
    case ALB_ISA_AVXVNNI: return "avxvnni";
    case ALB_ISA_AVX512VNNI: return "avx512vnni";
    case ALB_ISA_NEON: return "neon";
    case ALB_ISA_DOTPROD: return "dotprod";
    case ALB_ISA_I8MM: return "i8mm";
    case ALB_ISA_COUNT: break;
    }
    return "unknown";
}

bool alb_isa_built(alb_isa isa) {
    switch (isa) {
    case ALB_ISA_SCALAR: return true;
#if defined(__x86_64__)
    case ALB_ISA_AVX2:
    case ALB_ISA_AVX512VNNI: return true;
#elif defined(__aarch64__)
    case ALB_ISA_NEON:
    case ALB_ISA_DOTPROD:
    case ALB_ISA_I8MM: return true;
#endif
    default: return false;
    }
}

bool alb_isa_supported(alb_isa isa) {
    if (!alb_isa_built(isa)) return false;
    switch (isa) {
    case ALB_ISA_SCALAR: return true;
#if defined(__x86_64__)
    case ALB_ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case ALB_ISA_AVX512VNNI:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    case ALB_ISA_NEON: return true;
    case ALB_ISA_DOTPROD: return has_dotprod();
    // Operations without an i8mm variant take the dotprod one.
    case ALB_ISA_I8MM: return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
    default: return false;
    }
}

alb_isa alb_isa_best(void) {
    for (int isa = ALB_ISA_COUNT - 1; isa > ALB_ISA_SCALAR; isa--)
        if (alb_isa_supported((alb_isa)isa)) return (alb_isa)isa;
    return ALB_ISA_SCALAR;
}
