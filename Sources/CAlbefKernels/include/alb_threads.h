/// The one place that knows of threads: a team of fixed size that runs a function over a range of independent parts.
#ifndef ALB_THREADS_H
#define ALB_THREADS_H

#include <stddef.h>

/// Work on parts [begin, end) of an operation's output.
/// @param context  What the caller gave to alb_parallel_for.
/// @param begin    First part.
/// @param end      Past the last part; greater than begin.
/// @param worker   Which worker runs this, 0 to threads - 1: for scratch memory of its own.
typedef void (*alb_part_function)(void *_Nullable context, size_t begin, size_t end, int worker);

/// Splits [0, count) into a contiguous share for each of at most `threads` workers, which run at the same time and take pieces
/// of their own share first and then of what is left of the others'; returns when all are done. Pieces start at multiples of
/// `grain`. The floating-point environment is round-to-nearest with denormals honoured inside, and the caller's own outside.
/// Results do not depend on `threads`, nor on who takes what, as long as parts are independent.
/// @param threads  How many workers may run, at least 1. The team has a fixed size, that of the first call that needs more
///                 than one thread or the largest asked for so far; surplus threads skip.
void alb_parallel_for(
    int threads, size_t count, size_t grain, alb_part_function _Nonnull function, void *_Nullable context);

/// Calls `body` on this thread while a team of `threads` stands by for the loops that it runs. Such a loop costs the way of a
/// cache line to another processor and back, a fraction of a microsecond; on its own each costs the start of a team, 1.5 us or
/// more. Members spin only for a moment between loops, then sleep. Within another body, and with one thread, it only calls it.
/// @param context  Given to `body`.
void alb_with_team(int threads, void (*_Nonnull body)(void *_Nullable context), void *_Nullable context);

/// Sets how many threads the team has from now on; called once, before the first operation. Values below 1 count as 1.
void alb_set_team_size(int threads);

/// How many processors this process may run on: its affinity mask, not the machine's count. At least 1.
int alb_available_processors(void);

#endif
