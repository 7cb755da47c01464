/* json.c: JSON, piece by piece, so that an output of any size passes through little memory. */
#include "json.h"

#include <stdio.h>
#include <string.h>

#define BLOCK ((size_t)48 << 10) /* a multiple of three, for base 64 */

static char last_written(const struct output *out)
{
    char last = '\0';
    uint64_t size = output_size(out);
    if (size > 0) output_copy(out, size - 1, &last, 1);
    return last;
}

static int add_name(struct output *out, const char *name, const char *suffix)
{
    char last = last_written(out);
    int rc = last != '{' && last != '[' && last != '\0' ? output_add(out, ",", 1) : 0;
    if (rc < 0 || name == NULL) return rc;
    char text[128];
    int size = snprintf(text, sizeof text, "\"%s%s\":", name, suffix);
    return output_add(out, text, (size_t)size);
}

static int add_plain(struct output *out, const char *name, const char *value)
{
    int rc = add_name(out, name, "");
    return rc < 0 ? rc : output_add_text(out, value);
}

int json_number(struct output *out, const char *name, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    return add_plain(out, name, text);
}

int json_seconds(struct output *out, const char *name, double seconds)
{
    char text[64];
    snprintf(text, sizeof text, "%.6f", seconds);
    return add_plain(out, name, text);
}

int json_null(struct output *out, const char *name)
{
    return add_plain(out, name, "null");
}

int json_boolean(struct output *out, const char *name, bool value)
{
    return add_plain(out, name, value ? "true" : "false");
}

int json_open(struct output *out, const char *name, char bracket)
{
    int rc = add_name(out, name, "");
    return rc < 0 ? rc : output_add(out, &bracket, 1);
}

int json_close(struct output *out, char bracket)
{
    return output_add(out, &bracket, 1);
}

/* Checks UTF-8 byte by byte: `needed` continuation bytes are missing, the next of which lies
 * between `low` and `high`. */
struct utf8 {
    unsigned needed;
    unsigned char low;
    unsigned char high;
};

static bool utf8_begin(struct utf8 *state, unsigned char byte)
{
    state->low = 0x80;
    state->high = 0xbf;
    if (byte < 0x80) return true;
    if (byte >= 0xc2 && byte <= 0xdf) {
        state->needed = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        state->needed = 2;
        if (byte == 0xe0) state->low = 0xa0;
        if (byte == 0xed) state->high = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        state->needed = 3;
        if (byte == 0xf0) state->low = 0x90;
        if (byte == 0xf4) state->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

static bool utf8_take(struct utf8 *state, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (state->needed == 0) {
            if (!utf8_begin(state, byte)) return false;
        } else {
            if (byte < state->low || byte > state->high) return false;
            state->low = 0x80;
            state->high = 0xbf;
            state->needed--;
        }
    }
    return true;
}

bool json_is_text(const char *bytes, size_t size)
{
    struct utf8 state = {0};
    return utf8_take(&state, bytes, size) && state.needed == 0;
}

static int add_escaped(struct output *out, const char *bytes, size_t size)
{
    static const char letters[] = "\b\f\n\r\t\"\\";
    static const char names[] = "bfnrt\"\\";
    int rc = 0;
    size_t plain = 0;
    for (size_t i = 0; i < size && rc == 0; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) continue;
        rc = output_add(out, bytes + plain, i - plain);
        plain = i + 1;
        const char *letter = byte == 0 ? NULL : strchr(letters, byte);
        char text[8];
        if (letter != NULL) {
            snprintf(text, sizeof text, "\\%c", names[letter - letters]);
        } else {
            snprintf(text, sizeof text, "\\u%04x", byte);
        }
        if (rc == 0) rc = output_add_text(out, text);
    }
    return rc < 0 ? rc : output_add(out, bytes + plain, size - plain);
}

static int add_base64(struct output *out, const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int rc = 0;
    for (size_t i = 0; i < size && rc == 0; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        unsigned long bits = (unsigned long)(unsigned char)bytes[i] << 16;
        if (have > 1) bits |= (unsigned long)(unsigned char)bytes[i + 1] << 8;
        if (have > 2) bits |= (unsigned char)bytes[i + 2];
        char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], have > 1 ? digits[bits >> 6 & 63] : '=',
                        have > 2 ? digits[bits & 63] : '='};
        rc = output_add(out, text, 4);
    }
    return rc;
}

static bool is_utf8(const struct output *value)
{
    static char block[BLOCK];
    struct utf8 state = {0};
    uint64_t offset = 0;
    for (long n; (n = output_copy(value, offset, block, BLOCK)) > 0; offset += (uint64_t)n)
        if (!utf8_take(&state, block, (size_t)n)) return false;
    return state.needed == 0;
}

/* Base 64 needs whole triples up to the last block: a copy may be short at a seam. */
static long copy_full(const struct output *value, uint64_t offset, char *block)
{
    size_t filled = 0;
    while (filled < BLOCK) {
        long n = output_copy(value, offset + filled, block + filled, BLOCK - filled);
        if (n < 0) return n;
        if (n == 0) break;
        filled += (size_t)n;
    }
    return (long)filled;
}

int json_output(struct output *out, const char *name, const struct output *value)
{
    static char block[BLOCK];
    bool text = is_utf8(value);
    int rc = 0;
    if (!text && name == NULL) {
        rc = json_open(out, NULL, '{');
        if (rc == 0) rc = add_name(out, "base64", "");
    } else {
        rc = add_name(out, name, text ? "" : "_base64");
    }
    if (rc == 0) rc = output_add(out, "\"", 1);
    uint64_t offset = 0;
    while (rc == 0) {
        long n = copy_full(value, offset, block);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        offset += (uint64_t)n;
        rc = text ? add_escaped(out, block, (size_t)n) : add_base64(out, block, (size_t)n);
    }
    if (rc == 0) rc = output_add(out, "\"", 1);
    if (rc == 0 && !text && name == NULL) rc = json_close(out, '}');
    return rc;
}

int json_bytes(struct output *out, const char *name, const char *bytes, size_t size)
{
    struct output value = {.memory = (char *)bytes, .size = size, .capacity = size};
    return json_output(out, name, &value);
}
