/// Counts the memory that a process asks for, on all of its threads.
///
/// The executable that links this target gets its `malloc`, `calloc`, `realloc`, `reallocarray`, `aligned_alloc`, `memalign` and
/// `posix_memalign`; every library of the process calls them. They hand the work on to the C library.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stddef.h>

/// Counts every call from now on, from zero.
void allocation_counter_begin(void);

/// Stops counting; returns how many calls there were.
size_t allocation_counter_end(void);

/// Counts calls of its own, to show that the counter counts: one of each function on this thread, and of `malloc` on another.
/// Returns how many were seen.
size_t allocation_counter_control(void);

/// Writes where the first calls came from to standard error: addresses for `llvm-symbolizer`.
void allocation_counter_report(void);

#endif
