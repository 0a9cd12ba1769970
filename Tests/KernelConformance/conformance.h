/// The frame of the conformance program. An operation of the kernels is described once: its numbers and its operands, with
/// their shapes. From that description come guarded memory, random contents, the comparison of all instruction sets with the
/// scalar one, and recording and replaying of calls.
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "alb_isa.h"

/// The most threads that a case runs with; scratch memory is sized for them.
#define MAXIMUM_THREADS 8
#define MAXIMUM_OPERANDS 32

// --- Random numbers

/// SplitMix64: equal sequences on every machine.
typedef struct {
    uint64_t state;
} random_source;

uint64_t random_bits(random_source *random);
/// Uniform in 0...limit-1; limit is at least 1.
size_t random_below(random_source *random, size_t limit);
bool random_chance(random_source *random, size_t one_in);
/// In [-1, 1), a multiple of 2^-23.
float random_unit(random_source *random);

// --- Shapes

/// Where a case's shape comes from: an enumeration of edges, or chance.
typedef struct {
    random_source random;
    bool edges;       ///< Edge values in all combinations; `left` is the number of the combination.
    size_t left;
    bool exhausted;   ///< Set when the number lies past the last combination.
} shape_source;

#define EDGES(...) (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)

/// An extent: each of `edges` in turn, or random from 1 to `limit` (seldom four times that).
size_t extent(shape_source *shape, size_t limit, const size_t *edges, size_t count);
/// One of `count` values, 0...count-1: each in combination with every extent.
size_t choice(shape_source *shape, size_t count);
/// One of `count` values by chance, also for edges.
size_t chance(shape_source *shape, size_t count);
/// What a row stride exceeds the columns by, by chance: often 0.
size_t gap(shape_source *shape);

// --- Operands

typedef enum { KIND_U8, KIND_S8, KIND_I32, KIND_F32, KIND_F64 } element_kind;
typedef enum { ROLE_INPUT, ROLE_OUTPUT, ROLE_IN_OUT, ROLE_SCRATCH } operand_role;

/// A matrix behind a pointer of a call. Its last element ends at a page that must not be touched; bytes before it, between its
/// rows and up to that page are guards.
typedef struct {
    const char *name;
    operand_role role;
    element_kind kind;
    size_t rows, columns, stride;  ///< in elements
    unsigned char *data;
    size_t bytes;                  ///< from the first element to past the last one
} operand;

/// From now on an operand is followed by guard bytes, which may be read: for emulators that load masked lanes too.
void allow_reads_behind(void);

typedef enum { VISIT_PLACE, VISIT_SAVE, VISIT_LOAD } visit_mode;

/// Goes over a call's numbers and operands: to place it in guarded memory with random contents, to save it, or to load it.
typedef struct {
    visit_mode mode;
    random_source *random;  ///< for placing
    FILE *file;             ///< for saving and loading
    bool failed;            ///< a number or a row could not be read or written
    operand operands[MAXIMUM_OPERANDS];
    size_t count;
} visitor;

void visit_number(visitor *v, void *field, size_t bytes);
/// True where an optional pointer is set; loading sets it.
bool visit_optional(visitor *v, void *pointer);
void visit_operand(
    visitor *v, void *pointer, const char *name, operand_role role, element_kind kind, size_t rows, size_t columns,
    size_t stride, size_t alignment);

#define NUMBER(field) visit_number(v, &(field), sizeof(field))
#define OPTIONAL(pointer) visit_optional(v, &(pointer))
#define MATRIX(role, pointer, kind, rows, columns, stride) \
    visit_operand(v, &(pointer), #pointer, role, kind, rows, columns, stride, 1)
#define VECTOR(role, pointer, kind, count) MATRIX(role, pointer, kind, 1, count, count)
/// Memory that the contract wants at a multiple of 64 bytes.
#define ALIGNED(role, pointer, kind, count) visit_operand(v, &(pointer), #pointer, role, kind, 1, count, count, 64)
#define SCRATCH(pointer, bytes) ALIGNED(ROLE_SCRATCH, pointer, KIND_U8, bytes)

/// Stands in an optional pointer of a generated shape until memory is placed.
#define WANTED ((void *)conformance_wanted)
extern char conformance_wanted[1];

size_t element_bytes(element_kind kind);
/// Fills a matrix with values that make sense for its kind.
void fill_random(random_source *random, element_kind kind, size_t rows, size_t columns, size_t stride, void *data);

// --- Operations

/// One entry point of the kernels. A call is a structure of the operation's own.
typedef struct {
    const char *name;
    size_t call_bytes;
    /// Draws numbers, and which optional operands there are (WANTED), into a zeroed call.
    void (*draw)(void *call, shape_source *shape);
    /// Visits numbers first, then operands, whose shapes depend on them.
    void (*describe)(void *call, visitor *v);
    /// Makes random operands consistent with each other; may be NULL.
    void (*refine)(void *call, random_source *random);
    void (*run)(const void *call, alb_isa isa, int threads);
    /// The variant under a ceiling; NULL where one implementation serves all.
    alb_isa (*variant)(alb_isa ceiling);
} operation;

/// Lists of pointers that end with NULL.
extern const operation *const matmul_operations[];
extern const operation *const fused_operations[];
extern const operation *const attention_operations[];
extern const operation *const row_operations[];
extern const operation *const gradient_operations[];
extern const operation *const picture_operations[];
extern const operation *const heatmap_operations[];
extern const operation *const weight_operations[];

/// All operations, NULL at the end.
extern const operation *const *const all_operations[];
/// Operations that are wrong on purpose, to test this program.
extern const operation *const faulty_operations[];
/// One of all operations or of the faulty ones; NULL where there is none of that name.
const operation *operation_named(const char *name);

// --- Running

typedef struct {
    bool isas[ALB_ISA_COUNT];  ///< which are compared
    size_t passed, failed;
    size_t random_passed;      ///< of `passed`: comparisons of random cases
} tally;

/// Remembers what runs, for the message after a fault in memory.
void announce(const char *title);

/// Runs a placed call with every instruction set and compares. Mixes the scalar outputs into `digest`.
/// @param what     Names the case in a message of failure, such as "random 17".
/// @param threads  Thread counts to run with, 0 at the end.
void check_call(
    const operation *op, const void *call, const visitor *v, const char *what, const int *threads, tally *tally,
    uint64_t *digest);

/// Mixes the elements of the outputs into a digest; any NaN counts as the same one.
void digest_outputs(const visitor *v, uint64_t *digest);

/// Replays the calls of a recording. False where the file is damaged.
bool replay(const char *path, tally *tally);

#define DIGEST_START 0x9e3779b97f4a7c15u

/// The first bytes of a recording.
#define RECORDING_MAGIC "albefcalls 1\n"

#endif
