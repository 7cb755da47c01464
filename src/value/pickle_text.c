/* pickle_text.c: the opcodes of protocol 0, whose arguments are lines of text. */
#define _GNU_SOURCE
#include <errno.h>
#include <locale.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/pickle.h"

int kin__reader_line(struct kin__reader *r, const char **line, size_t *size)
{
    const unsigned char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (newline == NULL) return kin__reader_fail(r, KIN_EPICKLE, "cut short within a line");
    *line = (const char *)r->at;
    *size = (size_t)(newline - r->at);
    r->at = newline + 1;
    return 0;
}

kin_value kin__read_int(const char *line, size_t size)
{
    if (size == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return kin_value_bool(line[1] == '1');
    return kin__integer_parse(line, size);
}

kin_value kin__read_long(const char *line, size_t size)
{
    return kin__integer_parse(line, size > 0 && line[size - 1] == 'L' ? size - 1 : size);
}

kin_value kin__read_float(const char *line, size_t size)
{
    char text[64], *end;
    if (size == 0 || size >= sizeof text) return kin_value_failed(KIN_EPICKLE);
    memcpy(text, line, size);
    text[size] = 0;
    for (size_t i = 0; i < size; i++) {
        if (!strchr("0123456789.eE+-infaINFA", text[i])) return kin_value_failed(KIN_EPICKLE);
    }
    /* The program's locale may write numbers otherwise. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) return kin_value_failed(-ENOMEM);
    double number = strtod_l(text, &end, plain);
    freelocale(plain);
    return end == text + size ? kin_value_float(number) : kin_value_failed(KIN_EPICKLE);
}

kin_value kin__old_string(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] & 0x80) return kin_value_bytes(bytes, size);
    }
    return kin__text_make(KIN_VALUE_STR, bytes, size);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` hexadecimal digits; -1: they are none. */
static int64_t hex_number(const char *text, const char *end, int count)
{
    int64_t number = 0;
    if (end - text < count) return -1;
    for (int i = 0; i < count; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* One byte of a quoted text, after its backslash; -1: not as Python writes it. */
static int unescape(const char **at, const char *end)
{
    static const char names[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
    if (*at == end) return -1;
    char c = *(*at)++;
    const char *named = c ? strchr(names, c) : NULL;
    if (named) return (unsigned char)bytes[named - names];
    if (c == 'x') {
        int64_t byte = hex_number(*at, end, 2);
        *at += 2;
        return (int)byte;
    }
    if (c < '0' || c > '7') return -1;
    int byte = c - '0';
    for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++) byte = byte * 8 + *(*at)++ - '0';
    return byte & 0xff;
}

/* A line such as 'it\'s': as Python 2's repr. */
kin_value kin__read_string(const char *line, size_t size)
{
    if (size < 2 || (*line != '\'' && *line != '"') || line[size - 1] != *line)
        return kin_value_failed(KIN_EPICKLE);
    const char *at = line + 1, *end = line + size - 1;
    char *bytes = kin__os_malloc(size);
    if (bytes == NULL) return kin_value_failed(-ENOMEM);
    size_t count = 0;
    int byte = 0;
    while (at < end && byte >= 0) {
        byte = (unsigned char)*at++;
        if (byte == '\\') byte = unescape(&at, end);
        bytes[count++] = (char)byte;
    }
    kin_value value = byte < 0 ? kin_value_failed(KIN_EPICKLE) : kin__old_string(bytes, count);
    free(bytes);
    return value;
}

/* Latin-1 with \uxxxx and \Uxxxxxxxx between. */
kin_value kin__read_unicode(const char *line, size_t size)
{
    const char *at = line, *end = line + size;
    char *bytes = kin__os_malloc(size * 2 + 4);
    if (bytes == NULL) return kin_value_failed(-ENOMEM);
    size_t count = 0;
    int64_t c = 0;
    while (at < end && c >= 0) {
        c = (unsigned char)*at++;
        bool escaped = c == '\\' && at < end && (*at == 'u' || *at == 'U');
        if (escaped) {
            int digits = *at++ == 'u' ? 4 : 8;
            c = hex_number(at, end, digits);
            at += digits;
            /* A character beyond 16 bits in two halves, as old Pythons wrote it. */
            if (c >= 0xd800 && c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
                int64_t low = hex_number(at + 2, end, 4);
                if (low >= 0xdc00 && low < 0xe000) {
                    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
            }
        }
        if (c > 0x10ffff) c = -1;
        if (c >= 0) count += kin__utf8_put(bytes + count, (uint32_t)c);
    }
    kin_value value = c < 0 ? kin_value_failed(KIN_EPICKLE) : kin__text_make(KIN_VALUE_STR, bytes, count);
    free(bytes);
    return value;
}
