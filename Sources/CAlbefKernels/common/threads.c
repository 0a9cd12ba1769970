#define _POSIX_C_SOURCE 200809L  // nanosleep
#include "alb_threads.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#pragma STDC FP_CONTRACT OFF

// Debian's omp.h lies in a private folder of another clang, whose intrinsics headers would shadow the toolchain's own. These
// four are all that is used.
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_num_procs(void);
extern void kmp_set_blocktime(int milliseconds);

// A change of the team's size allocates, so it only ever grows.
static atomic_int team_size = 0;

void alb_set_team_size(int threads) {
    if (threads < 1) threads = 1;
    int current = atomic_load(&team_size);
    if (current == 0) {
        // After a region, workers spin for 1 ms and then sleep: 1.5 us to start the next region, no idle load. The default
        // of 200 ms would burn a core between requests.
        kmp_set_blocktime(1);
    }
    while (current < threads && !atomic_compare_exchange_weak(&team_size, &current, threads)) {}
}

int alb_available_processors(void) {
    int count = omp_get_num_procs();
    return count < 1 ? 1 : count;
}

#if defined(__x86_64__)
typedef unsigned int fp_state;
static fp_state fp_enter(void) {
    fp_state saved = _mm_getcsr();
    _mm_setcsr(0x1F80);
    return saved;
}
static void fp_leave(fp_state saved) { _mm_setcsr(saved); }
#elif defined(__aarch64__)
typedef uint64_t fp_state;
static fp_state fp_enter(void) {
    fp_state saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return saved;
}
static void fp_leave(fp_state saved) { __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }
#else
#error "albef runs on x86-64 and on ARM64"
#endif

// A worker's share of the range is taken in pieces, by the worker itself and by those who are done with theirs: a sixteenth of what
// is left at a time. The first are large and keep neighbouring parts in order; the last are small, so that nobody waits long for them.
#define PIECES 16

// ThreadSanitizer sees a race only where both workers come to it, however fast one of them is: there each does its own share.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OWN_SHARE_ONLY 1
#endif
#endif
#ifndef OWN_SHARE_ONLY
#define OWN_SHARE_ONLY 0
#endif

/// How much of a share is taken, on a cache line of its own.
typedef struct {
    _Alignas(64) atomic_size_t taken;
} share;

typedef struct {
    size_t units, grain, count, workers;
    alb_part_function function;
    void *context;
} loop;

// What the members of a team watch, in one word: how many loops there were, whether the last of them still lets members in, and
// how many are in it. The caller alone opens and closes a loop, and does not wait for a member that has not come in: one that is
// late finds it closed.
#define SEQUENCE_SHIFT 32
#define OPEN ((uint64_t)1 << 31)
#define INSIDE (OPEN - 1)
#define DISMISSED UINT64_MAX

/// One caller and its members. The word and the loop share a cache line, which is all that goes to a member for a loop.
typedef struct {
    _Alignas(64) atomic_uint_fast64_t state;
    loop current;
    share *shares;  ///< one for each member
    size_t size;    ///< members, the caller among them: as many as OpenMP gave
} team;

/// The team that stands by for this thread.
static _Thread_local team *own_team = NULL;

/// Takes pieces of one share until none is left.
static void take_pieces(const loop *l, share *shares, size_t index, int worker) {
    const size_t first = l->units * index / l->workers, length = l->units * (index + 1) / l->workers - first;
    for (;;) {
        // Another may take in between: then this piece is a little larger than meant.
        const size_t before = atomic_load_explicit(&shares[index].taken, memory_order_relaxed);
        if (before >= length) return;
        const size_t piece = (length - before + PIECES - 1) / PIECES;
        const size_t taken = atomic_fetch_add_explicit(&shares[index].taken, piece, memory_order_relaxed);
        if (taken >= length) return;
        const size_t left = length - taken, begin = (first + taken) * l->grain;
        const size_t end = begin + (piece < left ? piece : left) * l->grain;
        l->function(l->context, begin, end < l->count ? end : l->count, worker);
    }
}

/// A processor that is slower, or busy with something else, leaves its share to the others.
static void take_shares(const loop *l, share *shares, size_t worker) {
    for (size_t i = 0; i < (OWN_SHARE_ONLY ? 1 : l->workers); i++)
        take_pieces(l, shares, (worker + i) % l->workers, (int)worker);
}

/// Waits a moment. The longer one has waited, `turns` times before, the less it takes of the processor: it spins for some 50 us,
/// lets others run for about a millisecond, and then sleeps.
static void wait_a_moment(unsigned *turns) {
    enum { SPINS = 4000, YIELDS = 2000, NAPS = 20, NAP = 50000 };
    if (*turns < SPINS) {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    } else if (*turns < SPINS + YIELDS) {
        sched_yield();
    } else {
        const struct timespec nap = {0, (long)(*turns - SPINS - YIELDS + 1) * NAP};
        nanosleep(&nap, NULL);
    }
    if (*turns < SPINS + YIELDS + NAPS - 1) ++*turns;
}

/// What a member does until it is dismissed.
static void serve(team *t, size_t worker) {
    const fp_state saved = fp_enter();
    uint64_t seen = 0;
    unsigned turns = 0;
    for (;;) {
        uint64_t state = atomic_load_explicit(&t->state, memory_order_acquire);
        if (state == DISMISSED) break;
        if (!(state & OPEN) || state >> SEQUENCE_SHIFT == seen) {
            wait_a_moment(&turns);
            continue;
        }
        turns = 0;
        if (!atomic_compare_exchange_weak_explicit(
                &t->state, &state, state + 1, memory_order_acquire, memory_order_relaxed))
            continue;
        seen = state >> SEQUENCE_SHIFT;
        if (worker < t->current.workers) take_shares(&t->current, t->shares, worker);
        atomic_fetch_sub_explicit(&t->state, 1, memory_order_release);
    }
    fp_leave(saved);
}

static void run_loop(team *t, const loop *l) {
    const fp_state saved = fp_enter();
    t->current = *l;
    if (t->current.workers > t->size) t->current.workers = t->size;
    for (size_t i = 0; i < t->current.workers; i++)
        atomic_store_explicit(&t->shares[i].taken, 0, memory_order_relaxed);
    const uint64_t sequence = (atomic_load_explicit(&t->state, memory_order_relaxed) >> SEQUENCE_SHIFT) + 1;
    atomic_store_explicit(&t->state, sequence << SEQUENCE_SHIFT | OPEN, memory_order_release);
    take_shares(&t->current, t->shares, 0);
    unsigned turns = 0;
    // Where nobody takes of another's share, all have to come.
    for (size_t i = 0; OWN_SHARE_ONLY && i < t->current.workers; i++)
        while (atomic_load_explicit(&t->shares[i].taken, memory_order_relaxed) == 0) wait_a_moment(&turns);
    atomic_fetch_and_explicit(&t->state, ~OPEN, memory_order_relaxed);
    while (atomic_load_explicit(&t->state, memory_order_acquire) & INSIDE) wait_a_moment(&turns);
    fp_leave(saved);
}

void alb_with_team(int threads, void (*body)(void *), void *context) {
    if (threads <= 1 || own_team) {
        body(context);
        return;
    }
    alb_set_team_size(threads);
    const int size = atomic_load(&team_size);
    share shares[threads];
    team t = {.shares = shares};
    atomic_init(&t.state, 0);
#pragma omp parallel num_threads(size)
    {
        const int worker = omp_get_thread_num(), given = omp_get_num_threads();
        if (worker == 0) {
            t.size = (size_t)(given < threads ? given : threads);
            own_team = &t;
            body(context);
            own_team = NULL;
            atomic_store_explicit(&t.state, DISMISSED, memory_order_release);
        } else if (worker < threads) {
            serve(&t, (size_t)worker);
        }
    }
}

static void run_own_loop(void *context) { run_loop(own_team, context); }

void alb_parallel_for(int threads, size_t count, size_t grain, alb_part_function function, void *context) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    const size_t units = count / grain + (count % grain != 0);
    size_t workers = threads < 1 ? 1 : (size_t)threads;
    if (workers > units) workers = units;
    if (workers == 1) {
        const fp_state saved = fp_enter();
        function(context, 0, count, 0);
        fp_leave(saved);
        return;
    }
    loop l = {units, grain, count, workers, function, context};
    if (own_team)
        run_loop(own_team, &l);
    else
        alb_with_team(threads, run_own_loop, &l);
}
