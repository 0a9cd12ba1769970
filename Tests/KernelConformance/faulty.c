// Operations that are wrong on purpose, each in one way: they show that the comparison, the guards and ThreadSanitizer see it.
// Only `--operation faulty_...` runs them; tools/conformance_faults.sh and tools/thread_sanitizer.sh say what must come of each.
#include <string.h>

#include "alb_threads.h"
#include "conformance.h"

// A row has a gap behind it, and each element a neighbour.
enum { ROWS = 3, COLUMNS = 5, STRIDE = 7 };

typedef struct {
    float *src;
    float *dst;
    uint8_t *bytes;
} faulty_call;

static void draw(void *call, shape_source *shape) {
    // There is nothing to choose: one edge.
    (void)call;
    (void)shape;
}

static void describe(void *call, visitor *v) {
    faulty_call *c = call;
    MATRIX(ROLE_INPUT, c->src, KIND_F32, ROWS, COLUMNS, STRIDE);
    MATRIX(ROLE_OUTPUT, c->dst, KIND_F32, ROWS, COLUMNS, STRIDE);
    MATRIX(ROLE_OUTPUT, c->bytes, KIND_U8, ROWS, COLUMNS, STRIDE);
}

/// What every one of them should do: copies, and the last column a zero and a NaN.
static void compute(const faulty_call *c) {
    for (size_t r = 0; r < ROWS; r++) {
        memcpy(c->dst + r * STRIDE, c->src + r * STRIDE, COLUMNS * sizeof(float));
        for (size_t i = 0; i < COLUMNS; i++) c->bytes[r * STRIDE + i] = (uint8_t)(10 * r + i);
    }
    const uint32_t nan = 0x7fc00001;
    c->dst[0] = 0;
    memcpy(c->dst + 1, &nan, sizeof nan);
}

static void flip(void *at, uint32_t bits) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word ^= bits;
    memcpy(at, &word, sizeof word);
}

static void run_right(const void *call, alb_isa isa, int threads) {
    (void)isa;
    (void)threads;
    compute(call);
}

// The variants' mistakes. `element` is one in the middle of the second row.
#define FAULT(name, statement)                                                  \
    static void run_##name(const void *call, alb_isa isa, int threads) {        \
        const faulty_call *c = call;                                            \
        float *element = c->dst + STRIDE + 3;                                   \
        (void)threads;                                                          \
        (void)element;                                                          \
        compute(c);                                                             \
        if (isa != ALB_ISA_SCALAR) statement;                                   \
    }

FAULT(one_bit, flip(element, 1))
FAULT(sign_of_zero, flip(c->dst, 0x80000000))
FAULT(another_nan, flip(c->dst + 1, 2))
FAULT(number_for_nan, c->dst[1] = 1)
FAULT(one_byte, c->bytes[2 * STRIDE] ^= 1)
FAULT(write_before, ((unsigned char *)c->dst)[-1] ^= 1)
FAULT(write_between, ((unsigned char *)(c->dst + COLUMNS))[1] ^= 1)
FAULT(write_input, flip(c->src + 2 * STRIDE + 4, 1))
FAULT(write_behind, *(volatile float *)(c->dst + 2 * STRIDE + COLUMNS) = 1)
FAULT(read_behind, (void)*(volatile float *)(c->src + 2 * STRIDE + COLUMNS))

static void run_left_out(const void *call, alb_isa isa, int threads) {
    const faulty_call *c = call;
    (void)threads;
    float last;
    memcpy(&last, c->dst + 2 * STRIDE + 4, sizeof last);
    compute(c);
    if (isa != ALB_ISA_SCALAR) memcpy(c->dst + 2 * STRIDE + 4, &last, sizeof last);
}

static void run_scalar_writes(const void *call, alb_isa isa, int threads) {
    const faulty_call *c = call;
    (void)isa;
    (void)threads;
    compute(c);
    c->bytes[STRIDE + COLUMNS] ^= 1;
}

static void run_threads(const void *call, alb_isa isa, int threads) {
    const faulty_call *c = call;
    (void)isa;
    compute(c);
    if (threads == 3) flip(c->dst + STRIDE, 1);
}

static void write_first(void *context, size_t begin, size_t end, int worker) {
    const faulty_call *c = context;
    (void)begin;
    (void)end;
    (void)worker;
    *(volatile uint8_t *)c->bytes = 0;
}

/// Every thread writes the same element: the bytes are right, and it is a race.
static void run_race(const void *call, alb_isa isa, int threads) {
    faulty_call c = *(const faulty_call *)call;
    (void)isa;
    compute(&c);
    alb_parallel_for(threads, 64, 1, write_first, &c);
}

static alb_isa every_variant(alb_isa ceiling) { return ceiling; }

#define FAULTY(name, variant)                                                                             \
    static const operation faulty_##name = {                                                              \
        "faulty_" #name, sizeof(faulty_call), draw, describe, NULL, run_##name, variant};

FAULTY(right, every_variant)
FAULTY(one_bit, every_variant)
FAULTY(sign_of_zero, every_variant)
FAULTY(another_nan, every_variant)
FAULTY(number_for_nan, every_variant)
FAULTY(one_byte, every_variant)
FAULTY(left_out, every_variant)
FAULTY(write_before, every_variant)
FAULTY(write_between, every_variant)
FAULTY(write_input, every_variant)
FAULTY(write_behind, every_variant)
FAULTY(read_behind, every_variant)
FAULTY(scalar_writes, every_variant)
FAULTY(threads, NULL)
FAULTY(race, NULL)

const operation *const faulty_operations[] = {
    &faulty_right,        &faulty_one_bit,       &faulty_sign_of_zero,  &faulty_another_nan,  &faulty_number_for_nan,
    &faulty_one_byte,     &faulty_left_out,      &faulty_write_before,  &faulty_write_between, &faulty_write_input,
    &faulty_write_behind, &faulty_read_behind,   &faulty_scalar_writes, &faulty_threads,      &faulty_race,
    NULL};
