/* number.h: numbers of every type code: reading them from memory, writing them, converting. */
#ifndef KIN_SHARED_NUMBER_H
#define KIN_SHARED_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kin__number_kind { KIN__NO_NUMBER = 0, KIN__SIGNED, KIN__UNSIGNED, KIN__REAL, KIN__BOOL };

/* What a type code means; kind KIN__NO_NUMBER for a code that is none. */
struct kin__number_type {
    uint8_t kind;
    uint8_t size; /* 1, 2, 4 or 8 */
};
extern const struct kin__number_type kin__number_types[256];

static inline struct kin__number_type kin__number_type(char code)
{
    return kin__number_types[(unsigned char)code];
}

/* Have the two the same values in the same bits? */
static inline bool kin__number_same(struct kin__number_type a, struct kin__number_type b)
{
    return a.kind == b.kind && a.size == b.size;
}

/* Turns the number at `from` into one at `to`: 0, or -ERANGE for a value that the other type does
 * not have.  A real is rounded to a smaller real, an integer to a real; a NaN stays one. */
int kin__number_convert(void *to, struct kin__number_type to_type, const void *from,
                        struct kin__number_type from_type);

/* As that, but an integer that is too large for the integer `to` is cut, as C does. */
int kin__number_wrap(void *to, struct kin__number_type to_type, const void *from,
                     struct kin__number_type from_type);

#endif
