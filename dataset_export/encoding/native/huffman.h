/* Prefix codes of deflate (RFC 1951, 3.2.2). */
#ifndef HUFFMAN_H
#define HUFFMAN_H

#include <stdint.h>

/* Lengths and codes (first bit lowest) of `count` symbols with these frequencies, none longer than `longest` bits. Symbols that never
 * occur have length 0. `count` is at most 288; at least two symbols get a code. */
void huffman_codes(const uint32_t *frequencies, int count, int longest, uint8_t *lengths, uint16_t *codes);

#endif
