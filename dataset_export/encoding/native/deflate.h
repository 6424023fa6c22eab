/* Deflate (RFC 1951) for text that says where it repeats itself. No Python in here. */
#ifndef DEFLATE_H
#define DEFLATE_H

#include "text.h"

/* Bytes before a place in which what is there may be repeated. */
enum { DEFLATE_WINDOW = 1 << 15 };

/* What is known of the text so far. Not for several threads at once. */
typedef struct Deflate Deflate;

/* NULL when there is no memory. */
Deflate *deflate_new(void);
void deflate_free(Deflate *);

/* Forget what came before: what is compressed next depends on nothing else. */
void deflate_reset(Deflate *);

/* Bytes that `size` bytes of text take at most. */
size_t deflate_bound(size_t size);

/* Compress the text from `history` on, and end at a whole byte; not the last block. The `history` bytes before it must be the end
 * of what was compressed last, 32 KB of it at most, or none. `out` has room for `deflate_bound(size - history)`. Returns bytes written. */
size_t deflate_text(Deflate *, const Text *, size_t history, uint8_t *out);

#endif
