#include "json_strings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int grow(Text *out, size_t more) {
    if (more > JSON_TEXT_MOST || out->size + more > JSON_TEXT_MOST) return JSON_TEXT_TOO_LARGE;
    size_t capacity = out->capacity < 4096 ? 4096 : out->capacity;
    while (capacity - out->size < more || capacity < out->size) capacity *= 2;
    uint8_t *bytes = realloc(out->bytes, capacity);
    if (!bytes) return JSON_TEXT_NO_MEMORY;
    out->bytes = bytes;
    out->capacity = capacity;
    return JSON_TEXT_DONE;
}

static inline bool is_escaped(uint8_t byte) { return byte < 0x20 || byte == '"' || byte == '\\'; }

static inline bool has_escaped(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quotes = word ^ (ones * '"'), slashes = word ^ (ones * '\\');
    return (((word - ones * 0x20) & ~word) | ((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes)) & tops;
}

static uint8_t *escaped(uint8_t *to, uint8_t byte) {
    static const char HEX[] = "0123456789abcdef";
    *to++ = '\\';
    switch (byte) {
    case '"': case '\\': *to++ = byte; return to;
    case '\b': *to++ = 'b'; return to;
    case '\f': *to++ = 'f'; return to;
    case '\n': *to++ = 'n'; return to;
    case '\r': *to++ = 'r'; return to;
    case '\t': *to++ = 't'; return to;
    default:
        memcpy(to, "u00", 3);
        to[3] = (uint8_t)HEX[byte >> 4];
        to[4] = (uint8_t)HEX[byte & 15];
        return to + 5;
    }
}

static int escaped_string(Text *out, const uint8_t *from, size_t size) {
    if (size > JSON_TEXT_MOST / 6) return JSON_TEXT_TOO_LARGE;
    int error = need(out, 6 * size + FIXED_ROOM);
    if (error) return error;
    uint8_t *to = out->bytes + out->size;
    for (size_t at = 0; at < size; at++) {
        if (is_escaped(from[at])) to = escaped(to, from[at]);
        else *to++ = from[at];
    }
    out->size = (size_t)(to - out->bytes);
    return JSON_TEXT_DONE;
}

int string(Text *out, const uint8_t *from, size_t size) {
    if (size > JSON_TEXT_MOST) return JSON_TEXT_TOO_LARGE;
    int error = need(out, size + FIXED_ROOM);
    if (error) return error;
    uint8_t *to = out->bytes + out->size;
    size_t at = 0;
    uint64_t word;
    for (; size - at > 8; at += 8) {
        memcpy(&word, from + at, 8);
        if (has_escaped(word)) goto rest;
        memcpy(to + at, &word, 8);
    }
    /* The last bytes at once, together with some before them. */
    if (size >= 8) {
        memcpy(&word, from + size - 8, 8);
        if (has_escaped(word)) goto rest;
        memcpy(to + size - 8, &word, 8);
        at = size;
    } else if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + size - 4, 4);
        if (has_escaped((uint64_t)last << 32 | first)) goto rest;
        memcpy(to, &first, 4);
        memcpy(to + size - 4, &last, 4);
        at = size;
    }
    for (; at < size; at++) {
        if (is_escaped(from[at])) goto rest;
        to[at] = from[at];
    }
rest:
    out->size += at;
    return at < size ? escaped_string(out, from + at, size - at) : JSON_TEXT_DONE;
}

int base64(Text *out, const uint8_t *from, size_t size) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (size > JSON_TEXT_MOST / 2) return JSON_TEXT_TOO_LARGE;
    int error = need(out, size / 3 * 4 + FIXED_ROOM);
    if (error) return error;
    uint8_t *to = out->bytes + out->size;
    for (; size >= 3; size -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = (uint8_t)DIGITS[bits >> 18];
        *to++ = (uint8_t)DIGITS[bits >> 12 & 63];
        *to++ = (uint8_t)DIGITS[bits >> 6 & 63];
        *to++ = (uint8_t)DIGITS[bits & 63];
    }
    if (size) {
        uint32_t bits = (uint32_t)from[0] << 16 | (size > 1 ? (uint32_t)from[1] << 8 : 0);
        *to++ = (uint8_t)DIGITS[bits >> 18];
        *to++ = (uint8_t)DIGITS[bits >> 12 & 63];
        *to++ = size > 1 ? (uint8_t)DIGITS[bits >> 6 & 63] : '=';
        *to++ = '=';
    }
    out->size = (size_t)(to - out->bytes);
    return JSON_TEXT_DONE;
}
