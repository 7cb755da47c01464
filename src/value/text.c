/* text.c: str, bytes and bytearray; UTF-8. */
#include <errno.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

/* ---- UTF-8 -------------------------------------------------------------------------------- */

/* The length of the sequence that begins at `bytes`, of which `left` are there; 0: it is none.
 * Overlong forms and what is beyond U+10FFFF are none; surrogates are taken, as Python writes
 * lone ones. */
static size_t sequence_length(const unsigned char *bytes, size_t left)
{
    unsigned char first = bytes[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || length > left) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
    }
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xf0 && bytes[1] < 0x90) ||
        (first == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return length;
}

bool kin__utf8_valid(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        while (at + sizeof eight <= size) {
            memcpy(&eight, bytes + at, sizeof eight);
            if (eight & 0x8080808080808080u) break;
            at += sizeof eight;
        }
        while (at < size && bytes[at] < 0x80) at++;
        if (at == size) break;
        size_t length = sequence_length(bytes + at, size - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

int kin__utf8_fit(const char *bytes, size_t size, int most)
{
    if (size <= (size_t)most) return (int)size;
    while (most > 0 && ((unsigned char)bytes[most] & 0xc0) == 0x80) most--;
    return most;
}

uint32_t kin__utf8_next(const char **text)
{
    const unsigned char *bytes = (const unsigned char *)*text;
    int length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t character = bytes[0] & mask[length];
    for (int i = 1; i < length; i++) character = character << 6 | (bytes[i] & 0x3f);
    *text += length;
    return character;
}

size_t kin__utf8_put(char *bytes, uint32_t character)
{
    static const unsigned char mark[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    bytes[0] = (char)(mark[length] | character);
    return length;
}

/* ---- making ------------------------------------------------------------------------------- */

kin_value kin__text_make(kin_value_kinds kind, const void *bytes, size_t size)
{
    if (size <= KIN__SMALL_MOST && kind != KIN_VALUE_INT) {
        char padded[16] = {0};
        if (size > 0) memcpy(padded, bytes, size);
        return kin__text_small(kind, padded, size);
    }
    if (size > SIZE_MAX / 2) return kin_value_failed(-ENOMEM);
    struct kin__text *text = kin__boxed_make(kind, sizeof *text + size + 1);
    if (text == NULL) return kin_value_failed(-ENOMEM);
    text->size = size;
    text->data = text->own;
    memcpy(text->own, bytes, size);
    text->own[size] = 0;
    return kin__value_of(kind, text);
}

kin_value kin__text_refer(kin_value_kinds kind, const void *bytes, size_t size)
{
    if (size <= KIN__SMALL_MOST) return kin__text_make(kind, bytes, size);
    struct kin__text *text = kin__boxed_make(kind, sizeof *text);
    if (text == NULL) return kin_value_failed(-ENOMEM);
    text->size = size;
    text->data = bytes;
    return kin__value_of(kind, text);
}

kin_value kin_value_str_sized(const char *text, size_t size)
{
    if (text == NULL && size > 0) return kin_value_failed(-EINVAL);
    if (!kin__utf8_valid(text, size)) return kin_value_failed(-EILSEQ);
    return kin__text_make(KIN_VALUE_STR, text, size);
}

kin_value kin_value_str(const char *text)
{
    return text ? kin_value_str_sized(text, strlen(text)) : kin_value_failed(-EINVAL);
}

kin_value kin_value_bytes(const void *bytes, size_t size)
{
    if (bytes == NULL && size > 0) return kin_value_failed(-EINVAL);
    return kin__text_make(KIN_VALUE_BYTES, bytes, size);
}

kin_value kin_value_bytearray(const void *bytes, size_t size)
{
    if (bytes == NULL && size > 0) return kin_value_failed(-EINVAL);
    return kin__text_make(KIN_VALUE_BYTEARRAY, bytes, size);
}

kin_value kin_value_bytes_in_place(const void *bytes, size_t size)
{
    if (bytes == NULL && size > 0) return kin_value_failed(-EINVAL);
    return kin__text_refer(KIN_VALUE_BYTES, bytes, size);
}

/* ---- reading ------------------------------------------------------------------------------ */

const char *kin_value_get_str(const kin_value *value, size_t *size)
{
    size_t length;
    if (value == NULL || value->kind_ != KIN_VALUE_STR) return NULL;
    return kin__text(value, size ? size : &length);
}

const void *kin_value_get_bytes(const kin_value *value, size_t *size)
{
    size_t length;
    kin_value_kinds kind = kin_value_kind(value);
    if (kind != KIN_VALUE_BYTES && kind != KIN_VALUE_BYTEARRAY && kind != KIN_VALUE_ARRAY) return NULL;
    return kin__text(value, size ? size : &length);
}
