#if defined(__x86_64__)

#define VARIANT(name) name##__avxvnni
#define FEATURES ALB_AVXVNNI_FEATURES
#define ROWS 6
#define USE_VNNI 1

#include "attention_s8_256.h"

#endif
