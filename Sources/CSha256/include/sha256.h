#ifndef ALB_SHA256_H
#define ALB_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A running SHA-256 (FIPS 180-4). A plain value: it may be copied, and needs no release.
typedef struct {
    uint32_t state[8];
    /// Bytes taken so far; a message may have up to 2^61 - 1 of them.
    uint64_t length;
    /// The last `length % 64` bytes, waiting for the rest of their block.
    uint8_t block[64];
    /// Whether the CPU's SHA instructions are used.
    bool accelerated;
} alb_sha256;

/// Whether this CPU has SHA instructions that this build can use.
bool alb_sha256_is_accelerated(void);

/// Starts a message. `portable` keeps to plain C, as on a CPU without SHA instructions.
void alb_sha256_begin(alb_sha256 *_Nonnull context, bool portable);

/// Takes the next `size` bytes of the message.
void alb_sha256_update(alb_sha256 *_Nonnull context, const void *_Nonnull bytes, size_t size);

/// Ends the message and writes its digest of 32 bytes. The context must be begun again before it is used again.
void alb_sha256_finish(alb_sha256 *_Nonnull context, uint8_t *_Nonnull digest);

#endif
