/* integer.c: ints of any size.
 *
 * An int that fits int64_t stands in the value.  Any other is a block of two's complement bytes,
 * the lowest first, no longer than it has to be: the form that pickles have.  So a block is never
 * equal to a small int, and two are equal if their bytes are.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

/* What Python reads and prints at most, for the time grows with the square. */
#define DIGITS_MOST 4300

kin_value kin__integer_make(const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;
    if (size > 0) {
        unsigned char fill = byte[size - 1] & 0x80 ? 0xff : 0;
        while (size > 1 && byte[size - 1] == fill && ((byte[size - 2] ^ fill) & 0x80) == 0) size--;
    }
    if (size > sizeof(int64_t)) return kin__text_make(KIN_VALUE_INT, bytes, size);
    uint64_t number = size > 0 && byte[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = size; i > 0; i--) number = number << 8 | byte[i - 1];
    return kin_value_int((int64_t)number);
}

kin_value kin_value_int_from_bytes(const void *bytes, size_t size)
{
    return bytes || size == 0 ? kin__integer_make(bytes, size) : kin_value_failed(-EINVAL);
}

/* The bytes of any int; those of a small one are written to `small`. */
static const unsigned char *bytes_of(const kin_value *value, unsigned char small[8], size_t *size)
{
    if (kin__counted(value)) return (const unsigned char *)kin__text(value, size);
    for (int i = 0; i < 8; i++) small[i] = (unsigned char)((uint64_t)value->as_.integer >> 8 * i);
    *size = 8;
    return small;
}

long kin_value_int_bytes(const kin_value *value, void *bytes, size_t capacity)
{
    unsigned char small[8], *to = bytes;
    size_t size;
    if (value == NULL || (bytes == NULL && capacity > 0)) return -EINVAL;
    if (value->kind_ != KIN_VALUE_INT && value->kind_ != KIN_VALUE_BOOL) return KIN_EKIND;
    const unsigned char *from = bytes_of(value, small, &size);
    unsigned char fill = from[size - 1] & 0x80 ? 0xff : 0;
    while (size > 1 && from[size - 1] == fill && ((from[size - 2] ^ fill) & 0x80) == 0) size--;
    if (size == 1 && from[0] == 0) size = 0;
    if (size <= capacity && capacity > 0) {
        memcpy(to, from, size);
        memset(to + size, fill, capacity - size);
    }
    return (long)size;
}

/* ---- order -------------------------------------------------------------------------------- */

int kin__integer_compare(const kin_value *a, const kin_value *b)
{
    unsigned char small_a[8], small_b[8];
    size_t size_a, size_b;
    if (!kin__counted(a) && !kin__counted(b))
        return (a->as_.integer > b->as_.integer) - (a->as_.integer < b->as_.integer);
    const unsigned char *x = bytes_of(a, small_a, &size_a), *y = bytes_of(b, small_b, &size_b);
    bool negative_a = x[size_a - 1] & 0x80, negative_b = y[size_b - 1] & 0x80;
    if (negative_a != negative_b) return negative_a ? -1 : 1;
    /* The longer one is further from zero.  Small ones are 8 bytes, which is shorter than any block
     * but not always the shortest form; two small ones do not come here. */
    if (size_a != size_b) return (size_a > size_b) == negative_a ? -1 : 1;
    for (size_t i = size_a; i > 0; i--) {
        if (x[i - 1] != y[i - 1]) return x[i - 1] < y[i - 1] ? -1 : 1;
    }
    return 0;
}

/* ---- doubles ------------------------------------------------------------------------------ */

static void negate(unsigned char *bytes, size_t size)
{
    unsigned carry = 1;
    for (size_t i = 0; i < size; i++) {
        carry += (unsigned char)~bytes[i];
        bytes[i] = (unsigned char)carry;
        carry >>= 8;
    }
}

kin_value kin__integer_of_double(double number)
{
    if (number >= -0x1p63 && number < 0x1p63) return kin_value_int((int64_t)number);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint64_t mantissa = (bits & 0xfffffffffffffu) | 1ull << 52;
    unsigned char bytes[136] = {0};
    size_t bit = (bits >> 52 & 0x7ff) - 1075, size = (bit + 53) / 8 + 2;
    for (int i = 0; i < 53; i++) {
        if (mantissa >> i & 1) bytes[(bit + (size_t)i) / 8] |= (unsigned char)(1u << (bit + (size_t)i) % 8);
    }
    if (number < 0) negate(bytes, size);
    return kin__integer_make(bytes, size);
}

/* Rounds to nearest, ties to even: the top 64 bits with whatever is below them in the last bit. */
static double double_of_bytes(const unsigned char *bytes, size_t size)
{
    size_t top = size;
    while (top > 0 && bytes[top - 1] == 0) top--;
    if (top > 128) return INFINITY;
    uint64_t high = 0;
    size_t low = top > 8 ? top - 8 : 0;
    bool rest = false;
    for (size_t i = top; i > low; i--) high = high << 8 | bytes[i - 1];
    /* The highest byte may begin with zeros; as many bits come from the byte below. */
    int shift = high ? __builtin_clzll(high) : 0;
    if (low > 0 && shift > 0) {
        high = high << shift | bytes[low - 1] >> (8 - shift);
        rest = (unsigned char)(bytes[low - 1] << shift) != 0;
    } else {
        shift = 0;
        rest = low > 0 && bytes[low - 1] != 0;
    }
    for (size_t i = 0; low > 1 && i < low - 1; i++) rest = rest || bytes[i] != 0;
    uint64_t power = (8 * low - (uint64_t)shift + 1023) << 52; /* of two, as a double's bits */
    double factor;
    memcpy(&factor, &power, sizeof factor);
    return (double)(high | rest) * factor;
}

double kin__integer_to_double(const kin_value *value)
{
    if (!kin__counted(value)) return (double)value->as_.integer;
    size_t size;
    const char *bytes = kin__text(value, &size);
    if (size > 136) return INFINITY;
    unsigned char copy[136];
    memcpy(copy, bytes, size);
    bool negative = copy[size - 1] & 0x80;
    if (negative) negate(copy, size);
    double magnitude = double_of_bytes(copy, size);
    return negative ? -magnitude : magnitude;
}

/* ---- decimal ------------------------------------------------------------------------------ */

char *kin__integer_digits(const kin_value *value, int *code)
{
    unsigned char small[8];
    size_t size;
    const unsigned char *bytes = bytes_of(value, small, &size);
    *code = -ERANGE;
    if (size > DIGITS_MOST / 2) return NULL; /* 2.4 digits a byte */
    unsigned char *left = kin__os_malloc(size + 4 * size + 4);
    *code = -ENOMEM;
    if (left == NULL) return NULL;
    char *digits = (char *)left + size, *end = digits + 4 * size + 3, *at = end;
    memcpy(left, bytes, size);
    bool negative = left[size - 1] & 0x80;
    if (negative) negate(left, size);
    *at = 0;
    size_t top = size;
    do { /* nine digits at a time, the lowest first */
        uint64_t rest = 0;
        while (top > 0 && left[top - 1] == 0) top--;
        for (size_t i = top; i > 0; i--) {
            rest = rest << 8 | left[i - 1];
            left[i - 1] = (unsigned char)(rest / 1000000000);
            rest %= 1000000000;
        }
        while (top > 0 && left[top - 1] == 0) top--;
        for (int i = 0; i < 9 && (top > 0 || rest > 0); i++, rest /= 10) *--at = (char)('0' + rest % 10);
    } while (top > 0);
    if (at == end) *--at = '0';
    if (end - at > DIGITS_MOST) {
        free(left);
        *code = -ERANGE;
        return NULL;
    }
    if (negative) *--at = '-';
    memmove(left, at, (size_t)(end - at) + 1);
    return (char *)left;
}

kin_value kin__integer_parse(const char *text, size_t size)
{
    bool negative = size > 0 && *text == '-';
    if (size > 0 && (*text == '-' || *text == '+')) text++, size--;
    if (size == 0) return kin_value_failed(KIN_EPICKLE);
    if (size > DIGITS_MOST) return kin_value_failed(-ERANGE);
    unsigned char bytes[DIGITS_MOST / 2] = {0}; /* 0.42 bytes a digit */
    size_t top = 1;
    for (size_t i = 0; i < size; i++) {
        unsigned carry = (unsigned char)text[i] - (unsigned)'0';
        if (carry > 9) return kin_value_failed(KIN_EPICKLE);
        for (size_t at = 0; at < top; at++) {
            carry += bytes[at] * 10u;
            bytes[at] = (unsigned char)carry;
            carry >>= 8;
        }
        if (carry) bytes[top++] = (unsigned char)carry;
    }
    if (negative) negate(bytes, top + 1);
    return kin__integer_make(bytes, top + 1);
}
