/* kin/array.h: numbers (or structs) that processes share: what Python calls Array and Value.
 *
 *     kin_array *squares = NULL;
 *     int rc = kin_array_open(&squares, 'i', 4, NULL);         // four ints, all zero
 *     …in any process of the family…
 *     rc = kin_array_set(squares, 2, 4);                       // checked: index and range
 *     int *raw = kin_array_data(squares);                      // unchecked, at the speed of C
 *
 *     kin_cell *total = NULL;                                  // one number: Python's Value
 *     rc = kin_cell_open(&total, 'd', &(kin_array_options){.initial = &(double){1.5}});
 *     rc = kin_cell_add(total, 0.25);                          // atomic
 *
 * Getting, setting, adding and exchanging one item is atomic and never waits.  What changes
 * several items together does so under the array's lock:
 *
 *     rc = kin_lock_acquire(kin_array_lock(squares), KIN_FOREVER);
 *     if (rc >= 0) { raw[0] += raw[1]; kin_lock_release(kin_array_lock(squares)); } */
#ifndef KIN_ARRAY_H
#define KIN_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/lock.h>
#include <kin/time.h>

KIN_BEGIN

/* An array lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_array kin_array;

/* A cell is an array of one item: every function of arrays takes it, with index 0. */
typedef struct kin_array kin_cell;

/* X(code, type): the types of items, by Python's type codes and by '?', C's bool.  'u' is
 * wchar_t.  Items of code 0 are structs of .item_size bytes. */
#define KIN_TYPECODES(X) \
    X('c', char) \
    X('b', signed char) \
    X('B', unsigned char) \
    X('h', short) \
    X('H', unsigned short) \
    X('i', int) \
    X('I', unsigned int) \
    X('l', long) \
    X('L', unsigned long) \
    X('q', long long) \
    X('Q', unsigned long long) \
    X('f', float) \
    X('d', double) \
    X('?', bool)

typedef struct kin_array_options {
    const void *initial; /* the items to begin with, copied; NULL: all zero */
    kin_lock *lock;      /* one that the caller keeps, for several arrays; NULL: one of its own */
    bool no_lock;        /* neither: Python's RawArray and RawValue */
    bool huge_pages;     /* ask the kernel for huge pages, where the array is large enough for one */
    size_t item_size;    /* of an item of code 0, in bytes */
} kin_array_options;

/* kin_array_open makes an array of `length` items of the type `code` and stores it in `*array`;
 * `options` may be NULL.  Its items are aligned to 64 bytes.  Any one process closes it.
 * Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL, a code that is none, length 0, an item_size that does not go with the
 * code, a lock and no_lock), -ENOMEM (also where it is larger than the region), KIN_EFOREIGN and
 * KIN_ECLOSED (the lock), KIN_EHELD, and those of kin_family_open. */
KIN_API int kin_array_open_sized(kin_array **array, char code, size_t length,
                                 const kin_array_options *options, size_t size);
static inline int kin_array_open(kin_array **array, char code, size_t length,
                                 const kin_array_options *options)
{
    return kin_array_open_sized(array, code, length, options, sizeof(kin_array_options));
}

/* kin_cell_open makes a cell; otherwise like kin_array_open. */
static inline int kin_cell_open(kin_cell **cell, char code, const kin_array_options *options)
{
    return kin_array_open_sized(cell, code, 1, options, sizeof(kin_array_options));
}

/* kin_array_close destroys an array, and its lock if that is its own; the memory of a large one
 * goes back to the system.  Close it once, when no process uses it or its items any more.  NULL
 * is allowed.  Blocks and is safe like kin_alloc.  kin_cell_close does the same for a cell.
 * Errors, after which nothing has changed: -EBUSY (its lock is held, or waited for),
 * KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_array_close(kin_array *array);
static inline int kin_cell_close(kin_cell *cell)
{
    return kin_array_close(cell);
}

/* kin_array_data returns the address of the first item, the same in every process, for use
 * without checks until the array is closed; NULL for what is no open array.  kin_cell_data does
 * the same for a cell.  Do not block. */
KIN_API void *kin_array_data(kin_array *array);
static inline void *kin_cell_data(kin_cell *cell)
{
    return kin_array_data(cell);
}

/* kin_array_lock returns the lock that goes with the array, which is not to be closed; NULL
 * where there is none.  kin_cell_lock does the same for a cell.  Do not block. */
KIN_API kin_lock *kin_array_lock(kin_array *array);
static inline kin_lock *kin_cell_lock(kin_cell *cell)
{
    return kin_array_lock(cell);
}

/* kin_array_length returns how many items the array has; kin_array_typecode the code of their
 * type.  Do not block.  Errors: -EINVAL (NULL), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API long kin_array_length(kin_array *array);
KIN_API int kin_array_typecode(kin_array *array);

/* kin_array_read copies `count` items from index `first` on to `items`, kin_array_write copies
 * them from there, as one step for all who do the same: under the lock, waiting for it until
 * `deadline`.  A caller that holds the lock already keeps it; where there is no lock nothing is
 * waited for, and a copy may be torn between two items.  Return 0, or KIN_OWNER_DIED: it was
 * done, and the last one who held the lock died with it.
 * Safe like kin_lock_acquire.
 * Errors, after which nothing was copied: KIN_EINDEX (beyond the end), -ETIMEDOUT, -EINVAL
 * (NULL), KIN_EHELD, KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_array_read(kin_array *array, size_t first, size_t count, void *items, kin_deadline deadline);
KIN_API int kin_array_write(kin_array *array, size_t first, size_t count, const void *items,
                            kin_deadline deadline);

/* The functions behind the macros below.  `code` is the type of what the pointers point to: numbers are
 * converted between it and the type of the items.  `before_code` and `expected_code` are the items' own:
 * what was there is told as it is.
 *   kin_array_get_as    stores the item in `*value`.
 *   kin_array_set_as    stores `*value` in the item.
 *   kin_array_add_as    adds `*value` to the item, as C does with unsigned numbers where both are
 *                       integers (any of them can be added, and it wraps around); stores what was there before
 *                       in `*before`, unless that is NULL.
 *   kin_array_exchange_as          stores `*value` in the item, and in `*before` what was there.
 *   kin_array_compare_exchange_as  stores `*desired` in the item if that equals `*expected` (bit
 *                       for bit), and returns 1; if not, stores the item in `*expected` and returns 0.
 * Each is one atomic step, sequentially consistent, whatever other processes do; none takes the
 * lock or waits.  Safe for threads, and in signal handlers of threads that have used kin.
 * Errors, after which nothing has changed: KIN_EINDEX (beyond the end), -ERANGE (a value that the
 * other type does not have: too large, or with a fraction for an integer), KIN_ETYPE (items of
 * code 0; for the last three also where `*before` or `*expected` is of another type than the
 * items), -EINVAL (NULL, or a code that is none), KIN_ECLOSED, KIN_EFOREIGN. */
KIN_API int kin_array_get_as(kin_array *array, size_t index, char code, void *value);
KIN_API int kin_array_set_as(kin_array *array, size_t index, char code, const void *value);
KIN_API int kin_array_add_as(kin_array *array, size_t index, char code, const void *value, char before_code,
                             void *before);
KIN_API int kin_array_exchange_as(kin_array *array, size_t index, char code, const void *value,
                                  char before_code, void *before);
KIN_API int kin_array_compare_exchange_as(kin_array *array, size_t index, char expected_code, void *expected,
                                          char code, const void *desired);

KIN_END

/* In C the types of the arguments give the code; they are evaluated once.
 *     kin_array_get(array, index, &variable)
 *     kin_array_set(array, index, value)
 *     kin_array_add(array, index, value)
 *     kin_array_fetch_add(array, index, value, &before)
 *     kin_array_exchange(array, index, value, &before)
 *     kin_array_compare_exchange(array, index, &expected, desired)
 * and the same with kin_cell_, without the index. */
#ifndef __cplusplus
#define KIN_TYPECODE_CASE(code, type) \
    type: \
    code,
#define KIN_TYPECODE(value) _Generic((value), KIN_TYPECODES(KIN_TYPECODE_CASE) struct kin_array * : 0)
#define KIN_TYPED(value)    (&(__typeof__(value)){value})

#define kin_array_get(array, index, variable) \
    kin_array_get_as(array, index, KIN_TYPECODE(*(variable)), variable)
#define kin_array_set(array, index, value) \
    kin_array_set_as(array, index, KIN_TYPECODE(value), KIN_TYPED(value))
#define kin_array_add(array, index, value) \
    kin_array_add_as(array, index, KIN_TYPECODE(value), KIN_TYPED(value), 0, NULL)
#define kin_array_fetch_add(array, index, value, before) \
    kin_array_add_as(array, index, KIN_TYPECODE(value), KIN_TYPED(value), KIN_TYPECODE(*(before)), before)
#define kin_array_exchange(array, index, value, before) \
    kin_array_exchange_as(array, index, KIN_TYPECODE(value), KIN_TYPED(value), KIN_TYPECODE(*(before)), \
                          before)
#define kin_array_compare_exchange(array, index, expected, desired) \
    kin_array_compare_exchange_as(array, index, KIN_TYPECODE(*(expected)), expected, KIN_TYPECODE(desired), \
                                  KIN_TYPED(desired))
#else
#define KIN_TYPECODE_FUNCTION(code, type) \
    inline char kin_typecode_of(type) \
    { \
        return code; \
    }
KIN_TYPECODES(KIN_TYPECODE_FUNCTION)
#undef KIN_TYPECODE_FUNCTION

template <class T> int kin_array_get(kin_array *array, size_t index, T *variable)
{
    return kin_array_get_as(array, index, kin_typecode_of(T()), variable);
}
template <class T> int kin_array_set(kin_array *array, size_t index, T value)
{
    return kin_array_set_as(array, index, kin_typecode_of(value), &value);
}
template <class T> int kin_array_add(kin_array *array, size_t index, T value)
{
    return kin_array_add_as(array, index, kin_typecode_of(value), &value, 0, nullptr);
}
template <class T, class V> int kin_array_fetch_add(kin_array *array, size_t index, V value, T *before)
{
    return kin_array_add_as(array, index, kin_typecode_of(value), &value, kin_typecode_of(T()), before);
}
template <class T, class V> int kin_array_exchange(kin_array *array, size_t index, V value, T *before)
{
    return kin_array_exchange_as(array, index, kin_typecode_of(value), &value, kin_typecode_of(T()), before);
}
template <class T, class V>
int kin_array_compare_exchange(kin_array *array, size_t index, T *expected, V desired)
{
    return kin_array_compare_exchange_as(array, index, kin_typecode_of(T()), expected,
                                         kin_typecode_of(desired), &desired);
}
#endif

#define kin_cell_get(cell, variable)            kin_array_get(cell, 0, variable)
#define kin_cell_set(cell, value)               kin_array_set(cell, 0, value)
#define kin_cell_add(cell, value)               kin_array_add(cell, 0, value)
#define kin_cell_fetch_add(cell, value, before) kin_array_fetch_add(cell, 0, value, before)
#define kin_cell_exchange(cell, value, before)  kin_array_exchange(cell, 0, value, before)
#define kin_cell_compare_exchange(cell, expected, desired) \
    kin_array_compare_exchange(cell, 0, expected, desired)

#endif
