#include "json_numbers.h"

#include <stdbool.h>
#include <string.h>

static const char PAIRS[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static const uint64_t POWERS[] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u,
};

static void pair(uint8_t *to, unsigned value) { memcpy(to, PAIRS + 2 * value, 2); }

static unsigned digits_of(uint64_t value) {
    unsigned digits = 1;
    for (; value >= 10000; value /= 10000) digits += 4;
    return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

/* Exactly so many digits, with zeros before them. */
static void fixed_digits(uint8_t *to, uint64_t value, unsigned digits) {
    while (digits >= 2) {
        digits -= 2;
        pair(to + digits, (unsigned)(value % 100));
        value /= 100;
    }
    if (digits) to[0] = (uint8_t)('0' + value % 10);
}

uint8_t *unsigned_text(uint8_t *to, uint64_t value) {
    unsigned digits = digits_of(value);
    fixed_digits(to, value, digits);
    return to + digits;
}

uint8_t *signed_text(uint8_t *to, int64_t value) {
    if (value >= 0) return unsigned_text(to, (uint64_t)value);
    *to = '-';
    return unsigned_text(to + 1, 0 - (uint64_t)value);
}

/* Divides high:low by 10^18 and returns the rest. */
static uint64_t divide(uint64_t *high, uint64_t *low) {
    uint64_t words[4] = {*high >> 32, *high & 0xffffffff, *low >> 32, *low & 0xffffffff};
    /* In steps of 32 bits by 10^9, twice: what is carried stays below 64 bits. */
    uint64_t rests[2];
    for (int step = 0; step < 2; step++) {
        uint64_t rest = 0;
        for (int word = 0; word < 4; word++) {
            uint64_t now = (rest << 32) | words[word];
            words[word] = now / 1000000000u;
            rest = now % 1000000000u;
        }
        rests[step] = rest;
    }
    *high = (words[0] << 32) | words[1];
    *low = (words[2] << 32) | words[3];
    return rests[1] * 1000000000u + rests[0];
}

uint8_t *decimal_text(uint8_t *to, uint64_t low, int64_t high, int scale) {
    uint64_t top = (uint64_t)high;
    if (high < 0) {
        *to++ = '-';
        low = 0 - low;
        top = ~top + (low == 0);
    }
    if (!top && 0 < scale && scale < (int)(sizeof POWERS / sizeof *POWERS)) {
        to = unsigned_text(to, low / POWERS[scale]);
        *to++ = '.';
        fixed_digits(to, low % POWERS[scale], (unsigned)scale);
        return to + scale;
    }
    uint8_t digits[64];
    unsigned count = 0;
    if (!top) {
        count = digits_of(low);
        fixed_digits(digits, low, count);
    } else {
        uint64_t last = divide(&top, &low), middle = 0;
        if (top || low >= 1000000000000000000u) {
            middle = divide(&top, &low);
            count = digits_of(low);
            fixed_digits(digits, low, count);
            fixed_digits(digits + count, middle, 18);
            count += 18;
        } else {
            count = digits_of(low);
            fixed_digits(digits, low, count);
        }
        fixed_digits(digits + count, last, 18);
        count += 18;
    }
    if (scale <= 0) {
        memcpy(to, digits, count);
        memset(to + count, '0', (size_t)-scale);
        return to + count + (size_t)-scale;
    }
    unsigned after = (unsigned)scale;
    if (count > after) {
        memcpy(to, digits, count - after);
        to += count - after;
        *to++ = '.';
        memcpy(to, digits + count - after, after);
        return to + after;
    }
    *to++ = '0';
    *to++ = '.';
    memset(to, '0', after - count);
    memcpy(to + after - count, digits, count);
    return to + after;
}

uint8_t *date_text(uint8_t *to, int64_t days) {
    /* Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms": years begin on the first of
     * March, and so many eras of 400 years before 1970 that no day is negative. */
    enum { ERAS = 700, DAYS_OF_ERA = 146097, MARCH_OF_YEAR_0 = 719468 };
    uint32_t fourths = 4 * (uint32_t)(days + MARCH_OF_YEAR_0 + (int64_t)ERAS * DAYS_OF_ERA) + 3;
    uint32_t century = fourths / DAYS_OF_ERA;
    uint64_t of_century = (uint64_t)2939745 * (fourths % DAYS_OF_ERA | 3);
    uint32_t day_of_year = (uint32_t)of_century / 2939745 / 4;
    uint32_t in_month = 2141 * day_of_year + 197913;
    bool is_next_year = day_of_year >= 306;
    uint32_t month = (in_month >> 16) - (is_next_year ? 12 : 0), day = (in_month & 0xffff) / 2141 + 1;
    int32_t year = (int32_t)(100 * century + (uint32_t)(of_century >> 32) + is_next_year) - 400 * ERAS;
    if (0 <= year && year <= 9999) {
        pair(to, (uint32_t)year / 100);
        pair(to + 2, (uint32_t)year % 100);
        to += 4;
    } else {
        *to++ = year < 0 ? '-' : '+';
        uint32_t positive = (uint32_t)(year < 0 ? -year : year);
        unsigned digits = positive < 1000 ? 4 : digits_of(positive);
        fixed_digits(to, positive, digits);
        to += digits;
    }
    to[0] = '-';
    pair(to + 1, month);
    to[3] = '-';
    pair(to + 4, day);
    return to + 6;
}

uint8_t *clock_text(uint8_t *to, uint32_t second, uint32_t nanoseconds) {
    pair(to, second / 3600);
    to[2] = ':';
    pair(to + 3, second / 60 % 60);
    to[5] = ':';
    pair(to + 6, second % 60);
    to += 8;
    if (!nanoseconds) return to;
    unsigned digits = 9;
    while (nanoseconds % 1000 == 0) {
        nanoseconds /= 1000;
        digits -= 3;
    }
    *to++ = '.';
    fixed_digits(to, nanoseconds, digits);
    return to + digits;
}
