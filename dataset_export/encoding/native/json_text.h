/* Rows of Arrow arrays as NDJSON (spec S6). */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include "arrow_c.h"
#include "text.h"

typedef struct JsonText JsonText;

enum {
    JSON_TEXT_DONE,
    JSON_TEXT_NO_MEMORY,
    JSON_TEXT_TOO_LARGE, /* the text would pass JSON_TEXT_MOST: offer fewer rows */
    JSON_TEXT_REFUSED,   /* a value that this writer has no text for, or an array that is not as its schema says */
};

#define JSON_TEXT_MOST ((size_t)1 << 30)

/* NULL when the schema (a struct) is not supported or there is no memory; *why_not then says so. */
JsonText *json_text_new(const struct ArrowSchema *schema, const char **why_not);
/* Append so many rows from `first` on. After an error `out` holds what it held before. */
int json_text_write(JsonText *, const struct ArrowArray *batch, int64_t first, int64_t rows, Text *out);
void json_text_free(JsonText *);

#endif
