/* Room in a text, and strings in it. What is said to be an error is one of `json_text.h`. */
#ifndef JSON_STRINGS_H
#define JSON_STRINGS_H

#include "json_text.h"

/* Bytes that are left behind what these functions append: as many as a number, a moment or a constant takes. */
enum { FIXED_ROOM = 256 };

/* Make room for so many bytes more. */
int grow(Text *out, size_t more);

static inline int need(Text *out, size_t more) {
    return out->capacity - out->size >= more && out->size + more <= JSON_TEXT_MOST ? JSON_TEXT_DONE : grow(out, more);
}

/* Append a string, escaped where JSON wants it, without quotes. */
int string(Text *out, const uint8_t *from, size_t size);
/* Append bytes as base64 with padding. */
int base64(Text *out, const uint8_t *from, size_t size);

#endif
