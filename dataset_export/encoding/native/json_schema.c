/* Which columns there are, and what stands before their values. */
#include <stdlib.h>
#include <string.h>

#include "json_nodes.h"
#include "json_strings.h"

enum { DEEPEST = 32, MOST_SCALE = 100, MOST_FIELDS = 1 << 16 };

static const char *NO_MEMORY = "there is no memory for the schema";
static const char *UNKNOWN = "a type is not supported";

static bool append(Text *to, const char *text) {
    size_t size = strlen(text);
    if (need(to, size + FIXED_ROOM)) return false;
    memcpy(to->bytes + to->size, text, size);
    to->size += size;
    return true;
}

static bool has_quote(const Node *node) {
    switch (node->kind) {
    case NOTHING: case BOOLEAN: case SIGNED: case UNSIGNED: case FLOAT: case DECIMAL:
    case LIST: case LARGE_LIST: case FIXED_LIST: case STRUCT: case MAP: return node->is_key;
    default: return true;
    }
}

static bool stand_before(Node *node, const char *first, const char *later, const char *name) {
    const char *begins[2] = {first, later};
    for (int place = 0; place < 2; place++) {
        Text *to = &node->before[place];
        if (!append(to, begins[place])) return false;
        if (name && (!append(to, "\"") || string(to, (const uint8_t *)name, strlen(name)) || !append(to, "\":"))) return false;
        if (has_quote(node) && !append(to, "\"")) return false;
    }
    return true;
}

static bool number_after(const char *text, int low, int high, int *number, const char **rest) {
    char *end;
    long found = strtol(text, &end, 10);
    if (end == text || found < low || found > high) return false;
    *number = (int)found;
    *rest = end;
    return true;
}

static bool is_a(Node *node, Kind kind, int width, int64_t ticks) {
    node->kind = kind;
    node->width = width;
    node->ticks = ticks;
    return true;
}

static bool parse_decimal(Node *node, const char *format) {
    int digits, bits = 128;
    if (!number_after(format, 1, 38, &digits, &format) || *format != ',') return false;
    if (!number_after(format + 1, -MOST_SCALE, MOST_SCALE, &node->scale, &format)) return false;
    if (*format == ',' && !number_after(format + 1, 32, 128, &bits, &format)) return false;
    return !*format && (bits == 32 || bits == 64 || bits == 128) && is_a(node, DECIMAL, bits / 8, 0);
}

static bool parse_moment(Node *node, const char *format) {
    static const struct { const char *format; Kind kind; int width; int64_t ticks; } MOMENTS[] = {
        {"dD", DATE32, 4, 0},          {"dm", DATE64, 8, 0},         {"ts", TIME, 4, 1},
        {"tm", TIME, 4, 1000},         {"tu", TIME, 8, 1000000},     {"tn", TIME, 8, 1000000000},
        {"ss:", TIMESTAMP, 8, 1},      {"sm:", TIMESTAMP, 8, 1000},  {"su:", TIMESTAMP, 8, 1000000},
        {"sn:", TIMESTAMP, 8, 1000000000},
    };
    for (size_t place = 0; place < sizeof MOMENTS / sizeof *MOMENTS; place++) {
        bool has_zone = MOMENTS[place].kind == TIMESTAMP;
        bool is_same = has_zone ? !strncmp(format, MOMENTS[place].format, 3) : !strcmp(format, MOMENTS[place].format);
        if (is_same) return is_a(node, MOMENTS[place].kind, MOMENTS[place].width, MOMENTS[place].ticks);
    }
    return false;
}

static bool parse_type(Node *node, const char *format) {
    static const struct { const char *format; Kind kind; int width; } TYPES[] = {
        {"n", NOTHING, 0}, {"b", BOOLEAN, 1}, {"c", SIGNED, 1}, {"s", SIGNED, 2}, {"i", SIGNED, 4}, {"l", SIGNED, 8},
        {"C", UNSIGNED, 1}, {"S", UNSIGNED, 2}, {"I", UNSIGNED, 4}, {"L", UNSIGNED, 8}, {"e", FLOAT, 2},
        {"f", FLOAT, 4}, {"g", FLOAT, 8}, {"u", TEXT, 4}, {"U", LARGE_TEXT, 8}, {"vu", TEXT_VIEW, 16},
        {"z", BINARY, 4}, {"Z", LARGE_BINARY, 8}, {"vz", BINARY_VIEW, 16}, {"+l", LIST, 4}, {"+L", LARGE_LIST, 8},
        {"+s", STRUCT, 0}, {"+m", MAP, 4},
    };
    for (size_t place = 0; place < sizeof TYPES / sizeof *TYPES; place++) {
        if (!strcmp(format, TYPES[place].format)) return is_a(node, TYPES[place].kind, TYPES[place].width, 0);
    }
    if (!strncmp(format, "d:", 2)) return parse_decimal(node, format + 2);
    if (*format == 't') return parse_moment(node, format + 1);
    bool is_list = !strncmp(format, "+w:", 3);
    if (!is_list && strncmp(format, "w:", 2)) return false;
    node->kind = is_list ? FIXED_LIST : FIXED_BINARY;
    return number_after(format + (is_list ? 3 : 2), 0, 1 << 28, &node->width, &format) && !*format;
}

static const char *parse(JsonText *json, Node *node, const struct ArrowSchema *schema, int depth);

static const char *parse_children(JsonText *json, Node *node, const struct ArrowSchema *schema, int depth) {
    bool is_nested = node->kind >= LIST;
    int64_t least = !is_nested ? 0 : node->kind == STRUCT ? schema->n_children : 1;
    if (schema->n_children != least || least < 0 || least > MOST_FIELDS) return UNKNOWN;
    node->children = least ? calloc((size_t)least, sizeof *node->children) : NULL;
    if (least && !node->children) return NO_MEMORY;
    node->count = least;
    for (int64_t place = 0; place < least; place++) {
        Node *child = &node->children[place];
        const struct ArrowSchema *field = schema->children[place];
        child->slot = json->slots++;
        const char *why_not = parse(json, child, field, depth + 1);
        if (why_not) return why_not;
        bool is_done = true;
        if (node->kind == STRUCT) is_done = stand_before(child, "{", ",", field->name ? field->name : "");
        else if (node->kind != MAP) is_done = stand_before(child, "[", ",", NULL);
        if (!is_done) return NO_MEMORY;
    }
    return NULL;
}

/* The entries are a struct; what stands before its fields is not what it is in other structs. */
static const char *parse_map(Node *node) {
    Node *entry = node->children;
    if (entry->kind != STRUCT || entry->count != 2) return UNKNOWN;
    Node *key = &entry->children[0], *value = &entry->children[1];
    if (key->kind >= LIST || key->kind == NOTHING || key->kind == FLOAT) return UNKNOWN;
    key->is_key = true;
    for (int place = 0; place < 2; place++) key->before[place].size = value->before[place].size = 0;
    bool is_done = stand_before(key, "{", ",", NULL) && stand_before(value, ":", ":", NULL);
    return is_done ? NULL : NO_MEMORY;
}

static const char *parse(JsonText *json, Node *node, const struct ArrowSchema *schema, int depth) {
    if (depth > DEEPEST) return "it is nested too deeply";
    if (!schema || !schema->format || schema->dictionary || !parse_type(node, schema->format)) return UNKNOWN;
    const char *why_not = parse_children(json, node, schema, depth);
    return why_not || node->kind != MAP ? why_not : parse_map(node);
}

static void forget(Node *node) {
    for (int64_t child = 0; child < node->count; child++) forget(&node->children[child]);
    free(node->children);
    free(node->before[0].bytes);
    free(node->before[1].bytes);
}

JsonText *json_text_new(const struct ArrowSchema *schema, const char **why_not) {
    JsonText *json = calloc(1, sizeof *json);
    *why_not = json ? parse(json, &json->root, schema, 0) : NO_MEMORY;
    if (json && !*why_not && json->root.kind != STRUCT) *why_not = "it is not a struct";
    if (json && *why_not) {
        json_text_free(json);
        return NULL;
    }
    return json;
}

void json_text_free(JsonText *json) {
    if (!json) return;
    forget(&json->root);
    free(json);
}
