/* What a writer of rows knows of its columns. */
#ifndef JSON_NODES_H
#define JSON_NODES_H

#include <stdbool.h>

#include "json_text.h"

typedef enum {
    NOTHING, BOOLEAN, SIGNED, UNSIGNED, FLOAT, DECIMAL, DATE32, DATE64, TIME, TIMESTAMP, /* of `width` bytes, by `ticks` */
    TEXT, LARGE_TEXT, TEXT_VIEW, BINARY, LARGE_BINARY, BINARY_VIEW, FIXED_BINARY,
    LIST, LARGE_LIST, FIXED_LIST, STRUCT, MAP,
} Kind;

typedef struct Node Node;
struct Node {
    Kind kind;
    bool is_key;
    uint32_t slot;
    int scale, width;
    int64_t ticks;
    Text before[2]; /* what stands before the first value of an object or a list, and before a later one */
    Node *children;
    int64_t count;
    /* The array that is being written. */
    const uint8_t *valid;
    int64_t offset, length;
    const void *data, *bytes;
    const void *const *views;
    const int64_t *view_sizes;
    int64_t view_count;
};

struct JsonText {
    Node root;
    uint32_t slots;
};

#endif
