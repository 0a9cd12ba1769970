#include "allocation_counter.h"

#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

// The C library's own, under the names that it exports for this purpose.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

enum { RECORDS = 32, FRAMES = 24 };

static atomic_bool counting;
static atomic_size_t calls;
static void *frames[RECORDS][FRAMES];
static int depths[RECORDS];
// Walking the stack must not count itself.
static _Thread_local bool noting;

static void note(void) {
    if (!atomic_load_explicit(&counting, memory_order_acquire) || noting) return;
    noting = true;
    size_t number = atomic_fetch_add(&calls, 1);
    if (number < RECORDS) depths[number] = backtrace(frames[number], FRAMES);
    noting = false;
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    note();
    return __libc_realloc(block, size);
}

void *reallocarray(void *block, size_t count, size_t size) {
    note();
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(block, total);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    note();
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *start = __libc_memalign(alignment, size);
    if (start == NULL) return ENOMEM;
    *block = start;
    return 0;
}

void allocation_counter_begin(void) {
    // The first walk loads the library that does it, and so allocates.
    void *unused[1];
    backtrace(unused, 1);
    atomic_store(&calls, 0);
    atomic_store_explicit(&counting, true, memory_order_release);
}

size_t allocation_counter_end(void) {
    atomic_store(&counting, false);
    return atomic_load(&calls);
}

static atomic_bool released;

static void *allocate_later(void *unused) {
    (void)unused;
    while (!atomic_load(&released)) sched_yield();
    return malloc(1);
}

size_t allocation_counter_control(void) {
    // Seen by nothing but the counter, calls might be left out.
    static void *volatile blocks[8];
    pthread_t thread;
    allocation_counter_begin();
    blocks[0] = malloc(1);
    blocks[1] = calloc(1, 1);
    blocks[2] = realloc(NULL, 1);
    blocks[3] = reallocarray(NULL, 1, 1);
    blocks[4] = memalign(64, 64);
    blocks[5] = aligned_alloc(64, 64);
    void *block = NULL;
    if (posix_memalign(&block, 64, 64) == 0) blocks[6] = block;
    size_t own = allocation_counter_end();
    // Making a thread allocates too.
    void *result = NULL;
    size_t other = 0;
    if (pthread_create(&thread, NULL, allocate_later, NULL) == 0) {
        allocation_counter_begin();
        atomic_store(&released, true);
        if (pthread_join(thread, &result) == 0) blocks[7] = result;
        other = allocation_counter_end();
    }
    for (int i = 0; i < 8; i++) free(blocks[i]);
    return own + other;
}

void allocation_counter_report(void) {
    size_t count = atomic_load(&calls);
    for (size_t i = 0; i < count && i < RECORDS; i++) {
        static const char line[] = "-- allocated from\n";
        if (write(STDERR_FILENO, line, sizeof line - 1) < 0) return;
        backtrace_symbols_fd(frames[i], depths[i], STDERR_FILENO);
    }
}
