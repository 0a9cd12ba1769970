// Runs one call with every instruction set and compares what each left in memory with what the scalar one did.
#include "conformance.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guards.h"

// Copies of operands with their guards: as they were before the call, and after the scalar one.
typedef struct {
    unsigned char *bytes;
    size_t capacity;
} image;

static image initial[MAXIMUM_OPERANDS], expected[MAXIMUM_OPERANDS];

static void keep(image *copy, guarded_span span) {
    if (copy->capacity < span.bytes) {
        free(copy->bytes);
        copy->capacity = span.bytes + 4096;
        copy->bytes = malloc(copy->capacity);
        if (!copy->bytes) {
            fprintf(stderr, "error: out of memory\n");
            exit(70);
        }
    }
    memcpy(copy->bytes, span.start, span.bytes);
}

static bool is_nan_bits(const unsigned char *bytes) {
    uint32_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return (bits & 0x7fffffff) > 0x7f800000;
}

/// Whether a byte of a span belongs to an element, and to which.
static bool locate(const operand *o, size_t offset, size_t *row, size_t *column) {
    if (offset < GUARD_BYTES || offset - GUARD_BYTES >= o->bytes) return false;
    const size_t index = (offset - GUARD_BYTES) / element_bytes(o->kind);
    *row = index / o->stride;
    *column = index % o->stride;
    return *row < o->rows && *column < o->columns;
}

static void print_value(const operand *o, const unsigned char *bytes) {
    switch (o->kind) {
    case KIND_U8: printf("%u", bytes[0]); break;
    case KIND_S8: printf("%d", (int8_t)bytes[0]); break;
    case KIND_I32: {
        int32_t x;
        memcpy(&x, bytes, sizeof x);
        printf("%" PRId32, x);
        break;
    }
    case KIND_F32: {
        float x;
        memcpy(&x, bytes, sizeof x);
        printf("%.9g (%a)", (double)x, (double)x);
        break;
    }
    case KIND_F64: {
        double x;
        memcpy(&x, bytes, sizeof x);
        printf("%.17g", x);
        break;
    }
    }
}

/// Compares a span with an image; says where they differ. With `contents` false only guards are compared.
static bool same(const operand *o, guarded_span span, const unsigned char *image_bytes, bool contents, const char *title) {
    if (contents && memcmp(span.start, image_bytes, span.bytes) == 0) return true;
    const size_t element = element_bytes(o->kind);
    for (size_t i = 0; i < span.bytes; i++) {
        if (span.start[i] == image_bytes[i]) continue;
        size_t row = 0, column = 0;
        const bool inside = locate(o, i, &row, &column);
        if (inside && !contents) continue;
        const size_t first = inside ? GUARD_BYTES + (row * o->stride + column) * element : i;
        if (inside && o->kind == KIND_F32 && is_nan_bits(span.start + first) && is_nan_bits(image_bytes + first)) continue;
        if (!inside) {
            printf("%s: wrote outside of %s, %td bytes from its start\n", title, o->name, (ptrdiff_t)i - GUARD_BYTES);
            return false;
        }
        printf("%s: %s[%zu][%zu] of %zu x %zu is ", title, o->name, row, column, o->rows, o->columns);
        print_value(o, span.start + first);
        printf(", expected ");
        print_value(o, image_bytes + first);
        printf("\n");
        return false;
    }
    return true;
}

static void restore(const visitor *v) {
    for (size_t i = 0; i < v->count; i++)
        if (v->operands[i].role != ROLE_INPUT) {
            guarded_span span = span_of(v, i);
            memcpy(span.start, initial[i].bytes, span.bytes);
        }
}

/// Whether inputs and guards are as they were.
static bool left_alone(const visitor *v, const char *title) {
    bool good = true;
    for (size_t i = 0; i < v->count; i++) {
        const operand *o = &v->operands[i];
        good &= same(o, span_of(v, i), initial[i].bytes, o->role == ROLE_INPUT, title);
    }
    return good;
}

static bool outputs_equal(const visitor *v, const char *title) {
    bool good = true;
    for (size_t i = 0; i < v->count; i++) {
        const operand *o = &v->operands[i];
        if (o->role == ROLE_OUTPUT || o->role == ROLE_IN_OUT)
            good &= same(o, span_of(v, i), expected[i].bytes, true, title);
    }
    return good;
}

static void mix(uint64_t *digest, uint64_t word) {
    uint64_t z = (*digest ^ word) * 0xbf58476d1ce4e5b9u;
    *digest = z ^ (z >> 29);
}

void digest_outputs(const visitor *v, uint64_t *digest) {
    for (size_t i = 0; i < v->count; i++) {
        const operand *o = &v->operands[i];
        if (o->role != ROLE_OUTPUT && o->role != ROLE_IN_OUT) continue;
        const size_t element = element_bytes(o->kind);
        for (size_t r = 0; r < o->rows; r++)
            for (size_t c = 0; c < o->columns; c++) {
                const unsigned char *bytes = o->data + (r * o->stride + c) * element;
                uint64_t word = 0;
                memcpy(&word, bytes, element);
                if (o->kind == KIND_F32 && is_nan_bits(bytes)) word = 0x7fc00000;
                mix(digest, word);
            }
    }
}

static void count(tally *tally, bool good) {
    if (good)
        tally->passed++;
    else
        tally->failed++;
}

void check_call(
    const operation *op, const void *call, const visitor *v, const char *what, const int *threads, tally *tally,
    uint64_t *digest) {
    char title[200];
    for (size_t i = 0; i < v->count; i++) keep(&initial[i], span_of(v, i));
    snprintf(title, sizeof title, "%s, %s, scalar, 1 thread", op->name, what);
    announce(title);
    op->run(call, ALB_ISA_SCALAR, 1);
    bool good = left_alone(v, title);
    if (!good) tally->failed++;
    for (size_t i = 0; i < v->count; i++) keep(&expected[i], span_of(v, i));
    digest_outputs(v, digest);
    for (int isa = 0; isa < ALB_ISA_COUNT; isa++) {
        if (!tally->isas[isa]) continue;
        // A ceiling without a variant of its own takes a lesser one, which is compared under its own name.
        if (op->variant ? op->variant((alb_isa)isa) != (alb_isa)isa : isa != ALB_ISA_SCALAR) continue;
        for (const int *n = threads; *n; n++) {
            if (isa == ALB_ISA_SCALAR && *n == 1) continue;
            restore(v);
            snprintf(title, sizeof title, "%s, %s, %s, %d threads", op->name, what, alb_isa_name((alb_isa)isa), *n);
            announce(title);
            op->run(call, (alb_isa)isa, *n);
            // Both are always looked at, since both say what went wrong.
            const bool alone = left_alone(v, title);
            count(tally, outputs_equal(v, title) && alone);
        }
    }
}
