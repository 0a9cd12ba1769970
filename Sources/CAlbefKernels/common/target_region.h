/// Turns an instruction set on for the functions of one file, so that the rest of the build stays plain.
///
/// Use: include <immintrin.h> or <arm_neon.h> first, then ALB_TARGET_BEGIN("avx2,fma") ... ALB_TARGET_END. No OpenMP inside: an
/// outlined region would lose the target.
#ifndef ALB_TARGET_REGION_H
#define ALB_TARGET_REGION_H

#pragma STDC FP_CONTRACT OFF

#define ALB_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ALB_TARGET_BEGIN(features) ALB_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define ALB_TARGET_END _Pragma("clang attribute pop")
#else
#error "the kernels are built with clang: other compilers contract floating point differently"
#endif

#define ALB_AVX2_FEATURES "avx2,fma"
#define ALB_AVX512VNNI_FEATURES "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"
// Baseline NEON belongs to every ARM64 CPU and needs no region.
#define ALB_DOTPROD_FEATURES "dotprod"
#define ALB_I8MM_FEATURES "i8mm,dotprod"

#endif
