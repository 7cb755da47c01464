/* parse.c: reading a value by a format.  kin/value.h has the format's letters. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>

#include "value/value.h"

#define DEEP 64

/* `value` is NULL where an optional part is missing: then arguments are walked over alone. */
struct parser {
    const char *at;
    va_list arguments;
};

static int parse_item(struct parser *p, const kin_value *value, int depth);

/* The next letter of the format; it stays at the end when it is there. */
static char next_letter(struct parser *p)
{
    return *p->at ? *p->at++ : 0;
}

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == ',' || *p->at == ':') p->at++;
}

/* Reads an int within bounds; `value` may be NULL. */
static int integer_within(const kin_value *value, int64_t least, int64_t most, int64_t *number)
{
    int rc = value ? kin_value_get_int(value, number) : 0;
    if (rc < 0 || value == NULL) return rc;
    return *number < least || *number > most ? -ERANGE : 0;
}

static int natural_within(const kin_value *value, uint64_t most, uint64_t *number)
{
    int rc = value ? kin_value_get_uint(value, number) : 0;
    if (rc < 0 || value == NULL) return rc;
    return *number > most ? -ERANGE : 0;
}

#define STORE_INTEGER(type, least, most) \
    { \
        type *to_ = va_arg(p->arguments, type *); \
        int64_t number_ = 0; \
        if (to_ == NULL) return -EINVAL; \
        int rc_ = integer_within(value, (least), (most), &number_); \
        if (rc_ == 0 && value) *to_ = (type)number_; \
        return rc_; \
    }

#define STORE_NATURAL(type, most) \
    { \
        type *to_ = va_arg(p->arguments, type *); \
        uint64_t number_ = 0; \
        if (to_ == NULL) return -EINVAL; \
        int rc_ = natural_within(value, (most), &number_); \
        if (rc_ == 0 && value) *to_ = (type)number_; \
        return rc_; \
    }

static int parse_float(struct parser *p, const kin_value *value)
{
    double *to = va_arg(p->arguments, double *);
    if (to == NULL) return -EINVAL;
    return value ? kin_value_get_float(value, to) : 0;
}

static int parse_truth(struct parser *p, const kin_value *value)
{
    bool *to = va_arg(p->arguments, bool *);
    if (to == NULL) return -EINVAL;
    int rc = value ? kin_value_is_true(value) : 0;
    if (value && rc >= 0) *to = rc;
    return rc < 0 ? rc : 0;
}

static int parse_text(struct parser *p, const kin_value *value, bool or_none)
{
    const char **to = va_arg(p->arguments, const char **);
    bool sized = *p->at == '#';
    if (sized) p->at++;
    size_t unwanted, *size = sized ? va_arg(p->arguments, size_t *) : &unwanted;
    if (to == NULL || size == NULL) return -EINVAL;
    if (value == NULL) return 0;
    if (or_none && value->kind_ == KIN_VALUE_NONE) {
        *to = NULL;
        *size = 0;
        return 0;
    }
    const char *text = kin_value_get_str(value, size);
    if (text == NULL || (!sized && strlen(text) != *size)) return KIN_EKIND;
    *to = text;
    return 0;
}

static int parse_bytes(struct parser *p, const kin_value *value)
{
    if (next_letter(p) != '#') return -EINVAL;
    const void **to = va_arg(p->arguments, const void **);
    size_t *size = va_arg(p->arguments, size_t *);
    if (to == NULL || size == NULL) return -EINVAL;
    if (value == NULL) return 0;
    const void *bytes = kin_value_get_bytes(value, size);
    if (bytes == NULL) return KIN_EKIND;
    *to = bytes;
    return 0;
}

static int parse_value(struct parser *p, const kin_value *value)
{
    const kin_value **to = va_arg(p->arguments, const kin_value **);
    if (to == NULL) return -EINVAL;
    if (value) *to = value;
    return 0;
}

static int parse_sequence(struct parser *p, const kin_value *value, kin_value_kinds kind, char close,
                          int depth)
{
    size_t size = 0, next = 0;
    bool optional = false;
    if (value && value->kind_ != kind) return KIN_EKIND;
    const kin_value *item = kin__items(value, &size);
    for (skip_blanks(p); *p->at != close; skip_blanks(p)) {
        if (*p->at == '|') {
            optional = true;
            p->at++;
            continue;
        }
        if (*p->at == '*') {
            next = size;
            p->at++;
            continue;
        }
        if (value && next == size && !optional) return *p->at ? KIN_EKIND : -EINVAL;
        int rc = parse_item(p, next < size ? &item[next] : NULL, depth);
        if (rc < 0) return rc;
        next += next < size;
    }
    p->at++;
    return next < size ? KIN_EKIND : 0;
}

static int parse_dict(struct parser *p, const kin_value *value, int depth)
{
    bool optional = value == NULL;
    if (value && value->kind_ != KIN_VALUE_DICT) return KIN_EKIND;
    for (skip_blanks(p); *p->at != '}'; skip_blanks(p)) {
        if (*p->at == '|') {
            optional = true;
            p->at++;
            continue;
        }
        if (next_letter(p) != 's') return -EINVAL;
        const char *key = va_arg(p->arguments, const char *);
        if (key == NULL) return -EINVAL;
        const kin_value *item = value ? kin_value_dict_get_str(value, key) : NULL;
        if (item == NULL && !optional) return KIN_EKIND;
        skip_blanks(p);
        int rc = parse_item(p, item, depth);
        if (rc < 0) return rc;
    }
    p->at++;
    return 0;
}

static int parse_item(struct parser *p, const kin_value *value, int depth)
{
    if (depth == DEEP) return -EINVAL;
    switch (next_letter(p)) {
    case '(': return parse_sequence(p, value, KIN_VALUE_TUPLE, ')', depth + 1);
    case '[': return parse_sequence(p, value, KIN_VALUE_LIST, ']', depth + 1);
    case '{': return parse_dict(p, value, depth + 1);
    case 'i': STORE_INTEGER(int, INT_MIN, INT_MAX)
    case 'l': STORE_INTEGER(long, LONG_MIN, LONG_MAX)
    case 'L': STORE_INTEGER(int64_t, INT64_MIN, INT64_MAX)
    case 'I': STORE_NATURAL(unsigned, UINT_MAX)
    case 'k': STORE_NATURAL(unsigned long, ULONG_MAX)
    case 'K': STORE_NATURAL(uint64_t, UINT64_MAX)
    case 'd': return parse_float(p, value);
    case 'b': return parse_truth(p, value);
    case 's': return parse_text(p, value, false);
    case 'z': return parse_text(p, value, true);
    case 'y': return parse_bytes(p, value);
    case 'v': return parse_value(p, value);
    case 'N': return value && value->kind_ != KIN_VALUE_NONE ? KIN_EKIND : 0;
    default: return -EINVAL;
    }
}

int kin_value_parse(const kin_value *value, const char *format, ...)
{
    if (value == NULL || format == NULL) return -EINVAL;
    if (value->kind_ == KIN_VALUE_FAILED) return kin_value_error_code(value);
    struct parser p = {.at = format};
    va_start(p.arguments, format);
    skip_blanks(&p);
    int rc = parse_item(&p, value, 0);
    skip_blanks(&p);
    va_end(p.arguments);
    return rc == 0 && *p.at != 0 ? -EINVAL : rc;
}
