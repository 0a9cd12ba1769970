/// How an operation finds its variant: a table from the most to the least preferred, the scalar reference last.
#ifndef ALB_VARIANT_H
#define ALB_VARIANT_H

#include "alb_isa.h"
#include "alb_threads.h"

/// One variant: the part function that alb_parallel_for runs; its context is the operation's argument structure.
typedef struct {
    alb_isa isa;
    alb_part_function run;
} alb_variant;

/// The first variant at or below the ceiling, which the CPU must support. Every table ends with the scalar one, so there
/// always is one.
static inline const alb_variant *alb_select(const alb_variant *table, alb_isa ceiling) {
    while (table->isa > ceiling) table++;
    return table;
}

/// Parts a worker should get at least, so that starting it (about 1.5 us) pays: `work` is what one part costs in elementary
/// steps.
static inline size_t alb_grain(size_t work, size_t enough) {
    if (work == 0) return enough;
    return enough / work + 1;
}

/// Elements of rows, passed over two or three times, that a worker should get at least: four rows of 768, so that a text's
/// 30 rows come apart evenly.
#define ALB_ROW_ELEMENTS 3000

#endif
