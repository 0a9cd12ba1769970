/// How memory of an operand and its guards lie.
#ifndef GUARDS_H
#define GUARDS_H

#include "conformance.h"

/// Guard bytes before an operand.
#define GUARD_BYTES 64
/// Every byte that is no element: a NaN where it is read as a float.
#define GUARD_VALUE 0xff

/// An operand with its guards, up to the page that must not be touched.
typedef struct {
    unsigned char *start;
    size_t bytes;
} guarded_span;

guarded_span span_of(const visitor *v, size_t index);

#endif
