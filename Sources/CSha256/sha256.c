/// SHA-256 as in FIPS 180-4: plain C, and the same with the SHA instructions of x86-64 where the CPU has them.
#include "sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { BLOCK = 64 };

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int count) { return (x >> count) | (x << (32 - count)); }

static uint32_t load_big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void blocks_portable(uint32_t state[8], const uint8_t *data, size_t count) {
    for (; count > 0; --count, data += BLOCK) {
        uint32_t w[64];
        for (int t = 0; t < 16; ++t) w[t] = load_big_endian(data + 4 * t);
        for (int t = 16; t < 64; ++t) {
            const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
            const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
            w[t] = s1 + w[t - 7] + s0 + w[t - 16];
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int t = 0; t < 64; ++t) {
            const uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
            const uint32_t first = h + s1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
            const uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
            const uint32_t second = s0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + first;
            d = c, c = b, b = a, a = first + second;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#if defined(__x86_64__)

/// The instructions want the state as two vectors, {A, B, E, F} and {C, D, G, H}, and do two rounds at a time.
__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_sha_ni(
    uint32_t state[8], const uint8_t *data, size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
    for (; count > 0; --count, data += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; ++i) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
#pragma unroll
        for (int r = 0; r < 16; ++r) {
            const __m128i constants = _mm_loadu_si128((const __m128i *)(round_constants + 4 * r));
            const __m128i terms = _mm_add_epi32(w[r & 3], constants);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, terms);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(terms, 0x0E));
            if (r < 12) {
                const __m128i sum = _mm_add_epi32(
                    _mm_sha256msg1_epu32(w[r & 3], w[(r + 1) & 3]),
                    _mm_alignr_epi8(w[(r + 3) & 3], w[(r + 2) & 3], 4));
                w[r & 3] = _mm_sha256msg2_epu32(sum, w[(r + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool alb_sha256_is_accelerated(void) {
    // CPUID is slow on virtual machines, so it is asked once: 0 unknown, 1 no, 2 yes. A race only asks twice.
    static int answer;
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (known == 0) {
        unsigned a, b, c, d;
        const bool sse = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
        known = sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) ? 2 : 1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known == 2;
}

#else

bool alb_sha256_is_accelerated(void) { return false; }

#endif

static void blocks(alb_sha256 *context, const uint8_t *data, size_t count) {
#if defined(__x86_64__)
    if (context->accelerated) {
        blocks_sha_ni(context->state, data, count);
        return;
    }
#endif
    blocks_portable(context->state, data, count);
}

void alb_sha256_begin(alb_sha256 *context, bool portable) {
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memset(context, 0, sizeof *context);
    memcpy(context->state, start, sizeof start);
    context->accelerated = !portable && alb_sha256_is_accelerated();
}

void alb_sha256_update(alb_sha256 *context, const void *bytes, size_t size) {
    const uint8_t *data = bytes;
    const size_t waiting = context->length % BLOCK;
    context->length += size;
    if (waiting > 0) {
        const size_t room = BLOCK - waiting;
        const size_t taken = size < room ? size : room;
        memcpy(context->block + waiting, data, taken);
        if (taken < room) return;
        blocks(context, context->block, 1);
        data += taken;
        size -= taken;
    }
    blocks(context, data, size / BLOCK);
    memcpy(context->block, data + size / BLOCK * BLOCK, size % BLOCK);
}

void alb_sha256_finish(alb_sha256 *context, uint8_t *digest) {
    // A one bit, zeros up to 8 bytes before a block's end, then the length in bits.
    const uint64_t bits = context->length * 8;
    uint8_t padding[BLOCK + 8] = {0x80};
    const size_t waiting = context->length % BLOCK;
    const size_t zeros_end = waiting < BLOCK - 8 ? BLOCK - 8 - waiting : 2 * BLOCK - 8 - waiting;
    for (int i = 0; i < 8; ++i) padding[zeros_end + i] = (uint8_t)(bits >> (56 - 8 * i));
    alb_sha256_update(context, padding, zeros_end + 8);
    for (int i = 0; i < 8; ++i) {
        const uint32_t word = context->state[i];
        digest[4 * i] = (uint8_t)(word >> 24), digest[4 * i + 1] = (uint8_t)(word >> 16);
        digest[4 * i + 2] = (uint8_t)(word >> 8), digest[4 * i + 3] = (uint8_t)word;
    }
}
