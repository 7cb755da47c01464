/* repr.c: values in the words of Python's repr() and str().
 *
 * Where Python asks its tables whether a character is printable, kin knows the ranges that are not;
 * characters that no Unicode version has assigned are taken to be printable.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

/* Text that is cut at the capacity but counted to the end, or until it is longer than `most`. */
struct writer {
    char *to;
    size_t capacity;
    size_t size;
    size_t most; /* 0: no limit */
    int code;
};

/* The containers that a value is inside of, so that one that contains itself ends. */
struct above {
    const void *object;
    const struct above *next;
    int levels;
};

static void put(struct writer *w, const char *text, size_t size)
{
    if (w->size < w->capacity) {
        size_t room = w->capacity - w->size;
        memcpy(w->to + w->size, text, size < room ? size : room);
    }
    w->size += size;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* The digits of a finite number, as few as tell it from every other; the decimal exponent of the
 * first.  The locale's decimal point is left out with whatever else is no digit. */
static int shortest_digits(double number, char digits[20])
{
    char text[64];
    int precision = 0;
    do snprintf(text, sizeof text, "%.*e", precision, number);
    while (precision++ < 16 && strtod(text, NULL) != number);
    char *exponent = strchr(text, 'e');
    size_t count = 0;
    for (const char *at = text; at < exponent; at++) {
        if (*at >= '0' && *at <= '9') digits[count++] = *at;
    }
    while (count > 1 && digits[count - 1] == '0') count--;
    digits[count] = 0;
    return atoi(exponent + 1);
}

/* In a complex, 1.0 is written as 1. */
static void put_float(struct writer *w, double number, bool point)
{
    char digits[20];
    if (isnan(number)) {
        put_text(w, "nan");
        return;
    }
    if (signbit(number)) put_text(w, "-");
    if (isinf(number)) {
        put_text(w, "inf");
        return;
    }
    int exponent = shortest_digits(number < 0 ? -number : number, digits), count = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        char text[40];
        snprintf(text, sizeof text, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', abs(exponent));
        put_text(w, text);
        return;
    }
    if (exponent < 0) put_text(w, "0.");
    for (int i = exponent; i < -1; i++) put_text(w, "0");
    for (int i = 0; i < count || i <= exponent; i++) {
        if (i == exponent + 1 && exponent >= 0) put_text(w, ".");
        put(w, i < count ? &digits[i] : "0", 1);
    }
    if (exponent >= 0 && count <= exponent + 1 && point) put_text(w, ".0");
}

static void put_integer(struct writer *w, const kin_value *value)
{
    char small[24];
    if (!kin__counted(value)) {
        snprintf(small, sizeof small, "%lld", (long long)value->as_.integer);
        put_text(w, small);
        return;
    }
    int code;
    char *digits = kin__integer_digits(value, &code);
    if (digits == NULL)
        w->code = code;
    else
        put_text(w, digits);
    free(digits);
}

static void put_complex(struct writer *w, const kin_value *part)
{
    double real = part[0].as_.number, imaginary = part[1].as_.number;
    bool both = real != 0 || signbit(real);
    if (both) {
        put_text(w, "(");
        put_float(w, real, false);
        if (isnan(imaginary) || !signbit(imaginary)) put_text(w, "+");
    }
    put_float(w, imaginary, false);
    put_text(w, both ? "j)" : "j");
}

/* ---- text --------------------------------------------------------------------------------- */

static bool is_printable(uint32_t c)
{
    static const uint32_t hidden[][2] = {
        {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},
        {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},
        {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},   {0xd800, 0xf8ff},
        {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
        {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff}};
    if (c < 0x7f) return c >= 0x20;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        if (c >= hidden[i][0] && c <= hidden[i][1]) return false;
    }
    return true;
}

static void put_escaped(struct writer *w, uint32_t c, bool is_text)
{
    char text[16];
    const char *named = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\\' ? "\\\\" : NULL;
    if (named)
        put_text(w, named);
    else if (is_text ? is_printable(c) : c >= 0x20 && c < 0x7f)
        put(w, text, kin__utf8_put(text, c));
    else {
        snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        put_text(w, text);
    }
}

static void put_quoted(struct writer *w, const char *bytes, size_t size, bool is_text)
{
    const char *end = bytes + size;
    char quote = memchr(bytes, '\'', size) && !memchr(bytes, '"', size) ? '"' : '\'';
    put(w, &quote, 1);
    while (bytes < end) {
        uint32_t c = is_text ? kin__utf8_next(&bytes) : (unsigned char)*bytes++;
        if (c == (uint32_t)quote) put_text(w, "\\");
        put_escaped(w, c, is_text);
    }
    put(w, &quote, 1);
}

static void put_bytes(struct writer *w, const kin_value *value)
{
    size_t size;
    const char *bytes = kin__text(value, &size);
    if (value->kind_ == KIN_VALUE_BYTEARRAY) put_text(w, "bytearray(");
    if (value->kind_ != KIN_VALUE_STR) put_text(w, "b");
    put_quoted(w, bytes, size, value->kind_ == KIN_VALUE_STR);
    if (value->kind_ == KIN_VALUE_BYTEARRAY) put_text(w, ")");
}

/* ---- what has parts ----------------------------------------------------------------------- */

static void put_value(struct writer *w, const kin_value *value, const struct above *above);

static void put_items(struct writer *w, const kin_value *value, const char *open, const char *close,
                      const struct above *above)
{
    const kin_value *key, *item;
    bool is_dict = value->kind_ == KIN_VALUE_DICT, first = true;
    put_text(w, open);
    for (size_t at = 0; w->code == 0 && kin_value_next(value, &at, &key, &item);) {
        if (!first) put_text(w, ", ");
        first = false;
        put_value(w, key, above);
        if (!is_dict) continue;
        put_text(w, ": ");
        put_value(w, item, above);
    }
    put_text(w, close);
}

static void put_array(struct writer *w, const kin_value *value, const struct above *above)
{
    char head[] = "array('?'";
    long count = kin_value_len(value);
    head[7] = (char)kin_value_array_typecode(value);
    put_text(w, head);
    if (head[7] == 'u' && count > 0) {
        put_text(w, ", '");
        for (long i = 0; i < count; i++) {
            kin_value item = kin_value_array_get(value, i);
            const char *text = kin_value_get_str(&item, NULL);
            uint32_t c = text ? kin__utf8_next(&text) : 0xfffd;
            if (c == '\'') put_text(w, "\\");
            put_escaped(w, c, true);
        }
        put_text(w, "'");
    } else if (count > 0) {
        put_text(w, ", [");
        for (long i = 0; i < count; i++) {
            kin_value item = kin_value_array_get(value, i);
            if (i > 0) put_text(w, ", ");
            put_value(w, &item, above);
            kin_value_clear(&item);
        }
        put_text(w, "]");
    }
    put_text(w, ")");
}

static void put_fields(struct writer *w, const char *name, const kin_value *field, int count,
                       const struct above *above)
{
    put_text(w, name);
    for (int i = 0; i < count; i++) {
        put_text(w, i == 0 ? "(" : ", ");
        put_value(w, &field[i], above);
    }
    put_text(w, ")");
}

/* Of an exception: its class and arguments; of an instance: its class and attributes. */
static void put_instance(struct writer *w, const kin_value *value, const struct above *above)
{
    const kin_value *key, *item, *arguments = kin_value_arguments(value), *state = kin_value_state(value);
    bool is_error = value->kind_ == KIN_VALUE_ERROR, first = true;
    put_text(w, kin_value_class_name(value));
    if (is_error || state->kind_ == KIN_VALUE_NONE) {
        bool single = kin_value_len(arguments) == 1;
        if (single) put_text(w, "(");
        put_value(w, single ? kin_value_at(arguments, 0) : arguments, above);
        if (single) put_text(w, ")");
        return;
    }
    put_text(w, "(");
    for (size_t at = 0; kin_value_next(state, &at, &key, &item);) {
        size_t size;
        const char *name = kin_value_get_str(key, &size);
        if (!first) put_text(w, ", ");
        first = false;
        if (name) put(w, name, size);
        put_text(w, "=");
        put_value(w, item, above);
    }
    put_text(w, ")");
}

static void put_class(struct writer *w, const kin_value *value)
{
    const char *module, *name;
    kin__class_names(value, &module, &name);
    if (kin__class_use(value) == KIN__CLASS_CONSTANT) {
        put_text(w, name);
        return;
    }
    put_text(w, "<class '");
    if (strcmp(module, "builtins") != 0) {
        put_text(w, module);
        put_text(w, ".");
    }
    put_text(w, name);
    put_text(w, "'>");
}

static void put_token(struct writer *w, const kin_value *field, const struct above *above)
{
    static const char *const names[] = {"Token(typeid=", ", address=", ", id="};
    for (int i = 0; i < KIN__TOKEN_FIELDS; i++) {
        put_text(w, names[i]);
        put_value(w, &field[i], above);
    }
    put_text(w, ")");
}

static void put_proxy(struct writer *w, const kin_value *value, const struct above *above)
{
    put_text(w, "<");
    put_text(w, kin_value_class_name(value));
    put_text(w, " object, typeid ");
    put_value(w,
              &kin__fields(&kin__fields(value, KIN_VALUE_PROXY)[KIN__PROXY_TOKEN],
                           KIN_VALUE_TOKEN)[KIN__TOKEN_TYPE],
              above);
    put_text(w, " at 0x");
    put_text(w, kin_value_token_id(value));
    put_text(w, ">");
}

static void put_set(struct writer *w, const kin_value *value, const struct above *above)
{
    bool frozen = value->kind_ == KIN_VALUE_FROZENSET;
    if (kin_value_len(value) == 0)
        put_text(w, frozen ? "frozenset()" : "set()");
    else
        put_items(w, value, frozen ? "frozenset({" : "{", frozen ? "})" : "}", above);
}

static const char *empty_form(kin_value_kinds kind)
{
    return kind == KIN_VALUE_LIST ? "[...]" : kind == KIN_VALUE_DICT ? "{...}" : "(...)";
}

static void put_parts(struct writer *w, const kin_value *value, const struct above *above)
{
    for (const struct above *each = above; each; each = each->next) {
        if (kin__counted(value) && each->object == value->as_.object) {
            put_text(w, empty_form(value->kind_));
            return;
        }
    }
    struct above here = {value->as_.object, above, above ? above->levels + 1 : 1};
    if (here.levels > KIN__LEVELS) {
        put_text(w, empty_form(value->kind_));
        return;
    }
    switch (value->kind_) {
    case KIN_VALUE_TUPLE: put_items(w, value, "(", kin_value_len(value) == 1 ? ",)" : ")", &here); break;
    case KIN_VALUE_LIST: put_items(w, value, "[", "]", &here); break;
    case KIN_VALUE_DICT: put_items(w, value, "{", "}", &here); break;
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET: put_set(w, value, &here); break;
    case KIN_VALUE_SLICE: put_fields(w, "slice", kin__fields(value, KIN_VALUE_SLICE), 3, &here); break;
    case KIN_VALUE_RANGE: {
        const kin_value *part = kin__fields(value, KIN_VALUE_RANGE);
        bool step_is_one = !kin__counted(&part[2]) && part[2].as_.integer == 1;
        put_fields(w, "range", part, step_is_one ? 2 : 3, &here);
        break;
    }
    case KIN_VALUE_ARRAY: put_array(w, value, &here); break;
    case KIN_VALUE_TOKEN: put_token(w, kin__fields(value, KIN_VALUE_TOKEN), &here); break;
    case KIN_VALUE_PROXY: put_proxy(w, value, &here); break;
    default: put_instance(w, value, &here);
    }
}

static void put_value(struct writer *w, const kin_value *value, const struct above *above)
{
    if (w->most != 0 && w->size > w->most) {
        w->code = -EMSGSIZE;
        return;
    }
    switch (value->kind_) {
    case KIN_VALUE_NONE: put_text(w, "None"); break;
    case KIN_VALUE_BOOL: put_text(w, value->as_.integer ? "True" : "False"); break;
    case KIN_VALUE_INT: put_integer(w, value); break;
    case KIN_VALUE_FLOAT: put_float(w, value->as_.number, true); break;
    case KIN_VALUE_COMPLEX: put_complex(w, kin__fields(value, KIN_VALUE_COMPLEX)); break;
    case KIN_VALUE_STR:
    case KIN_VALUE_BYTES:
    case KIN_VALUE_BYTEARRAY: put_bytes(w, value); break;
    case KIN_VALUE_CLASS: put_class(w, value); break;
    case KIN_VALUE_FAILED:
        put_text(w, "<failed: ");
        put_text(w, kin_error_name(kin_value_error_code(value)));
        put_text(w, ">");
        break;
    default: put_parts(w, value, above);
    }
}

/* ---- the public functions ----------------------------------------------------------------- */

/* Ends the text at its capacity, before a character that would be cut. */
static long finish(struct writer *w, char *buffer, size_t capacity)
{
    if (capacity == 0) return w->code < 0 ? w->code : (long)w->size;
    size_t end = w->size < w->capacity ? w->size : w->capacity;
    if (end < w->size) {
        while (end > 0 && (buffer[end] & 0xc0) == 0x80) end--;
    }
    buffer[end] = 0;
    return w->code < 0 ? w->code : (long)w->size;
}

long kin_value_repr(const kin_value *value, char *buffer, size_t capacity)
{
    if (value == NULL || (buffer == NULL && capacity > 0)) return -EINVAL;
    struct writer w = {.to = buffer, .capacity = capacity};
    put_value(&w, value, NULL);
    if (capacity > 0) w.capacity = capacity - 1;
    return finish(&w, buffer, capacity);
}

long kin__value_repr_within(const kin_value *value, size_t most)
{
    struct writer w = {.most = most};
    put_value(&w, value, NULL);
    return finish(&w, NULL, 0);
}

static bool is_key_error(const kin_value *value)
{
    return kin_value_class_is(value, "KeyError");
}

long kin_value_text(const kin_value *value, char *buffer, size_t capacity)
{
    if (value == NULL || (buffer == NULL && capacity > 0)) return -EINVAL;
    const kin_value *shown = value;
    if (value->kind_ == KIN_VALUE_ERROR) {
        /* str() of an exception is its only argument, or all of them, or nothing; of a KeyError
         * it is the repr. */
        const kin_value *arguments = kin_value_arguments(value);
        long count = kin_value_len(arguments);
        const kin_value *first = kin_value_at(arguments, 0);
        if (count == 0) return finish(&(struct writer){0}, buffer, capacity);
        if (count != 1 || is_key_error(value))
            return kin_value_repr(count == 1 ? first : arguments, buffer, capacity);
        shown = first;
    }
    if (shown->kind_ != KIN_VALUE_STR) return kin_value_repr(shown, buffer, capacity);
    struct writer w = {.to = buffer, .capacity = capacity};
    size_t size;
    const char *text = kin__text(shown, &size);
    put(&w, text, size);
    if (capacity > 0) w.capacity = capacity - 1;
    return finish(&w, buffer, capacity);
}
