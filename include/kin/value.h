/* kin/value.h: values as Python programs exchange them: numbers, text, bytes, containers.
 *
 * Where programs of different kinds meet (managers, connections to Python) messages are
 * values instead of bytes.  A kin_value is a small struct that is passed by value; numbers and
 * short strings live in it, everything else in memory of this process that is counted.
 *
 *     kin_value point = kin_value_build("{s:i, s:[dd]}", "id", 7, "at", 0.5, 1.5);
 *     int id;
 *     const kin_value *at;
 *     int rc = kin_value_parse(&point, "{s:i, s:v}", "id", &id, "at", &at);
 *     …
 *     kin_value_clear(&point);
 *
 * Two rules tell who owns what:
 *  - A kin_value given to a function as it is (by value) is used up, also when it fails.
 *  - A `const kin_value *` is only looked at.  What a reader returns belongs to the value it was
 *    read from, and is valid until that value is changed, cleared or moved.
 *
 * A value that could not be made is of the kind KIN_VALUE_FAILED and carries the error; what is
 * made of it carries it on.  So a nested expression is checked once, by kin_value_error_code.
 *
 * Several threads may read a value and hold references to it; a thread that changes a list,
 * dict or set needs it for itself.  Nothing here blocks, makes a system call besides malloc's,
 * or is safe in a signal handler (but kin_value_kind and the number readers are).
 */
#ifndef KIN_VALUE_H
#define KIN_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/error.h>

KIN_BEGIN

typedef enum kin_value_kinds {
    KIN_VALUE_NONE,
    KIN_VALUE_BOOL,
    KIN_VALUE_INT, /* of any size */
    KIN_VALUE_FLOAT,
    KIN_VALUE_COMPLEX,
    KIN_VALUE_STR, /* UTF-8; lone surrogates are let through, as Python has them */
    KIN_VALUE_BYTES,
    KIN_VALUE_BYTEARRAY,
    KIN_VALUE_TUPLE,
    KIN_VALUE_LIST,
    KIN_VALUE_DICT,
    KIN_VALUE_SET,
    KIN_VALUE_FROZENSET,
    KIN_VALUE_SLICE,
    KIN_VALUE_RANGE,
    KIN_VALUE_ARRAY,  /* array.array */
    KIN_VALUE_ERROR,  /* an exception */
    KIN_VALUE_OBJECT, /* an instance of another class, which does nothing here */
    KIN_VALUE_CLASS,
    KIN_VALUE_TOKEN, /* names an object of a manager */
    KIN_VALUE_PROXY,
    KIN_VALUE_FAILED, /* no value, but the error why there is none */
    KIN_VALUE_KINDS
} kin_value_kinds;

/* The fields are private; all zero is None. */
typedef struct kin_value {
    uint8_t kind_;
    uint8_t small_;
    uint8_t text_[6];
    union {
        int64_t integer;
        double number;
        void *object;
        const void *fixed;
    } as_;
} kin_value;

/* ---- owning ------------------------------------------------------------------------------- */

/* kin_value_clear gives up what `value` holds and makes it None.  NULL is allowed. */
KIN_API void kin_value_clear(kin_value *value);

/* kin_value_ref returns a further reference to the same value: a list that is changed through
 * one of them has changed for the other, as in Python.  Both are cleared in the end. */
KIN_API kin_value kin_value_ref(const kin_value *value);

/* kin_value_copy returns a copy in depth, which shares nothing that can be changed.
 * Fails with -ENOMEM, or -ELOOP beyond 1000 levels (a list that contains itself). */
KIN_API kin_value kin_value_copy(const kin_value *value);

/* kin_value_kind returns the kind; kin_value_kind_name what Python calls it, such as "int" or
 * "NoneType" ("failed" for KIN_VALUE_FAILED; the string is static). */
KIN_API kin_value_kinds kin_value_kind(const kin_value *value);
KIN_API const char *kin_value_kind_name(const kin_value *value);

/* kin_value_failed returns a value of the kind KIN_VALUE_FAILED that carries a negative code.
 * kin_value_error_code returns the code of such a value, and 0 for every other. */
KIN_API kin_value kin_value_failed(int code);
KIN_API int kin_value_error_code(const kin_value *value);

/* ---- making ------------------------------------------------------------------------------- */

KIN_API kin_value kin_value_none(void);
KIN_API kin_value kin_value_bool(bool truth);
KIN_API kin_value kin_value_int(int64_t number);
KIN_API kin_value kin_value_uint(uint64_t number);
KIN_API kin_value kin_value_float(double number);
KIN_API kin_value kin_value_complex(double real, double imaginary);

/* kin_value_int_from_bytes makes an int of any size from two's complement, the lowest byte
 * first. */
KIN_API kin_value kin_value_int_from_bytes(const void *bytes, size_t size);

/* kin_value_str makes a string from text that ends with a NUL, kin_value_str_sized from `size`
 * bytes.  Both copy.  Fail with -EILSEQ (not UTF-8), -EINVAL (NULL), -ENOMEM. */
KIN_API kin_value kin_value_str(const char *text);
KIN_API kin_value kin_value_str_sized(const char *text, size_t size);

/* kin_value_bytes and kin_value_bytearray copy `size` bytes.  Fail with -EINVAL, -ENOMEM. */
KIN_API kin_value kin_value_bytes(const void *bytes, size_t size);
KIN_API kin_value kin_value_bytearray(const void *bytes, size_t size);

/* kin_value_bytes_in_place refers to `size` bytes that stay the caller's, and have to stay as
 * they are until the last reference to the value is cleared. */
KIN_API kin_value kin_value_bytes_in_place(const void *bytes, size_t size);

/* kin_value_slice makes slice(start, stop, step), of None or ints. */
KIN_API kin_value kin_value_slice(kin_value start, kin_value stop, kin_value step);

/* kin_value_range makes range(start, stop, step).  Fails with KIN_EKIND (no ints), -EINVAL
 * (step is 0). */
KIN_API kin_value kin_value_range(kin_value start, kin_value stop, kin_value step);

/* kin_value_array makes an array.array of `count` items, which it copies.  `typecode` is one of
 * Python's: b B h H i I l L q Q f d u (wchar_t).  Fails with -EINVAL, -ENOMEM. */
KIN_API kin_value kin_value_array(char typecode, const void *items, size_t count);

/* ---- reading ------------------------------------------------------------------------------ */

/* kin_value_get_bool stores a bool; kin_value_is_true returns 1 or 0 as Python's bool() does.
 * Errors: KIN_EKIND, -EINVAL. */
KIN_API int kin_value_get_bool(const kin_value *value, bool *truth);
KIN_API int kin_value_is_true(const kin_value *value);

/* kin_value_get_int stores an int (or bool).  Errors: KIN_EKIND, -ERANGE (does not fit),
 * -EINVAL (NULL). */
KIN_API int kin_value_get_int(const kin_value *value, int64_t *number);
KIN_API int kin_value_get_uint(const kin_value *value, uint64_t *number);

/* kin_value_get_float stores a float (or int or bool, as the nearest double).
 * Errors: KIN_EKIND, -ERANGE (an int beyond double), -EINVAL. */
KIN_API int kin_value_get_float(const kin_value *value, double *number);
KIN_API int kin_value_get_complex(const kin_value *value, double *real, double *imaginary);

/* kin_value_int_bytes returns the number of bytes of an int in two's complement (0 for 0), and
 * copies them, the lowest first, to `bytes` if `capacity` is enough; fills the rest by sign.
 * Errors: KIN_EKIND, -EINVAL. */
KIN_API long kin_value_int_bytes(const kin_value *value, void *bytes, size_t capacity);

/* kin_value_get_str returns the text of a str, which ends with a NUL, or NULL if it is none.
 * `size` may be NULL if NULs within do not matter. */
KIN_API const char *kin_value_get_str(const kin_value *value, size_t *size);

/* kin_value_get_bytes returns the bytes of a bytes, bytearray or array, or NULL. */
KIN_API const void *kin_value_get_bytes(const kin_value *value, size_t *size);

/* kin_value_array_typecode returns the typecode of an array, or KIN_EKIND; kin_value_array_get
 * makes a value of one item, or fails with KIN_EKIND, -ERANGE. */
KIN_API int kin_value_array_typecode(const kin_value *value);
KIN_API kin_value kin_value_array_get(const kin_value *value, long index);

/* kin_value_array_set overwrites one item.  Negative indices count from the end.
 * Errors: KIN_EKIND, -ERANGE (no such index, or the number does not fit the type). */
KIN_API int kin_value_array_set(kin_value *array, long index, const kin_value *item);

/* kin_value_len returns what Python's len() does: items of a container or array, bytes, or
 * characters of a str.  Errors: KIN_EKIND, -EINVAL. */
KIN_API long kin_value_len(const kin_value *value);

/* ---- comparing, hashing, printing --------------------------------------------------------- */

/* kin_value_equal returns 1 if Python's == does (1, 1.0 and True are equal), otherwise 0.
 * kin_value_less is Python's < for numbers, str, bytes, tuples and lists.
 * Errors: -ELOOP (nested deeper than 1000), less also KIN_EKIND (they have no order). */
KIN_API int kin_value_equal(const kin_value *a, const kin_value *b);
KIN_API int kin_value_less(const kin_value *a, const kin_value *b);

/* kin_value_hash stores a hash: equal values have equal ones within a process and its forks,
 * and others cannot choose values whose hashes collide.  Errors: KIN_EKIND (unhashable, as in
 * Python: what can be changed), -ELOOP. */
KIN_API int kin_value_hash(const kin_value *value, uint64_t *hash);

/* kin_value_repr writes what Python's repr() prints, and kin_value_text what str() does, to
 * `buffer` (at most `capacity` bytes with the NUL, cut between characters) and returns the
 * length of the whole text without the NUL.
 * Errors: -EINVAL, -ENOMEM, -ERANGE (an int of more than 4300 digits). */
KIN_API long kin_value_repr(const kin_value *value, char *buffer, size_t capacity);
KIN_API long kin_value_text(const kin_value *value, char *buffer, size_t capacity);

/* ---- by format ---------------------------------------------------------------------------- */

/* kin_value_build makes a value from a format and its arguments:
 *
 *     i I l L k K     int, unsigned, long, int64_t, unsigned long, uint64_t
 *     d b N           double, bool (as int), None (no argument)
 *     s  s#           text; text and size_t (NULL, with size 0, makes None)
 *     y#              bytes: const void * and size_t; likewise
 *     v               a kin_value, which is used up
 *     (…) […] {k:v}   tuple, list, dict of items; a tuple of one is "(i)"
 *
 * Spaces and commas mean nothing.  Fails with -EINVAL (a fault in the format; NULL of a size), and like what
 * makes the parts; the values given are used up then too. */
KIN_API kin_value kin_value_build(const char *format, ...);

/* kin_value_parse reads a value by a format, into pointers:
 *
 *     i I l L k K d   int *, unsigned *, long *, int64_t *, unsigned long *, uint64_t *, double *
 *     b               bool *, set as Python's bool() says
 *     s  s#           const char **; const char ** and size_t * (s alone: no NUL within)
 *     z  z#           the same, and NULL for None
 *     y#              const void ** and size_t *
 *     v               const kin_value **
 *     N               nothing: it must be None
 *     (…) […]         a tuple, a list of exactly these; after | they may be missing, and then
 *                     what their pointers point to stays as it was; a final * lets more follow
 *     {s:i, …}        a dict: each key is a `const char *` argument; after | it may be missing;
 *                     other keys do not matter
 *
 * What it stores is borrowed from `value`.  After an error some of it may have been stored.
 * Errors: KIN_EKIND (another kind, length, or a missing key), -ERANGE (does not fit),
 * -EINVAL (a fault in the format, NULL, also where something was to be stored). */
KIN_API int kin_value_parse(const kin_value *value, const char *format, ...);

KIN_END
#endif
