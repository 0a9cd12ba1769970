// Guarded memory for operands, and the visitor that places, saves and loads them.
#define _DEFAULT_SOURCE
#include "conformance.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guards.h"

char conformance_wanted[1];

// Address space of one operand; only what is used becomes memory.
static const size_t region_bytes = (size_t)256 << 20;

// Guard bytes between an operand and the page that must not be touched.
static size_t slack = 0;

void allow_reads_behind(void) { slack = GUARD_BYTES; }

static unsigned char *ends[MAXIMUM_OPERANDS];

/// The end of an operand's region: the first byte of a page that must not be touched.
static unsigned char *region_end(size_t index) {
    if (!ends[index]) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        unsigned char *start = mmap(
            NULL, region_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED || mprotect(start + region_bytes, page, PROT_NONE) != 0) {
            fprintf(stderr, "error: no address space for the operands\n");
            exit(70);
        }
        ends[index] = start + region_bytes;
    }
    return ends[index];
}

guarded_span span_of(const visitor *v, size_t index) {
    const operand *o = &v->operands[index];
    return (guarded_span){o->data - GUARD_BYTES, (size_t)(ends[index] - o->data) + GUARD_BYTES};
}

void visit_number(visitor *v, void *field, size_t bytes) {
    if (v->mode == VISIT_SAVE && fwrite(field, bytes, 1, v->file) != 1) v->failed = true;
    if (v->mode == VISIT_LOAD && fread(field, bytes, 1, v->file) != 1) v->failed = true;
}

static void *get_pointer(const void *slot) {
    void *pointer;
    memcpy(&pointer, slot, sizeof pointer);
    return pointer;
}

static void set_pointer(void *slot, void *pointer) { memcpy(slot, &pointer, sizeof pointer); }

bool visit_optional(visitor *v, void *pointer) {
    unsigned char present = get_pointer(pointer) != NULL;
    visit_number(v, &present, 1);
    if (v->mode == VISIT_LOAD) set_pointer(pointer, present ? WANTED : NULL);
    return present;
}

static bool for_each_row(visitor *v, const operand *o, unsigned char *data) {
    const size_t element = element_bytes(o->kind);
    for (size_t r = 0; r < o->rows; r++) {
        unsigned char *row = data + r * o->stride * element;
        const size_t bytes = o->columns * element;
        size_t done = v->mode == VISIT_SAVE ? fwrite(row, 1, bytes, v->file) : fread(row, 1, bytes, v->file);
        if (done != bytes) return false;
    }
    return true;
}

void visit_operand(
    visitor *v, void *pointer, const char *name, operand_role role, element_kind kind, size_t rows, size_t columns,
    size_t stride, size_t alignment) {
    if (v->failed) return;
    if (v->count == MAXIMUM_OPERANDS) {
        v->failed = true;
        return;
    }
    operand *o = &v->operands[v->count];
    *o = (operand){.name = name, .role = role, .kind = kind, .rows = rows, .columns = columns, .stride = stride};
    const size_t element = element_bytes(kind);
    o->bytes = rows == 0 || columns == 0 ? 0 : ((rows - 1) * stride + columns) * element;
    const bool given = role == ROLE_INPUT || role == ROLE_IN_OUT;
    if (v->mode == VISIT_SAVE) {
        o->data = get_pointer(pointer);
        if (given && !for_each_row(v, o, o->data)) v->failed = true;
        v->count++;
        return;
    }
    // A damaged recording may ask for anything.
    if (rows > region_bytes || stride > region_bytes || columns > region_bytes || o->bytes > region_bytes - 4096 - slack) {
        v->failed = true;
        return;
    }
    const size_t multiple = alignment > element ? alignment : element;
    const uintptr_t end = (uintptr_t)region_end(v->count) - slack;
    const uintptr_t start = (end - o->bytes) / multiple * multiple;
    o->data = region_end(v->count) - slack - (end - start);
    v->count++;
    const guarded_span span = span_of(v, v->count - 1);
    memset(span.start, GUARD_VALUE, span.bytes);
    set_pointer(pointer, o->data);
    if (!given) return;
    if (v->mode == VISIT_LOAD) {
        if (!for_each_row(v, o, o->data)) v->failed = true;
    } else {
        fill_random(v->random, kind, rows, columns, stride, o->data);
    }
}
