/* Digits of integers, decimals and moments. Each function writes at `to`, which has room for 64 bytes beyond what is
   padded with zeros, and returns where it ended. */
#ifndef JSON_NUMBERS_H
#define JSON_NUMBERS_H

#include <stdint.h>

uint8_t *unsigned_text(uint8_t *to, uint64_t value);
uint8_t *signed_text(uint8_t *to, int64_t value);
/* A two's complement number of 128 bits, times ten to the power of -scale. At most 40 digits, and |scale| zeros. */
uint8_t *decimal_text(uint8_t *to, uint64_t low, int64_t high, int scale);
/* Days since 1970 as YYYY-MM-DD; years below 0 and above 9999 with a sign. */
uint8_t *date_text(uint8_t *to, int64_t days);
/* HH:MM:SS with 0, 3, 6 or 9 digits of a second, as many as are needed. */
uint8_t *clock_text(uint8_t *to, uint32_t second_of_day, uint32_t nanoseconds);

#endif
