#include "alb_threads.h"

#include <stdatomic.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#pragma STDC FP_CONTRACT OFF

// Debian's omp.h lies in a private folder of another clang, whose intrinsics headers would shadow the toolchain's own. These
// three are all that is used.
extern int omp_get_thread_num(void);
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

// Each worker's share of the range is taken in this many pieces: by the worker itself, and by those who are done with theirs.
// Fewer leave more to wait for at the end, more lose the order of neighbouring parts.
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
    share *shares;
} loop;

/// Takes pieces of one share until none is left.
static void take_pieces(const loop *l, size_t index, int worker) {
    const size_t first = l->units * index / l->workers, length = l->units * (index + 1) / l->workers - first;
    const size_t piece = (length + PIECES - 1) / PIECES;
    for (;;) {
        const size_t taken = atomic_fetch_add_explicit(&l->shares[index].taken, piece, memory_order_relaxed);
        if (taken >= length) return;
        const size_t left = length - taken, begin = (first + taken) * l->grain;
        const size_t end = begin + (piece < left ? piece : left) * l->grain;
        l->function(l->context, begin, end < l->count ? end : l->count, worker);
    }
}

void alb_parallel_for(int threads, size_t count, size_t grain, alb_part_function function, void *context) {
    if (count == 0) return;
    if (grain == 0) grain = 1;
    size_t units = count / grain + (count % grain != 0);
    size_t workers = threads < 1 ? 1 : (size_t)threads;
    if (workers > units) workers = units;
    if (workers == 1) {
        fp_state saved = fp_enter();
        function(context, 0, count, 0);
        fp_leave(saved);
        return;
    }
    alb_set_team_size(threads);
    int team = atomic_load(&team_size);
    share shares[workers];
    for (size_t i = 0; i < workers; i++) atomic_init(&shares[i].taken, 0);
    const loop l = {units, grain, count, workers, function, context, shares};
#pragma omp parallel num_threads(team)
    {
        // A processor that is slower, or busy with something else, or that OpenMP did not give, leaves its share to the others.
        const size_t worker = (size_t)omp_get_thread_num();
        if (worker < workers) {
            fp_state saved = fp_enter();
            for (size_t i = 0; i < (OWN_SHARE_ONLY ? 1 : workers); i++) take_pieces(&l, (worker + i) % workers, (int)worker);
            fp_leave(saved);
        }
    }
}
