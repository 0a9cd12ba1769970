// The conformance program: edge shapes, random cases and recorded calls, every instruction set of this CPU against the scalar
// one. See README.md.
#define _GNU_SOURCE
#include "conformance.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alb_threads.h"

const operation *const *const all_operations[] = {
    matmul_operations,   fused_operations,   attention_operations, row_operations,
    gradient_operations, picture_operations, heatmap_operations,   weight_operations, NULL};

const operation *operation_named(const char *name) {
    for (size_t g = 0; all_operations[g]; g++)
        for (size_t i = 0; all_operations[g][i]; i++)
            if (strcmp(all_operations[g][i]->name, name) == 0) return all_operations[g][i];
    for (size_t i = 0; faulty_operations[i]; i++)
        if (strcmp(faulty_operations[i]->name, name) == 0) return faulty_operations[i];
    return NULL;
}

typedef struct {
    size_t cases;
    uint64_t seed;
    const char *operation;  ///< only this one
    const char *only;       ///< only this case, such as "random 17"
    bool edges;
    const char *recordings[16];
    size_t recording_count;
} options;

static char current[200];

void announce(const char *title) { strncpy(current, title, sizeof current - 1); }

static void fault(int number) {
    // Only what may be called from a signal handler.
    static const char head[] = "memory fault (read or write outside of an operand, or an illegal instruction): ";
    ssize_t done = write(STDOUT_FILENO, head, sizeof head - 1);
    done = write(STDOUT_FILENO, current, strlen(current));
    done = write(STDOUT_FILENO, "\n", 1);
    (void)done;
    _exit(128 + number);
}

static uint64_t hash(const char *text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/// One case; false past the last edge.
static bool run_case(
    const operation *op, const options *o, bool edges, size_t index, void *call, tally *tally, uint64_t *digest) {
    char what[64];
    snprintf(what, sizeof what, "%s %zu", edges ? "edge" : "random", index);
    const uint64_t seed = (o->seed + (edges ? 1 : 2)) * 0x9e3779b97f4a7c15u + index * 0xd1342543de82ef95u + hash(op->name);
    shape_source shape = {.random = {seed}, .edges = edges, .left = index};
    memset(call, 0, op->call_bytes);
    op->draw(call, &shape);
    if (edges && shape.left > 0) return false;
    if (o->only && strcmp(o->only, what) != 0) return true;
    visitor v = {.mode = VISIT_PLACE, .random = &shape.random};
    op->describe(call, &v);
    if (v.failed) {
        printf("%s, %s: does not fit the guarded memory\n", op->name, what);
        tally->failed++;
        return true;
    }
    if (op->refine) op->refine(call, &shape.random);
    const int edge_threads[] = {1, 3, 0}, one[] = {1, 0}, several[] = {2 + (int)(index / 8 % 3), 0};
    check_call(op, call, &v, what, edges ? edge_threads : index % 8 == 7 ? several : one, tally, digest);
    return true;
}

static void run_operation(const operation *op, const options *o, tally *tally) {
    void *call = malloc(op->call_bytes);
    if (!call) exit(70);
    const size_t failed = tally->failed;
    uint64_t edge_digest = DIGEST_START, random_digest = DIGEST_START;
    size_t edges = 0;
    if (o->edges)
        while (run_case(op, o, true, edges, call, tally, &edge_digest)) edges++;
    const size_t before = tally->passed;
    for (size_t i = 0; i < o->cases; i++) run_case(op, o, false, i, call, tally, &random_digest);
    tally->random_passed += tally->passed - before;
    free(call);
    printf("%-24s", op->name);
    for (int isa = 0; isa < ALB_ISA_COUNT; isa++)
        if (tally->isas[isa] && (op->variant ? op->variant((alb_isa)isa) == (alb_isa)isa : isa == ALB_ISA_SCALAR))
            printf(" %s", alb_isa_name((alb_isa)isa));
    printf("%s\n", tally->failed > failed ? "  FAILED" : "");
    // Lines that two machines' outputs have in common.
    printf("digest %-24s edges %zu %016" PRIx64 " random %zu %016" PRIx64 "\n", op->name, edges, edge_digest, o->cases,
           random_digest);
}

static void usage(void) {
    printf("usage: conformance [--cases N] [--seed S] [--operation NAME] [--case \"random 17\"] [--isa NAME]... [--no-edges]\n"
           "                   [--allow-reads-behind]"
           " [--replay FILE]...\n"
           "  --cases N      random cases of each operation (default 1000)\n"
           "  --seed S       of the random cases (default 1)\n"
           "  --operation    only this one\n"
           "  --case         only this case, as a message of failure names it\n"
           "  --isa NAME     compare only these instruction sets with the scalar one\n"
           "  --no-edges     no edge shapes\n"
           "  --allow-reads-behind  catch only writes behind operands: for emulators that load masked lanes\n"
           "  --replay FILE  recorded calls, after the cases\n");
    exit(64);
}

static void name_isa(const char *name, tally *tally, bool *named) {
    if (!*named) memset(tally->isas, 0, sizeof tally->isas);
    *named = true;
    for (int isa = 0; isa < ALB_ISA_COUNT; isa++)
        if (strcmp(alb_isa_name((alb_isa)isa), name) == 0) {
            if (!alb_isa_supported((alb_isa)isa)) {
                fprintf(stderr, "error: this build or this CPU lacks '%s'\n", name);
                exit(64);
            }
            tally->isas[isa] = true;
            return;
        }
    usage();
}

int main(int argc, char **argv) {
    options o = {.cases = 1000, .seed = 1, .edges = true};
    tally tally = {0};
    for (int isa = 0; isa < ALB_ISA_COUNT; isa++) tally.isas[isa] = alb_isa_supported((alb_isa)isa);
    bool named = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-edges") == 0) {
            o.edges = false;
            continue;
        }
        if (strcmp(argv[i], "--allow-reads-behind") == 0) {
            allow_reads_behind();
            continue;
        }
        if (i + 1 == argc) usage();
        const char *name = argv[i], *value = argv[++i];
        if (strcmp(name, "--cases") == 0)
            o.cases = strtoull(value, NULL, 10);
        else if (strcmp(name, "--seed") == 0)
            o.seed = strtoull(value, NULL, 10);
        else if (strcmp(name, "--operation") == 0)
            o.operation = value;
        else if (strcmp(name, "--case") == 0)
            o.only = value;
        else if (strcmp(name, "--isa") == 0)
            name_isa(value, &tally, &named);
        else if (strcmp(name, "--replay") == 0 && o.recording_count < 16)
            o.recordings[o.recording_count++] = value;
        else
            usage();
    }
    if (o.operation && !operation_named(o.operation)) {
        fprintf(stderr, "error: no operation '%s'\n", o.operation);
        return 64;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGSEGV, fault);
    signal(SIGBUS, fault);
    signal(SIGILL, fault);
    printf("best instruction set: %s\nsupported:", alb_isa_name(alb_isa_best()));
    for (int isa = 0; isa < ALB_ISA_COUNT; isa++)
        if (alb_isa_supported((alb_isa)isa)) printf(" %s", alb_isa_name((alb_isa)isa));
    printf("\nseed %" PRIu64 ", %zu random cases of each operation\n", o.seed, o.cases);
    if (o.operation) {
        run_operation(operation_named(o.operation), &o, &tally);
    } else {
        for (size_t g = 0; all_operations[g]; g++)
            for (size_t i = 0; all_operations[g][i]; i++) run_operation(all_operations[g][i], &o, &tally);
    }
    for (size_t i = 0; i < o.recording_count; i++)
        if (!replay(o.recordings[i], &tally)) tally.failed++;
    printf("%zu comparisons of random cases\n%zu passed, %zu failed\n", tally.random_passed, tally.passed, tally.failed);
    return tally.failed == 0 ? 0 : 1;
}
