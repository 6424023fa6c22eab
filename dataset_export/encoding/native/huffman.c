#include "huffman.h"

#include <stdlib.h>
#include <string.h>

enum { SYMBOLS = 288, LONGEST_CODE = 15 };

typedef struct { uint32_t weight; uint16_t symbol; } Leaf;

static int by_weight(const void *left, const void *right) {
    const Leaf *a = left, *b = right;
    if (a->weight != b->weight) return a->weight < b->weight ? -1 : 1;
    return (int)a->symbol - (int)b->symbol;
}

/* How many codes have which length: Huffman's tree by two queues, its depths cut at `longest` (Kraft's sum is then repaired by
 * lengthening the longest codes that are shorter). */
static void count_lengths(const Leaf *leaves, int used, int longest, int *lengths_with) {
    uint64_t weights[2 * SYMBOLS];
    int parents[2 * SYMBOLS], depths[2 * SYMBOLS];
    for (int i = 0; i < used; i++) weights[i] = leaves[i].weight;
    int leaf = 0, node = used, nodes = used;
    while (nodes < 2 * used - 1) {
        uint64_t sum = 0;
        for (int child = 0; child < 2; child++) {
            int least = leaf < used && (node == nodes || weights[leaf] <= weights[node]) ? leaf++ : node++;
            sum += weights[least];
            parents[least] = nodes;
        }
        weights[nodes++] = sum;
    }
    depths[nodes - 1] = 0;
    memset(lengths_with, 0, (LONGEST_CODE + 1) * sizeof *lengths_with);
    int64_t excess = -(INT64_C(1) << longest);
    for (int i = nodes - 2; i >= 0; i--) {
        depths[i] = depths[parents[i]] + 1;
        if (i < used) {
            int depth = depths[i] < longest ? depths[i] : longest;
            lengths_with[depth]++;
            excess += INT64_C(1) << (longest - depth);
        }
    }
    while (excess > 0) {
        int length = longest - 1;
        while (!lengths_with[length]) length--;
        lengths_with[length]--;
        lengths_with[length + 1]++;
        excess -= INT64_C(1) << (longest - length - 1);
    }
    /* What the repair took too much goes back to codes that can be shorter. */
    for (int length = longest; excess < 0 && length > 1; length--)
        while (lengths_with[length] && excess + (INT64_C(1) << (longest - length)) <= 0) {
            lengths_with[length]--;
            lengths_with[length - 1]++;
            excess += INT64_C(1) << (longest - length);
        }
}

void huffman_codes(const uint32_t *frequencies, int count, int longest, uint8_t *lengths, uint16_t *codes) {
    Leaf leaves[SYMBOLS];
    int used = 0, lengths_with[LONGEST_CODE + 1];
    for (int symbol = 0; symbol < count; symbol++)
        if (frequencies[symbol]) leaves[used++] = (Leaf){frequencies[symbol], (uint16_t)symbol};
    for (int symbol = 0; used < 2; symbol++)
        if (!frequencies[symbol]) leaves[used++] = (Leaf){1, (uint16_t)symbol};
    qsort(leaves, (size_t)used, sizeof *leaves, by_weight);
    count_lengths(leaves, used, longest, lengths_with);
    memset(lengths, 0, (size_t)count);
    for (int length = longest, at = 0; length; length--)
        for (int i = 0; i < lengths_with[length]; i++) lengths[leaves[at++].symbol] = (uint8_t)length;
    unsigned next[LONGEST_CODE + 2] = {0};
    for (int length = 1; length <= longest; length++)
        next[length + 1] = (next[length] + (unsigned)lengths_with[length]) << 1;
    for (int symbol = 0; symbol < count; symbol++) {
        unsigned code = lengths[symbol] ? next[lengths[symbol]]++ : 0, reversed = 0;
        for (int bit = 0; bit < lengths[symbol]; bit++) reversed |= (code >> bit & 1) << (lengths[symbol] - 1 - bit);
        codes[symbol] = (uint16_t)reversed;
    }
}
