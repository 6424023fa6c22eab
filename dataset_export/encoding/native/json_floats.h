/* Digits of floats: the shortest that read back equal, and of these the closest. Each function writes a finite number
   at `to`, which has room for 64 bytes, and returns where it ended. */
#ifndef JSON_FLOATS_H
#define JSON_FLOATS_H

#include <stdint.h>

uint8_t *float64_text(uint8_t *to, double value);
uint8_t *float32_text(uint8_t *to, float value);
/* As the float32 of that value. */
uint8_t *float16_text(uint8_t *to, uint16_t bits);

#endif
