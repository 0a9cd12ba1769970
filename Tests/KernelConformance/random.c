// Random numbers, shapes and contents. Floats are made from integers by exact operations alone, so that every machine sees the
// same cases.
#include "conformance.h"

#include <string.h>

uint64_t random_bits(random_source *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t random_below(random_source *random, size_t limit) { return (size_t)((random_bits(random) >> 32) * limit >> 32); }

bool random_chance(random_source *random, size_t one_in) { return random_below(random, one_in) == 0; }

float random_unit(random_source *random) {
    return (float)((int32_t)(random_bits(random) >> 40) - (1 << 23)) * 0x1p-23f;
}

size_t extent(shape_source *shape, size_t limit, const size_t *edges, size_t count) {
    if (shape->edges) return edges[choice(shape, count)];
    size_t most = random_chance(&shape->random, 16) ? 4 * limit : limit;
    return 1 + random_below(&shape->random, most);
}

size_t choice(shape_source *shape, size_t count) {
    if (!shape->edges) return random_below(&shape->random, count);
    size_t value = shape->left % count;
    shape->left /= count;
    return value;
}

size_t chance(shape_source *shape, size_t count) { return random_below(&shape->random, count); }

size_t gap(shape_source *shape) { return chance(shape, 2) ? 0 : chance(shape, 9); }

// 2^exponent, exact, for exponents of normal numbers.
static float power_of_two(int exponent) {
    uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/// What a row of floats looks like. Most are plain; the others meet ties, zeros, outliers, denormals and sums that cancel.
static void fill_row(random_source *random, size_t columns, float *row) {
    const size_t style = random_below(random, 24);
    const float magnitude = power_of_two((int)random_below(random, 7) - 4);
    for (size_t c = 0; c < columns; c++) {
        float x = random_unit(random);
        switch (style) {
        case 0: x = 0.0f; break;
        case 1: x = (float)((int)random_below(random, 17) - 8) * 0.5f; break;
        case 2: x = x * (random_chance(random, 8) ? 512.0f : magnitude); break;
        case 3: x = x * 0x1p-120f; break;
        case 4: x = random_chance(random, 2) ? 0.0f : x * magnitude; break;
        case 5: x = (x < 0 ? -x : x) * magnitude; break;
        case 6: x = magnitude; break;
        case 7: x = x * 0x1p-145f; break;
        default: x = x * magnitude; break;
        }
        row[c] = x;
    }
}

size_t element_bytes(element_kind kind) {
    switch (kind) {
    case KIND_U8:
    case KIND_S8: return 1;
    case KIND_I32:
    case KIND_F32: return 4;
    case KIND_F64: return 8;
    }
    return 1;
}

void fill_random(random_source *random, element_kind kind, size_t rows, size_t columns, size_t stride, void *data) {
    // Extreme bytes only, now and then: the greatest sums of products.
    const bool extreme = random_chance(random, 8);
    for (size_t r = 0; r < rows; r++) {
        unsigned char *row = (unsigned char *)data + r * stride * element_bytes(kind);
        switch (kind) {
        case KIND_F32: fill_row(random, columns, (float *)row); break;
        case KIND_F64:
            for (size_t c = 0; c < columns; c++) ((double *)row)[c] = (double)random_unit(random) * 64;
            break;
        case KIND_I32:
            for (size_t c = 0; c < columns; c++) ((int32_t *)row)[c] = (int32_t)random_below(random, 256);
            break;
        case KIND_U8:
            for (size_t c = 0; c < columns; c++) {
                const uint64_t bits = random_bits(random);
                row[c] = extreme ? (bits & 4 ? 0 : 255) : (unsigned char)(bits >> 56);
            }
            break;
        case KIND_S8:
            // Weights are never -128.
            for (size_t c = 0; c < columns; c++) {
                const uint64_t bits = random_bits(random);
                const int value = extreme ? (bits & 4 ? -127 : 127) : (int)((bits >> 32) % 255) - 127;
                row[c] = (unsigned char)(int8_t)value;
            }
            break;
        }
    }
}
