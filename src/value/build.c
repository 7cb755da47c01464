/* build.c: values from a format and arguments.
 *
 * Invariant: after a fault the rest of the format is still walked over, so that every value among
 * the arguments is used up, as kin/value.h promises.  Only a fault in the format itself ends that
 * at once, for what follows cannot be told.
 */
#include <errno.h>
#include <stdarg.h>

#include "value/value.h"

/* How deep brackets may be nested. */
#define DEEP 64

struct builder {
    const char *at;
    va_list arguments;
    bool malformed;
};

static kin_value build_item(struct builder *b, int depth);

/* The next letter of the format; it stays at the end when it is there. */
static char next_letter(struct builder *b)
{
    return *b->at ? *b->at++ : 0;
}

static void skip_blanks(struct builder *b)
{
    while (*b->at == ' ' || *b->at == ',' || *b->at == ':') b->at++;
}

static kin_value malformed(struct builder *b)
{
    b->malformed = true;
    return kin_value_failed(-EINVAL);
}

/* Keeps the first failure of a container that is being made. */
static void add(kin_value *container, int rc)
{
    if (rc >= 0 || container->kind_ == KIN_VALUE_FAILED) return;
    kin_value_clear(container);
    *container = kin_value_failed(rc);
}

static kin_value build_list(struct builder *b, char close, int depth)
{
    kin_value list = kin_value_list(NULL, 0);
    for (skip_blanks(b); *b->at != close; skip_blanks(b)) {
        kin_value item = *b->at ? build_item(b, depth) : malformed(b);
        if (list.kind_ == KIN_VALUE_FAILED)
            kin_value_clear(&item);
        else
            add(&list, kin_value_list_append(&list, item));
        if (b->malformed) return list;
    }
    b->at++;
    return list;
}

static kin_value build_tuple(struct builder *b, int depth)
{
    kin_value list = build_list(b, ')', depth);
    if (list.kind_ == KIN_VALUE_FAILED) return list;
    struct kin__list *from = list.as_.object;
    kin_value tuple = kin_value_tuple(from->item, from->size);
    from->size = 0; /* the items are the tuple's now */
    kin_value_clear(&list);
    return tuple;
}

static kin_value build_dict(struct builder *b, int depth)
{
    kin_value dict = kin_value_dict();
    for (skip_blanks(b); *b->at != '}'; skip_blanks(b)) {
        kin_value key = *b->at ? build_item(b, depth) : malformed(b);
        skip_blanks(b);
        bool is_pair = !b->malformed && *b->at && *b->at != '}';
        kin_value item = is_pair ? build_item(b, depth) : malformed(b);
        if (dict.kind_ == KIN_VALUE_FAILED) {
            kin_value_clear(&key);
            kin_value_clear(&item);
        } else
            add(&dict, kin_value_dict_set(&dict, key, item));
        if (b->malformed) return dict;
    }
    b->at++;
    return dict;
}

static kin_value build_text(struct builder *b)
{
    const char *text = va_arg(b->arguments, const char *);
    if (*b->at != '#') return text ? kin_value_str(text) : kin_value_none();
    b->at++;
    size_t size = va_arg(b->arguments, size_t);
    return text || size > 0 ? kin_value_str_sized(text, size) : kin_value_none();
}

static kin_value build_bytes(struct builder *b)
{
    if (next_letter(b) != '#') return malformed(b);
    const void *bytes = va_arg(b->arguments, const void *);
    size_t size = va_arg(b->arguments, size_t);
    return bytes || size > 0 ? kin_value_bytes(bytes, size) : kin_value_none();
}

static kin_value build_item(struct builder *b, int depth)
{
    if (depth == DEEP) return malformed(b);
    switch (next_letter(b)) {
    case '(': return build_tuple(b, depth + 1);
    case '[': return build_list(b, ']', depth + 1);
    case '{': return build_dict(b, depth + 1);
    case 'i': return kin_value_int(va_arg(b->arguments, int));
    case 'I': return kin_value_uint(va_arg(b->arguments, unsigned));
    case 'l': return kin_value_int(va_arg(b->arguments, long));
    case 'L': return kin_value_int(va_arg(b->arguments, int64_t));
    case 'k': return kin_value_uint(va_arg(b->arguments, unsigned long));
    case 'K': return kin_value_uint(va_arg(b->arguments, uint64_t));
    case 'd': return kin_value_float(va_arg(b->arguments, double));
    case 'b': return kin_value_bool(va_arg(b->arguments, int));
    case 'N': return kin_value_none();
    case 's': return build_text(b);
    case 'y': return build_bytes(b);
    case 'v': return va_arg(b->arguments, kin_value);
    default: return malformed(b);
    }
}

kin_value kin_value_build(const char *format, ...)
{
    if (format == NULL) return kin_value_failed(-EINVAL);
    struct builder b = {.at = format};
    va_start(b.arguments, format);
    skip_blanks(&b);
    kin_value value = build_item(&b, 0);
    skip_blanks(&b);
    va_end(b.arguments);
    if (!b.malformed && *b.at == 0) return value;
    kin_value_clear(&value);
    return kin_value_failed(-EINVAL);
}
