#if defined(__x86_64__)

#define VARIANT(name) name##__avx2
#define FEATURES ALB_AVX2_FEATURES
#define ROWS 4
#define USE_VNNI 0

#include "attention_s8_256.h"

#endif
