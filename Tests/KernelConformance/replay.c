// Replays recorded calls: each with every instruction set, and the scalar outputs against those of the recorded run.
#include "conformance.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/// Reads a call's name; false at the end of the file or where there is none.
static bool read_name(FILE *file, char name[64]) {
    int length = fgetc(file);
    if (length <= 0 || length >= 64) return false;
    if (fread(name, 1, (size_t)length, file) != (size_t)length) return false;
    name[length] = 0;
    return true;
}

static bool replay_call(FILE *file, size_t index, tally *tally, size_t *calls) {
    char name[64], what[64];
    if (!read_name(file, name)) return false;
    const operation *op = operation_named(name);
    if (!op) {
        printf("recorded call %zu is of an unknown operation '%s'\n", index, name);
        return false;
    }
    void *call = calloc(1, op->call_bytes);
    if (!call) return false;
    visitor v = {.mode = VISIT_LOAD, .file = file};
    op->describe(call, &v);
    uint64_t recorded = 0, digest = DIGEST_START;
    bool good = !v.failed && fread(&recorded, sizeof recorded, 1, file) == 1;
    if (good) {
        snprintf(what, sizeof what, "recorded %zu", index);
        const int threads[] = {1, 2, 0};
        check_call(op, call, &v, what, threads, tally, &digest);
        if (digest == recorded) {
            tally->passed++;
        } else {
            printf("%s, %s: outputs differ from those of the recorded run\n", name, what);
            tally->failed++;
        }
        ++*calls;
    }
    free(call);
    return good;
}

bool replay(const char *path, tally *tally) {
    FILE *file = fopen(path, "rb");
    char magic[sizeof RECORDING_MAGIC] = {0};
    if (!file || fread(magic, 1, sizeof magic - 1, file) != sizeof magic - 1 || strcmp(magic, RECORDING_MAGIC) != 0) {
        printf("%s: not a recording\n", path);
        if (file) fclose(file);
        return false;
    }
    size_t calls = 0;
    bool good = true;
    for (size_t index = 0; good; index++) {
        int next = fgetc(file);
        if (next == EOF) break;
        ungetc(next, file);
        good = replay_call(file, index, tally, &calls);
        if (!good) printf("%s: damaged at call %zu\n", path, index);
    }
    if (calls == 0) good = false;
    fclose(file);
    printf("%s: %zu recorded calls\n", path, calls);
    return good;
}
