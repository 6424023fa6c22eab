#include "json_text.h"

#include <stdlib.h>
#include <string.h>

#include "json_floats.h"
#include "json_nodes.h"
#include "json_numbers.h"
#include "json_strings.h"

static const int64_t FIRST_SECOND = -8334601228800, LAST_SECOND = 8210266876799, DAY = 86400;

static int more_anchors(Text *out) {
    size_t room = out->room < 1024 ? 1024 : out->room * 2;
    Anchor *anchors = realloc(out->anchors, room * sizeof *anchors);
    if (!anchors) return JSON_TEXT_NO_MEMORY;
    out->anchors = anchors;
    out->room = room;
    return JSON_TEXT_DONE;
}

/* ---- hashes of anchors ---- */

static inline uint32_t hash(uint32_t slot, uint64_t value) {
    return (uint32_t)(((value ^ ((uint64_t)slot << 40 | slot)) * 0x9e3779b97f4a7c15u) >> 32);
}

static uint32_t hash_bytes(uint32_t slot, const uint8_t *bytes, size_t size) {
    uint64_t first = 0, last = 0;
    if (size >= 8) {
        memcpy(&first, bytes, 8);
        memcpy(&last, bytes + size - 8, 8);
    } else {
        for (size_t at = 0; at < size; at++) first = first << 8 | bytes[at];
    }
    return hash(slot, first ^ (last * 0xff51afd7ed558ccdu) ^ (uint64_t)size << 57 ^ size);
}

/* ---- reading arrays ---- */

static inline bool bit(const uint8_t *bits, int64_t at) { return bits[at >> 3] >> (at & 7) & 1; }

/* Of little-endian values, as Arrow has them on all machines that this is built for. */
static inline uint64_t unsigned_at(const Node *node, int64_t row) {
    const uint8_t *from = (const uint8_t *)node->data + (node->offset + row) * node->width;
    switch (node->width) {
    case 1: return *from;
    case 2: { uint16_t value; memcpy(&value, from, 2); return value; }
    case 4: { uint32_t value; memcpy(&value, from, 4); return value; }
    default: { uint64_t value; memcpy(&value, from, 8); return value; }
    }
}

static inline int64_t signed_at(const Node *node, int64_t row) {
    uint64_t value = unsigned_at(node, row);
    switch (node->width) {
    case 1: return (int8_t)value;
    case 2: return (int16_t)value;
    case 4: return (int32_t)value;
    default: return (int64_t)value;
    }
}

static inline bool is_finite(const Node *node, int64_t row) {
    uint64_t bits = unsigned_at(node, row);
    switch (node->width) {
    case 2: return (~bits & 0x7c00) != 0;
    case 4: return (~bits & 0x7f800000) != 0;
    default: return (~bits & 0x7ff0000000000000) != 0;
    }
}

/* JSON has neither NaN nor infinities: they count as absent. */
static inline bool is_valid(const Node *node, int64_t row) {
    if (node->kind == NOTHING || (node->valid && !bit(node->valid, node->offset + row))) return false;
    return node->kind != FLOAT || is_finite(node, row);
}

static inline bool range_at(const Node *node, int64_t row, bool is_large, int64_t *start, int64_t *end) {
    int64_t at = node->offset + row;
    if (is_large) {
        int64_t offsets[2];
        memcpy(offsets, (const uint8_t *)node->data + 8 * at, 16);
        *start = offsets[0];
        *end = offsets[1];
    } else {
        int32_t offsets[2];
        memcpy(offsets, (const uint8_t *)node->data + 4 * at, 8);
        *start = offsets[0];
        *end = offsets[1];
    }
    return *start >= 0 && *start <= *end;
}

static bool bytes_at(const Node *node, int64_t row, const uint8_t **bytes, size_t *size) {
    int64_t start, end;
    switch (node->kind) {
    case FIXED_BINARY:
        *size = (size_t)node->width;
        *bytes = (const uint8_t *)node->data + (node->offset + row) * node->width;
        return true;
    case TEXT_VIEW: case BINARY_VIEW: {
        const uint8_t *view = (const uint8_t *)node->data + 16 * (node->offset + row);
        int32_t parts[4];
        memcpy(parts, view, 16);
        if (parts[0] < 0) return false;
        *size = (size_t)parts[0];
        *bytes = view + 4;
        if (parts[0] <= 12) return true;
        if (parts[2] < 0 || parts[2] >= node->view_count || parts[3] < 0) return false;
        if ((int64_t)parts[3] + parts[0] > node->view_sizes[parts[2]]) return false;
        *bytes = (const uint8_t *)node->views[parts[2]] + parts[3];
        return true;
    }
    default:
        if (!range_at(node, row, node->kind == LARGE_TEXT || node->kind == LARGE_BINARY, &start, &end)) return false;
        if (end > start && !node->bytes) return false;
        *size = (size_t)(end - start);
        *bytes = *size ? (const uint8_t *)node->bytes + start : (const uint8_t *)"";
        return true;
    }
}

static int64_t buffers_of(Kind kind) {
    switch (kind) {
    case NOTHING: return 0;
    case STRUCT: case FIXED_LIST: return 1;
    case TEXT: case LARGE_TEXT: case BINARY: case LARGE_BINARY: return 3;
    default: return 2;
    }
}

/* Whether the array is one of the schema's type with at least `needed` rows; the node then looks at it. */
static bool bind(Node *node, const struct ArrowArray *array, int64_t needed) {
    bool is_view = node->kind == TEXT_VIEW || node->kind == BINARY_VIEW;
    if (!array || array->length < needed || array->length < 0 || array->offset < 0 || array->dictionary) return false;
    if (array->offset > INT64_MAX / 32 || array->length > INT64_MAX / 32) return false;
    if (array->n_children != node->count) return false;
    if (is_view ? array->n_buffers < 3 : array->n_buffers != buffers_of(node->kind)) return false;
    node->offset = array->offset;
    node->length = array->length;
    node->valid = array->n_buffers && array->null_count ? array->buffers[0] : NULL;
    node->data = array->n_buffers > 1 ? array->buffers[1] : NULL;
    node->bytes = array->n_buffers > 2 ? array->buffers[2] : NULL;
    if (array->length && array->n_buffers > 1 && !node->data && node->width) return false;
    if (is_view) {
        node->view_count = array->n_buffers - 3;
        node->views = (const void *const *)array->buffers + 2;
        node->view_sizes = array->buffers[array->n_buffers - 1];
        if (node->view_count && !node->view_sizes) return false;
    }
    int64_t rows = 0;
    if (node->kind == STRUCT) rows = array->offset + array->length;
    if (node->kind == FIXED_LIST) {
        if (node->width && array->offset + array->length > INT64_MAX / 32 / node->width) return false;
        rows = (array->offset + array->length) * node->width;
    }
    for (int64_t child = 0; child < node->count; child++) {
        if (!bind(&node->children[child], array->children[child], rows)) return false;
    }
    return true;
}

/* ---- values ---- */

static int put(Node *node, int later, int64_t row, Text *out);

static inline void byte(Text *out, uint8_t value) { out->bytes[out->size++] = value; }

/* `later`: whether the object has a value, which it began with. */
static int end_object(Text *out, int later) {
    int error = need(out, FIXED_ROOM);
    if (error) return error;
    if (!later) byte(out, '{');
    byte(out, '}');
    return JSON_TEXT_DONE;
}

/* Rows are those of the children. FIXED_ROOM is there before and after. */
static int put_object(Node *node, int64_t row, Text *out) {
    int later = 0;
    for (int64_t child = 0; child < node->count; child++) {
        Node *field = &node->children[child];
        if (!is_valid(field, row)) continue;
        int error = put(field, later, row, out);
        if (error) return error;
        later = 1;
    }
    return end_object(out, later);
}

static int put_list(Node *node, int64_t row, Text *out) {
    int64_t start, end;
    Node *element = node->children;
    if (node->kind == FIXED_LIST) {
        start = (node->offset + row) * node->width;
        end = start + node->width;
    } else if (!range_at(node, row, node->kind == LARGE_LIST, &start, &end)) {
        return JSON_TEXT_REFUSED;
    }
    if (end > element->length) return JSON_TEXT_REFUSED;
    if (start == end) byte(out, '[');
    for (int64_t at = start; at < end; at++) {
        int error;
        if (is_valid(element, at)) {
            error = put(element, at > start, at, out);
        } else {
            error = need(out, FIXED_ROOM);
            if (!error) {
                byte(out, at > start ? ',' : '[');
                memcpy(out->bytes + out->size, "null", 4);
                out->size += 4;
            }
        }
        if (error) return error;
    }
    int error = need(out, FIXED_ROOM);
    if (!error) byte(out, ']');
    return error;
}

static int put_map(Node *node, int64_t row, Text *out) {
    int64_t start, end;
    Node *entry = node->children;
    Node *key = &entry->children[0], *value = &entry->children[1];
    if (!range_at(node, row, false, &start, &end) || end > entry->length) return JSON_TEXT_REFUSED;
    int later = 0;
    for (int64_t at = start; at < end; at++) {
        int64_t place = entry->offset + at;
        if (!is_valid(key, place)) return JSON_TEXT_REFUSED;
        if (!is_valid(value, place)) continue;
        int error = put(key, later, place, out);
        if (!error) error = put(value, 1, place, out);
        if (error) return error;
        later = 1;
    }
    return end_object(out, later);
}

static uint8_t *put_float(int width, uint64_t bits, uint8_t *to) {
    float single;
    double value;
    switch (width) {
    case 2: return float16_text(to, (uint16_t)bits);
    case 4: memcpy(&single, &bits, 4); return float32_text(to, single);
    default: memcpy(&value, &bits, 8); return float64_text(to, value);
    }
}

static uint8_t *put_decimal(const Node *node, int64_t row, uint8_t *to, uint64_t *value) {
    uint64_t words[2];
    if (node->width == 16) {
        memcpy(words, (const uint8_t *)node->data + 16 * (node->offset + row), 16);
    } else {
        int64_t narrow = signed_at(node, row);
        words[0] = (uint64_t)narrow;
        words[1] = narrow < 0 ? UINT64_MAX : 0;
    }
    *value = words[0] ^ words[1] * 31;
    return decimal_text(to, words[0], (int64_t)words[1], node->scale);
}

/* NULL for a moment that has no text. */
static uint8_t *put_moment(const Node *node, int64_t value, uint8_t *to) {
    int64_t seconds = value, rest = 0;
    if (node->kind == DATE32 || node->kind == DATE64) {
        if (node->kind == DATE64) {
            if (value % (DAY * 1000)) return NULL;
            value /= DAY * 1000;
        }
        bool is_known = FIRST_SECOND / DAY <= value && value <= LAST_SECOND / DAY;
        return is_known ? date_text(to, value) : NULL;
    }
    switch (node->ticks) { /* by constants, which the compiler turns into multiplications */
    case 1: break;
    case 1000: seconds = value / 1000; rest = value % 1000; break;
    case 1000000: seconds = value / 1000000; rest = value % 1000000; break;
    default: seconds = value / 1000000000; rest = value % 1000000000; break;
    }
    if (rest < 0) {
        rest += node->ticks;
        seconds--;
    }
    uint32_t nanoseconds = (uint32_t)(rest * (1000000000 / node->ticks));
    if (node->kind == TIME) return 0 <= seconds && seconds < DAY ? clock_text(to, (uint32_t)seconds, nanoseconds) : NULL;
    if (seconds < FIRST_SECOND || seconds > LAST_SECOND) return NULL;
    int64_t days = seconds / DAY, of_day = seconds % DAY;
    if (of_day < 0) {
        of_day += DAY;
        days--;
    }
    to = date_text(to, days);
    *to++ = 'T';
    to = clock_text(to, (uint32_t)of_day, nanoseconds);
    *to++ = 'Z';
    return to;
}

/* A value that is valid, after what stands before it. */
static int put(Node *node, int later, int64_t row, Text *out) {
    const Text *before = &node->before[later];
    int error = need(out, before->size + FIXED_ROOM);
    if (!error && out->count == out->room) error = more_anchors(out);
    if (error) return error;
    size_t place = out->count++;
    out->anchors[place] = (Anchor){(uint32_t)out->size, node->slot, 0};
    uint8_t *to = out->bytes + out->size;
    /* By a fixed size: there is room for more on both sides. */
    for (size_t at = 0; at < before->size; at += 32) memcpy(to + at, before->bytes + at, 32);
    to += before->size;
    size_t start = out->size += before->size;
    bool is_quoted = node->is_key;
    uint64_t value = 0;
    switch (node->kind) {
    case BOOLEAN:
        value = bit(node->data, node->offset + row);
        memcpy(to, value ? "true" : "false", 5);
        to += value ? 4 : 5;
        break;
    case SIGNED:
        value = (uint64_t)signed_at(node, row);
        to = signed_text(to, (int64_t)value);
        break;
    case UNSIGNED:
        value = unsigned_at(node, row);
        to = unsigned_text(to, value);
        break;
    case FLOAT:
        value = unsigned_at(node, row);
        to = put_float(node->width, value, to);
        break;
    case DECIMAL:
        to = put_decimal(node, row, to, &value);
        break;
    case DATE32: case DATE64: case TIME: case TIMESTAMP:
        value = (uint64_t)signed_at(node, row);
        to = put_moment(node, (int64_t)value, to);
        if (!to) return JSON_TEXT_REFUSED;
        is_quoted = true;
        break;
    case LIST: case LARGE_LIST: case FIXED_LIST: case STRUCT: case MAP:
        if (node->kind == STRUCT) error = put_object(node, node->offset + row, out);
        else error = node->kind == MAP ? put_map(node, row, out) : put_list(node, row, out);
        if (!error) out->anchors[place].value = hash_bytes(node->slot, out->bytes + start, out->size - start);
        return error;
    default: {
        const uint8_t *bytes;
        size_t size;
        if (!bytes_at(node, row, &bytes, &size)) return JSON_TEXT_REFUSED;
        bool is_text = node->kind == TEXT || node->kind == LARGE_TEXT || node->kind == TEXT_VIEW;
        error = is_text ? string(out, bytes, size) : base64(out, bytes, size);
        if (error) return error;
        out->anchors[place].value = hash_bytes(node->slot, bytes, size);
        byte(out, '"');
        return JSON_TEXT_DONE;
    }
    }
    if (is_quoted) *to++ = '"';
    out->anchors[place].value = hash(node->slot, value);
    out->size = (size_t)(to - out->bytes);
    return JSON_TEXT_DONE;
}

int json_text_write(JsonText *json, const struct ArrowArray *batch, int64_t first, int64_t rows, Text *out) {
    size_t size = out->size, count = out->count;
    int error = JSON_TEXT_REFUSED;
    bool is_within = batch && first >= 0 && rows >= 0 && rows <= batch->length && first <= batch->length - rows;
    if (is_within && bind(&json->root, batch, first + rows) && !json->root.valid) {
        error = JSON_TEXT_DONE;
        for (int64_t row = first; row < first + rows && !error; row++) {
            error = need(out, FIXED_ROOM);
            if (!error) error = put_object(&json->root, json->root.offset + row, out);
            if (!error) byte(out, '\n');
        }
    }
    if (error) {
        out->size = size;
        out->count = count;
    }
    return error;
}
