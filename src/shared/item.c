/* item.c: one item of an array at a time, in one atomic step each.
 *
 * Invariant: an item is read and written by one access of its size, sequentially consistent, so
 * that it is never seen half-changed, and a death leaves it as it was or as it is to be.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "shared/array.h"

/* Any item, as the bits that one access moves. */
union bits {
    uint8_t u1;
    uint16_t u2;
    uint32_t u4;
    uint64_t u8;
    float f;
    double d;
};

/* memcpy of a size that the compiler does not know is a call. */
static inline void copy(void *to, const void *from, unsigned size)
{
    switch (size) {
    case 1: memcpy(to, from, 1); break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, 8); break;
    }
}

/* ---- atomic access by size ------------------------------------------------------------------- */

static union bits load(const void *item, unsigned size)
{
    union bits bits = {.u8 = 0};
    switch (size) {
    case 1: bits.u1 = __atomic_load_n((const uint8_t *)item, __ATOMIC_SEQ_CST); break;
    case 2: bits.u2 = __atomic_load_n((const uint16_t *)item, __ATOMIC_SEQ_CST); break;
    case 4: bits.u4 = __atomic_load_n((const uint32_t *)item, __ATOMIC_SEQ_CST); break;
    default: bits.u8 = __atomic_load_n((const uint64_t *)item, __ATOMIC_SEQ_CST); break;
    }
    return bits;
}

static union bits exchange(void *item, unsigned size, union bits bits)
{
    switch (size) {
    case 1: bits.u1 = __atomic_exchange_n((uint8_t *)item, bits.u1, __ATOMIC_SEQ_CST); break;
    case 2: bits.u2 = __atomic_exchange_n((uint16_t *)item, bits.u2, __ATOMIC_SEQ_CST); break;
    case 4: bits.u4 = __atomic_exchange_n((uint32_t *)item, bits.u4, __ATOMIC_SEQ_CST); break;
    default: bits.u8 = __atomic_exchange_n((uint64_t *)item, bits.u8, __ATOMIC_SEQ_CST); break;
    }
    return bits;
}

#define COMPARE_EXCHANGE(type, member) \
    __atomic_compare_exchange_n((type *)item, &expected->member, desired.member, false, __ATOMIC_SEQ_CST, \
                                __ATOMIC_SEQ_CST)

static bool compare_exchange(void *item, unsigned size, union bits *expected, union bits desired)
{
    switch (size) {
    case 1: return COMPARE_EXCHANGE(uint8_t, u1);
    case 2: return COMPARE_EXCHANGE(uint16_t, u2);
    case 4: return COMPARE_EXCHANGE(uint32_t, u4);
    default: return COMPARE_EXCHANGE(uint64_t, u8);
    }
}

static union bits add_integer(void *item, unsigned size, union bits bits)
{
    switch (size) {
    case 1: bits.u1 = __atomic_fetch_add((uint8_t *)item, bits.u1, __ATOMIC_SEQ_CST); break;
    case 2: bits.u2 = __atomic_fetch_add((uint16_t *)item, bits.u2, __ATOMIC_SEQ_CST); break;
    case 4: bits.u4 = __atomic_fetch_add((uint32_t *)item, bits.u4, __ATOMIC_SEQ_CST); break;
    default: bits.u8 = __atomic_fetch_add((uint64_t *)item, bits.u8, __ATOMIC_SEQ_CST); break;
    }
    return bits;
}

static union bits add_real(void *item, unsigned size, union bits amount)
{
    union bits before = load(item, size), after;
    do {
        after = before;
        if (size == sizeof(float))
            after.f += amount.f;
        else
            after.d += amount.d;
    } while (!compare_exchange(item, size, &before, after));
    return before;
}

/* ---- finding the item ------------------------------------------------------------------------- */

/* Finds the item, and the type of what the caller's pointer points to. */
static inline int find(kin_array *array, size_t index, char code, const void *value, void **item,
                       struct kin__number_type *given)
{
    int rc = kin__array_enter(array);
    if (__builtin_expect(rc < 0, 0)) return rc;
    *given = kin__number_type(code);
    if (__builtin_expect(value == NULL || given->kind == KIN__NO_NUMBER, 0)) return -EINVAL;
    if (__builtin_expect(array->code == 0, 0)) return KIN_ETYPE;
    if (__builtin_expect(index >= array->length, 0)) return KIN_EINDEX;
    *item = (char *)atomic_load_explicit(&array->data, memory_order_relaxed) + index * array->type.size;
    return 0;
}

/* What the caller gave, as an item. */
static inline int take(const kin_array *array, struct kin__number_type given, const void *value,
                       union bits *bits)
{
    if (__builtin_expect(!kin__number_same(given, array->type), 0))
        return kin__number_convert(bits, array->type, value, given);
    copy(bits, value, given.size);
    return 0;
}

/* ---- the public functions --------------------------------------------------------------------- */

int kin_array_get_as(kin_array *array, size_t index, char code, void *value)
{
    struct kin__number_type given;
    void *item;
    int rc = find(array, index, code, value, &item, &given);
    if (__builtin_expect(rc < 0, 0)) return rc;
    union bits bits = load(item, array->type.size);
    if (__builtin_expect(!kin__number_same(given, array->type), 0))
        return kin__number_convert(value, given, &bits, array->type);
    copy(value, &bits, given.size);
    return 0;
}

int kin_array_set_as(kin_array *array, size_t index, char code, const void *value)
{
    struct kin__number_type given;
    union bits bits = {.u8 = 0};
    void *item;
    int rc = find(array, index, code, value, &item, &given);
    if (__builtin_expect(rc == 0, 1)) rc = take(array, given, value, &bits);
    if (__builtin_expect(rc == 0, 1)) exchange(item, array->type.size, bits);
    return rc;
}

/* What was there is told as it is, and nothing is stored before it is clear that it can be. */
static inline bool may_tell(const kin_array *array, char code)
{
    return kin__number_same(kin__number_type(code), array->type);
}

int kin_array_add_as(kin_array *array, size_t index, char code, const void *value, char before_code,
                     void *before)
{
    struct kin__number_type given;
    union bits bits = {.u8 = 0};
    void *item;
    int rc = find(array, index, code, value, &item, &given);
    if (__builtin_expect(rc < 0, 0)) return rc;
    if (array->type.kind == KIN__BOOL || (before != NULL && !may_tell(array, before_code))) return KIN_ETYPE;
    if (__builtin_expect(kin__number_same(given, array->type), 1))
        copy(&bits, value, given.size);
    else
        rc = kin__number_wrap(&bits, array->type, value, given);
    if (__builtin_expect(rc < 0, 0)) return rc;
    bits = array->type.kind == KIN__REAL ? add_real(item, array->type.size, bits)
                                         : add_integer(item, array->type.size, bits);
    if (before != NULL) copy(before, &bits, array->type.size);
    return 0;
}

int kin_array_exchange_as(kin_array *array, size_t index, char code, const void *value, char before_code,
                          void *before)
{
    struct kin__number_type given;
    union bits bits = {.u8 = 0};
    void *item;
    int rc = find(array, index, code, value, &item, &given);
    if (rc < 0) return rc;
    if (before == NULL) return -EINVAL;
    if (!may_tell(array, before_code)) return KIN_ETYPE;
    rc = take(array, given, value, &bits);
    if (rc < 0) return rc;
    bits = exchange(item, array->type.size, bits);
    copy(before, &bits, array->type.size);
    return 0;
}

int kin_array_compare_exchange_as(kin_array *array, size_t index, char expected_code, void *expected,
                                  char code, const void *desired)
{
    struct kin__number_type given;
    union bits old = {.u8 = 0}, new = {.u8 = 0};
    void *item;
    int rc = find(array, index, code, desired, &item, &given);
    if (rc < 0) return rc;
    if (expected == NULL) return -EINVAL;
    if (!may_tell(array, expected_code)) return KIN_ETYPE;
    rc = take(array, given, desired, &new);
    if (rc < 0) return rc;
    copy(&old, expected, array->type.size);
    if (compare_exchange(item, array->type.size, &old, new)) return 1;
    copy(expected, &old, array->type.size);
    return 0;
}
