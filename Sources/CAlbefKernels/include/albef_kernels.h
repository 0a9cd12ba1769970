/// The kernels of albef: everything that computes on tensor data, in C, with equal bytes on every ISA and thread count.
/// One header an operation; docs and contracts stand there.
#ifndef ALBEF_KERNELS_H
#define ALBEF_KERNELS_H

#include "alb_isa.h"
#include "alb_threads.h"

#endif
