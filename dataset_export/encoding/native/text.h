/* Text with the places where it repeats itself. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct { uint32_t at; uint32_t slot; uint32_t value; } Anchor;
typedef struct {
    uint8_t *bytes; size_t size, capacity;
    Anchor *anchors; size_t count, room;
} Text;

#endif
