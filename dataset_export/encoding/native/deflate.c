/* Where ordinary deflate looks at every byte for something like it in the last 32 KB, this one mostly knows: the row before has the
 * same names, and the last row with the same value of a column has that, too. Two looks at the start of a value instead of one at
 * each byte make it fast, and a short distance takes fewer bits than a far one, which makes it small. Only long values are searched
 * as usual, and only as long as that pays for their column: those of digests have nothing in common.
 */
#include "deflate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "huffman.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bits are written and bytes compared as a little-endian machine does"
#endif

enum {
    SHORTEST = 3, LONGEST = 258,          /* bytes of a match */
    LITERALS = 286, DISTANCES = 30, END_OF_BLOCK = 256, LENGTHS = 257,
    SLOTS = 1 << 12,
    VALUE_BITS = 14, WORD_BITS = 12,
    WORD = 5,                             /* bytes that a search compares first: fewer than five are found everywhere in digests */
    BLOCK = 1 << 19,                      /* bytes of text of a block, about */
    SEQUENCES = 1 << 15,
    LONG_VALUE = 12,                      /* bytes that are worth a search */
    END_OF_VALUE = 3,                     /* bytes that are searched of a value that is not worth more */
    MOST_COST = 32,                       /* bytes of a value that count: a single one that has nothing in common tells little */
    SUMMED = 24,                          /* bytes whose prices are added up; more are estimated */
};

/* Prices are in eighths of a bit. */
enum { BIT = 8, TYPICAL_LITERAL = 34, TYPICAL_MATCH = 9 * BIT, LEAST_GAIN = 2 * BIT, LEAST_WORTH = -64 * BIT, MOST_WORTH = 512 * BIT };

/* Literals and the match after them. */
typedef struct { uint32_t literals; uint16_t length, distance; } Sequence;

typedef struct { uint32_t length, distance; } Match;

struct Deflate {
    uint32_t place;                       /* of the next byte of text in all of it, modulo 2^32 */
    uint32_t slots[SLOTS];                /* where a column was last */
    uint32_t values[1 << VALUE_BITS];     /* where a value of a column was last */
    int32_t worth[SLOTS];                 /* what searches saved in a column, less what they cost */
    uint32_t words[1 << WORD_BITS];       /* where so many bytes of a long value were last */
    uint16_t literal_prices[256], length_prices[LONGEST + 1], distance_prices[DISTANCES];
    uint8_t length_codes[LONGEST + 1], near_codes[256], far_codes[256];
    Sequence sequences[SEQUENCES + 1];    /* of the block */
};

typedef struct { uint8_t *at; uint64_t bits; unsigned count; } Bits;

/* A call: positions count from the start of the history. */
typedef struct {
    Deflate *self;
    Bits bits;
    const uint8_t *text;
    uint32_t end;
    uint32_t base;                        /* place of position 0 */
    uint32_t block;                       /* where the block began */
    uint32_t matched;                     /* where the last match began that can still be cut */
    uint32_t done;                        /* where it ended */
    uint32_t count;                       /* of sequences */
} Call;

static const uint16_t length_bases[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11, 13,  15,  17,  19,  23, 27,
                                          31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extras[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_bases[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                            193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extras[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                            6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static void add_match(Call *, uint32_t at, Match);
static void search(Call *, uint32_t end, Match after, uint32_t column);
static void end_block(Call *, uint32_t at);
static Match match_at(const Call *, uint32_t at, uint32_t place);
static uint32_t begin_sooner(const Call *, uint32_t at, Match *);
static int better_end(const Call *, uint32_t at, Match, Match *best, int least);
static int about(const Deflate *, Match);

size_t deflate_text(Deflate *self, const Text *text, size_t history, uint8_t *out) {
    uint32_t first = (uint32_t)history, end = (uint32_t)text->size;
    Call call = {.self = self, .bits = {out, 0, 0}, .text = text->bytes, .end = end, .base = self->place - first,
                 .block = first, .matched = first, .done = first};
    uint32_t column = 0;
    for (size_t i = 0; i < text->count && text->anchors[i].at < end; i++) {
        Anchor anchor = text->anchors[i];
        uint32_t at = anchor.at, column_before = column;
        column = anchor.slot % SLOTS;
        uint32_t *slot = &self->slots[column];
        uint32_t *value = &self->values[(anchor.value * UINT32_C(2654435761)) >> (32 - VALUE_BITS)];
        uint32_t row_before = *slot, same_value = *value;
        *slot = *value = call.base + at;
        Match match = match_at(&call, at, row_before), other = match_at(&call, at, same_value);
        if (call.done > at) {
            if (at < call.matched + SHORTEST) continue;
            Match best = {0, 1};
            int gain = better_end(&call, at, match, &best, 0);
            better_end(&call, at, other, &best, gain);
            if (best.length) {
                self->sequences[call.count - 1].length = (uint16_t)(at - call.matched);
                call.done = at;
                add_match(&call, at, best);
            }
            continue;
        }
        if (about(self, other) > about(self, match)) match = other;
        if (at - call.done > LONG_VALUE) search(&call, at, match, column_before);
        if (call.done <= at && match.length >= SHORTEST && about(self, match) > 0) add_match(&call, begin_sooner(&call, at, &match), match);
    }
    if (end - call.done > LONG_VALUE) search(&call, end, (Match){0, 1}, column);
    end_block(&call, end);
    self->place += end - first;
    /* An empty stored block ends at a whole byte. */
    uint8_t *at = call.bits.at;
    at[0] = (uint8_t)call.bits.bits;
    at += call.bits.count + 3 > 8 ? 2 : 1;
    if (at == call.bits.at + 2) at[-1] = 0;
    memcpy(at, "\x00\x00\xff\xff", 4);
    return (size_t)(at + 4 - out);
}

size_t deflate_bound(size_t size) {
    /* A literal takes at most 15 bits, a match 48 for three bytes or more; a block has 64 KB at least, but for the last. */
    return 2 * size + 1024 * (size / 65536 + 2);
}

static inline int distance_code(const Deflate *self, uint32_t distance) {
    return distance <= 256 ? self->near_codes[distance - 1] : self->far_codes[(distance - 1) >> 7];
}

/* The next WORD bytes, from the highest on. */
static inline uint64_t word_at(const uint8_t *at) {
    uint64_t loaded;
    memcpy(&loaded, at, sizeof loaded);
    return loaded << (64 - 8 * WORD);
}

static inline uint32_t hash_of(uint64_t word) { return (uint32_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - WORD_BITS)); }

static inline uint32_t equal_bytes(const uint8_t *left, const uint8_t *right, uint32_t most) {
    uint32_t size = 0;
    for (; size + 8 <= most; size += 8) {
        uint64_t a, b;
        memcpy(&a, left + size, 8);
        memcpy(&b, right + size, 8);
        if (a != b) return size + (uint32_t)(__builtin_ctzll(a ^ b) >> 3);
    }
    while (size < most && left[size] == right[size]) size++;
    return size;
}

/* What at `at` is as it was at `place`; of length 0 when that is out of reach. */
static inline Match match_at(const Call *call, uint32_t at, uint32_t place) {
    uint32_t distance = call->base + at - place;
    if (distance - 1 >= DEFLATE_WINDOW || distance > at) return (Match){0, 1};
    uint32_t most = call->end - at < LONGEST ? call->end - at : LONGEST;
    return (Match){equal_bytes(call->text + at, call->text + at - distance, most), distance};
}

/* Where a match at `at` can begin when it takes in literals before it; it becomes as long. */
static inline uint32_t begin_sooner(const Call *call, uint32_t at, Match *match) {
    while (at > call->done && at > match->distance && match->length < LONGEST && 
           call->text[at - 1] == call->text[at - 1 - match->distance]) {
        at--;
        match->length++;
    }
    return at;
}

/* What a match saves, by what is typical. */
static inline int about(const Deflate *self, Match match) {
    int extra = distance_extras[distance_code(self, match.distance)];
    return (int)match.length * TYPICAL_LITERAL - TYPICAL_MATCH - extra * BIT;
}

/* `match` becomes the best one when what it saves beyond the end of the last match is more than `least`; returns the most saved. */
static inline int better_end(const Call *call, uint32_t at, Match match, Match *best, int least) {
    if (match.length < SHORTEST || at + match.length <= call->done) return least;
    match.length -= call->done - at;
    int gain = about(call->self, match);
    match.length += call->done - at;
    if (gain <= least) return least;
    *best = match;
    return gain;
}

static inline int literals_price(const Call *call, uint32_t from, uint32_t to) {
    if (from >= to) return 0;
    uint32_t summed = to - from < SUMMED ? to - from : SUMMED;
    int price = (int)(to - from - summed) * TYPICAL_LITERAL;
    for (uint32_t i = 0; i < summed; i++) price += call->self->literal_prices[call->text[from + i]];
    return price;
}

static inline int match_price(const Deflate *self, Match match) {
    return self->length_prices[match.length] + self->distance_prices[distance_code(self, match.distance)];
}

/* What a match at `at` saves by the prices of the block before, when at `end` the match `after` could begin. What does not pay
 * beyond `end` is cut off. */
static int gain_of(const Call *call, uint32_t at, Match *match, uint32_t end, Match after) {
    uint32_t until = at + match->length, after_until = end + after.length;
    if (until <= end) return literals_price(call, at, until) - match_price(call->self, *match);
    int before_end = literals_price(call, at, end);
    int gain = before_end - match_price(call->self, *match) + literals_price(call, after_until, until) -
               literals_price(call, until, after_until);
    if (after.length >= SHORTEST) gain += match_price(call->self, after);
    Match cut = {end - at, match->distance};
    if (cut.length < SHORTEST) return gain;
    int gain_of_cut = before_end - match_price(call->self, cut);
    if (gain_of_cut <= gain) return gain;
    *match = cut;
    return gain_of_cut;
}

/* Look for matches from the end of the last one to `end`, byte by byte. Of what is in a column where that does not pay, the end only,
 * and now and then all of it. */
static void search(Call *call, uint32_t end, Match after, uint32_t column) {
    Deflate *self = call->self;
    const uint8_t *text = call->text;
    uint32_t last = call->end < 8 ? 0 : call->end - 8, at = call->done, before_end = end - END_OF_VALUE;
    if (end < last) last = end;
    int32_t *worth = &self->worth[column];
    bool is_whole = *worth >= LEAST_WORTH || ++*worth % 16 == 0;
    if (!is_whole) at = before_end;
    int64_t gained = *worth - (int64_t)(end - at < MOST_COST ? end - at : MOST_COST);
    while (at < last) {
        uint64_t word = word_at(text + at);
        uint32_t *known = &self->words[hash_of(word)];
        uint32_t place = *known, distance = call->base + at - place;
        *known = call->base + at;
        if (distance - 1 < DEFLATE_WINDOW && distance <= at && word == word_at(text + at - distance)) {
            Match match = match_at(call, at, place);
            uint32_t start = begin_sooner(call, at, &match);
            int gain = gain_of(call, start, &match, end, after);
            if (gain > LEAST_GAIN) {
                if (at < before_end) gained += gain;
                add_match(call, start, match);
                for (uint32_t i = at + 1; i < call->done && i < last; i++)
                    self->words[hash_of(word_at(text + i))] = call->base + i;
                at = call->done;
                continue;
            }
        }
        at++;
    }
    if (is_whole) *worth = gained < -MOST_WORTH ? -MOST_WORTH : gained > MOST_WORTH ? MOST_WORTH : (int32_t)gained;
}

static void add_match(Call *call, uint32_t at, Match match) {
    call->self->sequences[call->count++] = (Sequence){at - call->done, (uint16_t)match.length, (uint16_t)match.distance};
    call->matched = at;
    call->done = at + match.length;
    if (call->count == SEQUENCES || call->done - call->block > BLOCK) end_block(call, call->done);
}

static inline void put(Bits *bits, uint64_t value, unsigned count) {
    bits->bits |= value << bits->count;
    bits->count += count;
}

/* Between two of these, 57 bits may be put. */
static inline void write_bits(Bits *bits) {
    memcpy(bits->at, &bits->bits, sizeof bits->bits);
    unsigned bytes = bits->count >> 3;
    bits->at += bytes;
    bits->bits >>= 8 * bytes;
    bits->count &= 7;
}

/* The lengths of both codes, themselves coded (RFC 1951, 3.2.7). */
static void put_code_lengths(Bits *bits, const uint8_t *lengths, int count) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t symbols[LITERALS + DISTANCES], extras[LITERALS + DISTANCES], code_lengths[19];
    uint16_t codes[19];
    uint32_t frequencies[19] = {0};
    int used = 0, most = 19;
    for (int i = 0; i < count;) {
        uint8_t length = lengths[i];
        int run = 1;
        while (i + run < count && lengths[i + run] == length) run++;
        i += run;
        if (length) {
            symbols[used] = length;
            extras[used++] = 0;
            run--;
        }
        int longest = length ? 6 : 138;
        while (run >= 3) {
            int taken = run < longest ? run : longest;
            symbols[used] = length ? 16 : taken <= 10 ? 17 : 18;
            extras[used] = (uint8_t)(taken - (symbols[used] == 18 ? 11 : 3));
            used++;
            run -= taken;
        }
        while (run-- > 0) {
            symbols[used] = length;
            extras[used++] = 0;
        }
    }
    for (int i = 0; i < used; i++) frequencies[symbols[i]]++;
    huffman_codes(frequencies, 19, 7, code_lengths, codes);
    while (most > 4 && !code_lengths[order[most - 1]]) most--;
    put(bits, (uint64_t)(most - 4), 4);
    for (int i = 0; i < most; i++) {
        put(bits, code_lengths[order[i]], 3);
        write_bits(bits);
    }
    for (int i = 0; i < used; i++) {
        put(bits, codes[symbols[i]], code_lengths[symbols[i]]);
        if (symbols[i] >= 16) put(bits, extras[i], symbols[i] == 16 ? 2 : symbols[i] == 17 ? 3 : 7);
        write_bits(bits);
    }
}

/* Write what is not written yet, up to `at`, as a block that is not the last one. */
static void end_block(Call *call, uint32_t at) {
    Deflate *self = call->self;
    uint32_t frequencies[LITERALS] = {0}, distance_frequencies[DISTANCES] = {0};
    uint8_t lengths[LITERALS], distance_lengths[DISTANCES], all[LITERALS + DISTANCES];
    uint16_t codes[LITERALS], distance_codes[DISTANCES];
    self->sequences[call->count++] = (Sequence){at - call->done, 0, 0};
    const uint8_t *text = call->text + call->block;
    for (uint32_t i = 0; i < call->count; i++) {
        Sequence sequence = self->sequences[i];
        for (uint32_t j = 0; j < sequence.literals; j++) frequencies[text[j]]++;
        text += sequence.literals + sequence.length;
        if (sequence.length) {
            frequencies[LENGTHS + self->length_codes[sequence.length]]++;
            distance_frequencies[distance_code(self, sequence.distance)]++;
        }
    }
    frequencies[END_OF_BLOCK]++;
    huffman_codes(frequencies, LITERALS, 15, lengths, codes);
    huffman_codes(distance_frequencies, DISTANCES, 15, distance_lengths, distance_codes);

    Bits bits = call->bits;
    int literals = LITERALS, distances = DISTANCES;
    while (literals > LENGTHS && !lengths[literals - 1]) literals--;
    while (distances > 1 && !distance_lengths[distances - 1]) distances--;
    memcpy(all, lengths, (size_t)literals);
    memcpy(all + literals, distance_lengths, (size_t)distances);
    put(&bits, 2 << 1, 3);
    put(&bits, (uint64_t)(literals - LENGTHS), 5);
    put(&bits, (uint64_t)(distances - 1), 5);
    put_code_lengths(&bits, all, literals + distances);

    /* Bits in the lower three bytes, how many in the highest. */
    uint32_t literal_bits[256], length_bits[LONGEST + 1];
    for (int i = 0; i < 256; i++) {
        literal_bits[i] = codes[i] | (uint32_t)lengths[i] << 24;
        self->literal_prices[i] = (uint16_t)(BIT * (lengths[i] ? lengths[i] : 13));
    }
    for (int length = SHORTEST; length <= LONGEST; length++) {
        int code = self->length_codes[length], size = lengths[LENGTHS + code];
        length_bits[length] = codes[LENGTHS + code] | (uint32_t)(length - length_bases[code]) << size |
                              (uint32_t)(size + length_extras[code]) << 24;
        self->length_prices[length] = (uint16_t)(BIT * ((size ? size : 12) + length_extras[code]));
    }
    for (int i = 0; i < DISTANCES; i++)
        self->distance_prices[i] = (uint16_t)(BIT * ((distance_lengths[i] ? distance_lengths[i] : 10) + distance_extras[i]));

    text = call->text + call->block;
    for (uint32_t i = 0; i < call->count; i++) {
        Sequence sequence = self->sequences[i];
        uint32_t left = sequence.literals;
        for (; left >= 3; left -= 3, text += 3) {
            for (int j = 0; j < 3; j++) put(&bits, literal_bits[text[j]] & 0xffffff, literal_bits[text[j]] >> 24);
            write_bits(&bits);
        }
        for (; left; left--, text++) put(&bits, literal_bits[*text] & 0xffffff, literal_bits[*text] >> 24);
        write_bits(&bits);
        if (!sequence.length) continue;
        int code = distance_code(self, sequence.distance), size = distance_lengths[code];
        put(&bits, length_bits[sequence.length] & 0xffffff, length_bits[sequence.length] >> 24);
        put(&bits, distance_codes[code] | (uint64_t)(sequence.distance - distance_bases[code]) << size,
            (unsigned)(size + distance_extras[code]));
        write_bits(&bits);
        text += sequence.length;
    }
    put(&bits, codes[END_OF_BLOCK], lengths[END_OF_BLOCK]);
    write_bits(&bits);
    call->bits = bits;
    call->count = 0;
    call->block = call->matched = call->done = at;
}

Deflate *deflate_new(void) {
    Deflate *self = malloc(sizeof *self);
    if (!self) return NULL;
    for (int code = 0, length = SHORTEST; length <= LONGEST; length++) {
        while (code < 28 && length_bases[code + 1] <= length) code++;
        self->length_codes[length] = (uint8_t)code;
    }
    for (int code = 0, distance = 1; distance <= DEFLATE_WINDOW; distance++) {
        while (code < 29 && distance_bases[code + 1] <= distance) code++;
        if (distance <= 256) self->near_codes[distance - 1] = (uint8_t)code;
        else self->far_codes[(distance - 1) >> 7] = (uint8_t)code;
    }
    deflate_reset(self);
    return self;
}

void deflate_reset(Deflate *self) {
    memset(self->slots, 0, sizeof self->slots);
    memset(self->values, 0, sizeof self->values);
    memset(self->worth, 0, sizeof self->worth);
    memset(self->words, 0, sizeof self->words);
    /* So that place 0, which all of them have now, is out of reach. */
    self->place = 2 * DEFLATE_WINDOW;
    for (int i = 0; i < 256; i++) self->literal_prices[i] = i >= '0' && i <= '9' ? 4 * BIT : 6 * BIT;
    for (int i = 0; i <= LONGEST; i++) self->length_prices[i] = 7 * BIT;
    for (int i = 0; i < DISTANCES; i++) self->distance_prices[i] = (uint16_t)(BIT * (4 + distance_extras[i]));
}

void deflate_free(Deflate *self) { free(self); }
