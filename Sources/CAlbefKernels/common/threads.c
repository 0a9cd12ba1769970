#include "alb_threads.h"

#include <stdatomic.h>
#include <stdint.h>
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
#pragma omp parallel num_threads(team)
    {
        // OpenMP may give fewer threads than asked for: each then takes several shares.
        size_t given = (size_t)omp_get_num_threads();
        for (size_t share = (size_t)omp_get_thread_num(); share < workers; share += given) {
            size_t first = units * share / workers, last = units * (share + 1) / workers;
            size_t begin = first * grain, end = last * grain < count ? last * grain : count;
            if (begin < end) {
                fp_state saved = fp_enter();
                function(context, begin, end, (int)share);
                fp_leave(saved);
            }
        }
    }
}
