/* Schubfach: Raffaele Giulietti, "The Schubfach way to render doubles", 2022. Where that leaves a choice, and where the
   Dragonbox of arrow-rs (lexical-write-float 1.0) gives a digit away, the digits are those of arrow-rs. */
#include "json_floats.h"

#include <stdbool.h>
#include <string.h>

#include "json_numbers.h"

typedef unsigned __int128 Wide;

/* ---- powers of ten ---- */

enum { LEAST_POWER = -292, MOST_POWER = 324, WORDS = 40 };

/* The first 128 bits of 10^power from LEAST_POWER on, rounded up. */
static Wide powers[MOST_POWER - LEAST_POWER + 1];

/* Of a number whose lowest word comes first. */
static Wide first_bits(const uint32_t *words, bool is_exact) {
    int top = WORDS - 1;
    while (!words[top]) top--;
    Wide bits = 0;
    for (int place = top; place > top - 4; place--) bits = bits << 32 | (place >= 0 ? words[place] : 0);
    uint32_t next = top >= 4 ? words[top - 4] : 0;
    int shift = __builtin_clz(words[top]);
    if (shift) bits = bits << shift | next >> (32 - shift);
    if (next << shift) is_exact = false;
    for (int place = 0; place < top - 4; place++) is_exact = is_exact && !words[place];
    return bits + !is_exact;
}

/* When the module is loaded, before there are threads that use it. 1280 bits hold the largest power, and leave more
   than 128 of 2^1279 divided by the largest divisor: dividing by ten again and again cuts off nothing above them. */
__attribute__((constructor)) static void make_powers(void) {
    uint32_t words[WORDS] = {1};
    for (int power = 0; power <= MOST_POWER; power++) {
        powers[power - LEAST_POWER] = first_bits(words, true);
        uint64_t carry = 0;
        for (int place = 0; place < WORDS; place++) {
            carry += (uint64_t)words[place] * 10;
            words[place] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    memset(words, 0, sizeof words);
    words[WORDS - 1] = 0x80000000u;
    for (int power = -1; power >= LEAST_POWER; power--) {
        uint64_t rest = 0;
        for (int place = WORDS - 1; place >= 0; place--) {
            rest = rest << 32 | words[place];
            words[place] = (uint32_t)(rest / 10);
            rest %= 10;
        }
        powers[power - LEAST_POWER] = first_bits(words, false);
    }
}

/* ---- digits ---- */

typedef struct { uint64_t digits; int exponent; } Decimal;

/* Shifting a negative number right rounds down with the compilers that this is built by. */
static inline int floor_log2_of_power(int power) { return power * 1741647 >> 19; }
static inline int floor_log10_of_power(int power) { return power * 1262611 >> 22; }
static inline int floor_log10_of_three_quarters(int power) { return (power * 1262611 - 524031) >> 22; }

/* The whole part of the product's first bits, odd where there is a rest: it compares with even numbers as the whole. */
static inline uint64_t round_to_odd(Wide power, uint64_t factor) {
    Wide low = (Wide)(uint64_t)power * factor, high = (power >> 64) * factor + (low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Of significand * 2^exponent. Below a power of two floats are closer to each other than above it. */
static inline Decimal shortest(uint64_t significand, int exponent, bool is_closer_below, bool is_float64) {
    if (exponent <= 0 && exponent > -53 && !(significand & (((uint64_t)1 << -exponent) - 1))) {
        return (Decimal){significand >> -exponent, 0};
    }
    int scale = is_closer_below ? floor_log10_of_three_quarters(exponent) : floor_log10_of_power(exponent);
    int shift = exponent + floor_log2_of_power(-scale) + 1;
    Wide power = powers[-scale - LEAST_POWER];
    /* In quarters of a unit of the last digit: the value, and the borders between which digits read back as it. What is
       on a border reads back as the even one of two neighbours; arrow-rs does not use this for all lower borders. */
    bool is_even = !(significand & 1), has_least = is_closer_below || (is_even && is_float64 && exponent < 10);
    uint64_t least = round_to_odd(power, (4 * significand - 2 + is_closer_below) << shift) + !has_least;
    uint64_t value = round_to_odd(power, (4 * significand) << shift);
    uint64_t most = round_to_odd(power, (4 * significand + 2) << shift) - !is_even;
    uint64_t fewer = value / 40;
    if (fewer && least <= 40 * fewer) return (Decimal){fewer, scale + 1};
    if (fewer && 40 * fewer + 40 <= most) return (Decimal){fewer + 1, scale + 1};
    /* The border above a power of two is further away than the one below, where the closest may be too low. */
    uint64_t digits = value / 4, middle = 4 * digits + 2;
    bool is_tie_up = (digits & 1) || !(is_float64 || is_closer_below);
    bool is_up = least > 4 * digits || value > middle || (value == middle && is_tie_up);
    return (Decimal){digits + is_up, scale};
}

/* ---- text ---- */

/* As arrow-rs has it: with an exponent of ten from 10^10 on and below 10^-5, and always with a point. */
static uint8_t *decimal_point_text(uint8_t *to, Decimal decimal) {
    uint8_t text[32];
    int count = (int)(unsigned_text(text, decimal.digits) - text);
    int before = count + decimal.exponent;
    while (count > 1 && text[count - 1] == '0') count--;
    if (before > 10 || before < -4) {
        *to++ = text[0];
        *to++ = '.';
        if (count == 1) text[count++] = '0';
        memcpy(to, text + 1, (size_t)count - 1);
        to += count - 1;
        *to++ = 'e';
        return signed_text(to, before - 1);
    }
    if (before <= 0) {
        memcpy(to, "0.0000", 6);
        to += 2 - before;
        memcpy(to, text, (size_t)count);
        return to + count;
    }
    while (count <= before) text[count++] = '0';
    memcpy(to, text, (size_t)before);
    to += before;
    *to++ = '.';
    memcpy(to, text + before, (size_t)(count - before));
    return to + count - before;
}

/* Of whole millionths, which have at most 15 digits. */
static uint8_t *millionths_text(uint8_t *to, uint64_t millionths) {
    to = unsigned_text(to, millionths / 1000000);
    uint32_t rest = (uint32_t)(millionths % 1000000), places = 100000;
    *to++ = '.';
    do {
        *to++ = (uint8_t)('0' + rest / places);
        rest %= places;
        places /= 10;
    } while (rest);
    return to;
}

static uint8_t *float_text(uint8_t *to, uint64_t bits, int size, int bias) {
    uint64_t hidden = (uint64_t)1 << size, significand = bits & (hidden - 1);
    int exponent = (int)(bits >> size);
    bool is_float64 = size == 52, is_closer_below = !significand && exponent > 1;
    if (exponent) significand |= hidden;
    else exponent = 1;
    return decimal_point_text(to, shortest(significand, exponent - bias, is_closer_below, is_float64));
}

/* Few decimal places are tried out first. Division rounds correctly, and no two decimals of at most 15 digits read back
   as the same float64, or of 6 as the same float32: what is found is the shortest. */
uint8_t *float64_text(uint8_t *to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    *to = '-';
    to += bits >> 63;
    bits &= UINT64_MAX >> 1;
    double positive = value < 0 ? -value : value;
    if (positive < 1e9 && (positive >= 1e-5 || positive == 0)) {
        int64_t millionths = (int64_t)(positive * 1e6 + 0.5);
        if ((double)millionths / 1e6 == positive) return millionths_text(to, (uint64_t)millionths);
    }
    return float_text(to, bits, 52, 1075);
}

uint8_t *float32_text(uint8_t *to, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    *to = '-';
    to += bits >> 31;
    bits &= UINT32_MAX >> 1;
    float positive = value < 0 ? -value : value;
    if (positive < 9999) {
        int32_t hundredths = (int32_t)(positive * 100 + 0.5f);
        if ((float)hundredths / 100 == positive) return millionths_text(to, (uint64_t)hundredths * 10000);
    }
    return float_text(to, bits, 23, 150);
}

uint8_t *float16_text(uint8_t *to, uint16_t bits) {
    float value = (float)(bits & 0x3ff);
    int exponent = bits >> 10 & 31;
    if (exponent) value += 1024;
    for (int doubled = 1; doubled < exponent; doubled++) value *= 2;
    value /= 16777216;
    return float32_text(to, bits >> 15 ? -value : value);
}
