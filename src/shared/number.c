/* number.c: see number.h.  Pure functions on private memory. */
#include "shared/number.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#include <kin/array.h>

#define KIND(type) \
    _Generic((type)0, bool \
             : KIN__BOOL, float \
             : KIN__REAL, double \
             : KIN__REAL, default \
             : (type)-1 < (type)1 ? KIN__SIGNED : KIN__UNSIGNED)

const struct kin__number_type kin__number_types[256] = {
#define ENTRY(code, type) [code] = {KIND(type), sizeof(type)},
    KIN_TYPECODES(ENTRY)
#undef ENTRY
        ['u'] = {KIND(wchar_t), sizeof(wchar_t)},
};

/* A number apart from its size. */
struct number {
    enum kin__number_kind kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
    };
};

static struct number load(const void *from, struct kin__number_type type)
{
    struct number number = {.kind = type.kind};
    union {
        int8_t i1;
        int16_t i2;
        int32_t i4;
        uint8_t u1;
        uint16_t u2;
        uint32_t u4;
        uint64_t u8;
        float f;
    } bits = {0};
    memcpy(&bits, from, type.size);
    if (type.kind == KIN__SIGNED) {
        number.i = type.size == 1   ? bits.i1
                   : type.size == 2 ? bits.i2
                   : type.size == 4 ? bits.i4
                                    : (int64_t)bits.u8;
    } else if (type.kind == KIN__REAL) {
        if (type.size == sizeof(float))
            number.d = bits.f;
        else
            memcpy(&number.d, from, sizeof number.d);
    } else {
        number.u = type.size == 1 ? bits.u1 : type.size == 2 ? bits.u2 : type.size == 4 ? bits.u4 : bits.u8;
    }
    return number;
}

/* The integers of a type lie in [-2^bits, 2^bits) or [0, 2^bits). */
static unsigned bits_of(struct kin__number_type type)
{
    if (type.kind == KIN__BOOL) return 1;
    return type.size * 8u - (type.kind == KIN__SIGNED);
}

/* A real as an integer of the type, if it is one. */
static int from_real(struct number *number, struct kin__number_type type)
{
    double limit = 2.0 * (double)((uint64_t)1 << (bits_of(type) - 1)), value = number->d;
    /* Not less and not more is a NaN too. */
    if (!(value < limit) || !(value >= (type.kind == KIN__SIGNED ? -limit : 0.0))) return -ERANGE;
    if (value < 0) {
        number->i = (int64_t)value;
        number->kind = KIN__SIGNED;
        return (double)number->i == value ? 0 : -ERANGE;
    }
    number->u = (uint64_t)value;
    number->kind = KIN__UNSIGNED;
    return (double)number->u == value ? 0 : -ERANGE;
}

static bool fits(const struct number *number, struct kin__number_type type)
{
    unsigned bits = bits_of(type);
    if (number->kind == KIN__SIGNED && number->i < 0)
        return type.kind == KIN__SIGNED && number->i >= -(int64_t)(((uint64_t)1 << (bits - 1)) - 1) * 2 - 2;
    return bits == 64 || number->u >> bits == 0;
}

static int store_real(void *to, struct kin__number_type type, const struct number *number)
{
    double value = number->kind == KIN__REAL     ? number->d
                   : number->kind == KIN__SIGNED ? (double)number->i
                                                 : (double)number->u;
    if (type.size == sizeof(double)) {
        memcpy(to, &value, sizeof value);
        return 0;
    }
    float small = (float)value;
    /* Only an infinity may become one. */
    if (__builtin_isinf(small) && !__builtin_isinf(value)) return -ERANGE;
    memcpy(to, &small, sizeof small);
    return 0;
}

static int convert(void *to, struct kin__number_type to_type, struct number number, bool wrap)
{
    if (to_type.kind == KIN__REAL) return store_real(to, to_type, &number);
    if (number.kind == KIN__REAL) {
        int rc = from_real(&number, to_type);
        if (rc < 0) return rc;
    }
    if (!wrap && !fits(&number, to_type)) return -ERANGE;
    if (to_type.kind == KIN__BOOL && number.u > 1) return -ERANGE;
    /* The low bytes of the sum of powers: what C stores, on either order of bytes. */
    uint8_t u1 = (uint8_t)number.u;
    uint16_t u2 = (uint16_t)number.u;
    uint32_t u4 = (uint32_t)number.u;
    const void *bytes = to_type.size == 1   ? (const void *)&u1
                        : to_type.size == 2 ? (const void *)&u2
                        : to_type.size == 4 ? (const void *)&u4
                                            : (const void *)&number.u;
    memcpy(to, bytes, to_type.size);
    return 0;
}

int kin__number_convert(void *to, struct kin__number_type to_type, const void *from,
                        struct kin__number_type from_type)
{
    return convert(to, to_type, load(from, from_type), false);
}

int kin__number_wrap(void *to, struct kin__number_type to_type, const void *from,
                     struct kin__number_type from_type)
{
    return convert(to, to_type, load(from, from_type), true);
}
