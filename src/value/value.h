/* value.h: what a kin_value is made of.
 *
 * A value is 16 bytes.  `kind_` tells what it is.  `small_` tells where:
 *   KIN__COUNTED      as_.object is a counted block: struct kin__text, kin__tuple, …
 *   otherwise         everything is in the 16 bytes: a number; a class that kin knows (as_.fixed);
 *                     an empty tuple; a text or bytes of `small_` bytes from text_ on.
 *
 * Invariants:
 *  - The form is canonical: an int that fits int64_t and a text of up to KIN__SMALL_MOST bytes are
 *    never in a block, and what is not used of the 16 bytes is zero.  So two small values are
 *    equal if and only if their bytes are (floats apart).
 *  - A block is freed by whoever gives up its last reference.  It is freed without recursion, for
 *    lists may be nested deeper than the stack.
 */
#ifndef KIN_VALUE_VALUE_H
#define KIN_VALUE_VALUE_H

#include <stdatomic.h>
#include <string.h>

#include <kin/container.h>
#include <kin/object.h>
#include <kin/value.h>

#define KIN__COUNTED    0xff
#define KIN__SMALL_MOST 13   /* and a NUL */
#define KIN__LEVELS     1000 /* how deep functions that descend go */

/* PRIVATE, at the beginning of every block.
 *   count     references.  Taken with relaxed order; given up with release; whoever finds that
 *             his is the last one acquires, so that he sees what the others did before.
 *   next      while the block waits to be freed.
 *   weight, height, open   belong to the reader of pickles (pickle_read.c) until it returns. */
struct kin__boxed {
    _Atomic uint32_t count;
    uint8_t kind;
    uint8_t open;
    char typecode;      /* of an array; of an object: 'N' made by __new__, 'C' by a call */
    uint8_t size_class; /* block.c's */
    union {
        struct kin__boxed *next;
        struct {
            uint32_t weight, height;
        };
    };
};

/* str, bytes, bytearray, array; an int beyond int64_t (two's complement, lowest byte first).
 * `data` is `own`, or what the caller keeps. */
struct kin__text {
    struct kin__boxed object;
    size_t size;
    const char *data;
    char own[];
};

/* A tuple, and every kind with a fixed number of fields (record.c says which). */
struct kin__tuple {
    struct kin__boxed object;
    size_t size;
    kin_value item[];
};

struct kin__list {
    struct kin__boxed object;
    size_t size, capacity;
    kin_value *item;
};

/* dict, set, frozenset: entries in the order of insertion and, when there are more than a few, an
 * index by hash.  A removed entry's key is of the kind KIN_VALUE_FAILED. */
struct kin__slot {
    uint32_t hash;
    uint32_t entry; /* KIN__SLOT_FREE, KIN__SLOT_REMOVED, or the number of an entry */
};
#define KIN__SLOT_FREE    UINT32_MAX
#define KIN__SLOT_REMOVED (UINT32_MAX - 1)
#define KIN__ENTRIES_MOST (UINT32_MAX / 4)

struct kin__table {
    struct kin__boxed object;
    size_t used;     /* entries, removed ones too */
    size_t live;     /* entries that are there */
    size_t capacity; /* entries there is room for */
    size_t stride;   /* values in an entry: 2 for a dict, 1 for a set */
    kin_value *entry;
    struct kin__slot *slot; /* NULL: no index */
    size_t slots;           /* a power of two */
    size_t taken;           /* slots that are not free */
};

/* A value of two words: bytes that are written one by one and then read as a whole, as compilers do
 * with small structs, stall the processor. */
static inline kin_value kin__value_of_words(uint64_t first, uint64_t second)
{
    const uint64_t word[2] = {first, second};
    kin_value value;
    memcpy(&value, word, sizeof value);
    return value;
}

/* kin_value_int and kin_value_float, where they have to be quick. */
static inline kin_value kin__plain_int(int64_t number)
{
    return kin__value_of_words(KIN_VALUE_INT, (uint64_t)number);
}

static inline kin_value kin__plain_float(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return kin__value_of_words(KIN_VALUE_FLOAT, bits);
}

static inline bool kin__counted(const kin_value *value)
{
    return value->small_ == KIN__COUNTED;
}

static inline kin_value kin__value_of(kin_value_kinds kind, void *object)
{
    return kin__value_of_words((uint64_t)kind | KIN__COUNTED << 8, (uintptr_t)object);
}

/* A value whose kind is `kind`, in a block; NULL otherwise. */
static inline void *kin__block(const kin_value *value, kin_value_kinds kind)
{
    return value && value->kind_ == kind && kin__counted(value) ? value->as_.object : NULL;
}

static inline kin_value kin__value_ref(const kin_value *value)
{
    if (kin__counted(value))
        atomic_fetch_add_explicit(&((struct kin__boxed *)value->as_.object)->count, 1, memory_order_relaxed);
    return *value;
}

void kin__boxed_release(struct kin__boxed *object);

static inline void kin__value_drop(kin_value *value)
{
    if (kin__counted(value)) kin__boxed_release(value->as_.object);
}

/* block.c: a block of `size` bytes with one reference and a weight of 1; NULL without memory. */
void *kin__boxed_make(kin_value_kinds kind, size_t size);
void kin__boxed_free(struct kin__boxed *object);

/* Clears `count` values. */
void kin__values_drop(kin_value *values, size_t count);
/* The code of the first failed value of `count`; 0 when there is none. */
int kin__values_check(const kin_value *values, size_t count);

/* ---- text.c ------------------------------------------------------------------------------- */

/* A text of up to KIN__SMALL_MOST bytes, of 16 bytes that can be read. */
static inline kin_value kin__text_small(kin_value_kinds kind, const void *bytes, size_t size)
{
    enum { FIRST = sizeof((kin_value){0}).text_ }; /* bytes in the first word */
    uint64_t first, second;
    memcpy(&first, bytes, sizeof first);
    memcpy(&second, (const char *)bytes + sizeof first, sizeof second);
    uint64_t begin = first << 16, end = first >> 48 | second << 16;
    if (size < FIRST) begin &= (1ull << (16 + 8 * size)) - 1;
    end = size <= FIRST ? 0 : end & ((1ull << 8 * (size - FIRST)) - 1);
    return kin__value_of_words(begin | (uint64_t)kind | (uint64_t)size << 8, end);
}

/* Text or bytes without a check. */
kin_value kin__text_make(kin_value_kinds kind, const void *bytes, size_t size);
/* One that refers to bytes which somebody keeps. */
kin_value kin__text_refer(kin_value_kinds kind, const void *bytes, size_t size);
/* The bytes of a text, bytes, array or large int. */
static inline const char *kin__text(const kin_value *value, size_t *size)
{
    if (kin__counted(value)) {
        const struct kin__text *text = value->as_.object;
        *size = text->size;
        return text->data;
    }
    *size = value->small_;
    return (const char *)value + offsetof(kin_value, text_);
}
/* Whether the bytes are UTF-8; surrogates are let through. */
bool kin__utf8_valid(const char *bytes, size_t size);
/* How many of these bytes, which are valid, are at most `most`, and no part of a character: for "%.*s". */
int kin__utf8_fit(const char *bytes, size_t size, int most);
/* The character at *bytes of valid UTF-8, which is moved on. */
uint32_t kin__utf8_next(const char **bytes);
/* Writes a character, up to 4 bytes; returns how many. */
size_t kin__utf8_put(char *bytes, uint32_t character);

/* ---- sequence.c --------------------------------------------------------------------------- */

/* A block for `size` items, which are not set; kin_value_failed without memory. */
kin_value kin__tuple_make(kin_value_kinds kind, size_t size);
/* The items of a tuple or list, or NULL if it is none of them (and when it is empty). */
kin_value *kin__items(const kin_value *value, size_t *size);
int kin__list_reserve(struct kin__list *list, size_t capacity);

/* ---- table.c ------------------------------------------------------------------------------ */

kin_value kin__table_make(kin_value_kinds kind);
int kin__table_reserve(struct kin__table *table, size_t entries);
/* Stores key (and item) and uses them up; 1 when the key is new, 0 when it was there: then the
 * old key stays and the item is replaced. */
int kin__table_put(struct kin__table *table, kin_value key, kin_value item);
/* The entry of a key, NULL: not there, or an error in `*code`. */
kin_value *kin__table_find(const struct kin__table *table, const kin_value *key, int *code);

static inline struct kin__table *kin__table(const kin_value *value)
{
    bool is = value && value->kind_ >= KIN_VALUE_DICT && value->kind_ <= KIN_VALUE_FROZENSET;
    return is ? value->as_.object : NULL;
}

/* ---- integer.c: ints beyond int64_t ------------------------------------------------------- */

/* The canonical int of two's complement bytes. */
kin_value kin__integer_make(const void *bytes, size_t size);
/* The int of a text in decimal, with a sign: KIN_EPICKLE for other text, -ERANGE beyond 4300 digits. */
kin_value kin__integer_parse(const char *text, size_t size);
/* -1, 0, 1. Both are ints. */
int kin__integer_compare(const kin_value *a, const kin_value *b);
/* The int that a double with an integral value is. */
kin_value kin__integer_of_double(double number);
/* The nearest double; infinite when there is none. */
double kin__integer_to_double(const kin_value *value);
/* Decimal digits, malloc'ed: NULL without memory or (`*code` -ERANGE) beyond 4300 digits. */
char *kin__integer_digits(const kin_value *value, int *code);

/* ---- array.c ------------------------------------------------------------------------------ */

/* The size of an item, or 0 for what is no typecode. */
size_t kin__array_item_size(char typecode);
/* An array of `size` bytes in this machine's form; `in_place`: they are kept by somebody. */
kin_value kin__array_make(char typecode, const void *bytes, size_t size, bool in_place);

/* ---- compare.c ---------------------------------------------------------------------------- */

int kin__value_equal(const kin_value *a, const kin_value *b, int levels);
int kin__value_hash(const kin_value *value, uint64_t *hash, int levels);

/* What kin_value_equal says of a key that is looked for, at once where nearly all keys end. */
static inline int kin__key_equal(const kin_value *a, const kin_value *b)
{
    if (a->kind_ == KIN_VALUE_STR && b->kind_ == KIN_VALUE_STR) {
        if (!kin__counted(a) || !kin__counted(b)) return memcmp(a, b, sizeof *a) == 0;
        const struct kin__text *left = a->as_.object, *right = b->as_.object;
        return left == right ||
               (left->size == right->size && memcmp(left->data, right->data, left->size) == 0);
    }
    return kin__value_equal(a, b, KIN__LEVELS);
}

/* ---- record.c: kinds with fields ---------------------------------------------------------- */

enum { KIN__ERROR_CLASS, KIN__ERROR_ARGUMENTS, KIN__ERROR_STATE, KIN__ERROR_TRACEBACK, KIN__ERROR_FIELDS };
enum { KIN__OBJECT_CLASS, KIN__OBJECT_ARGUMENTS, KIN__OBJECT_STATE, KIN__OBJECT_FIELDS };
enum { KIN__TOKEN_TYPE, KIN__TOKEN_ADDRESS, KIN__TOKEN_ID, KIN__TOKEN_FIELDS };
enum { KIN__PROXY_CLASS, KIN__PROXY_TOKEN, KIN__PROXY_KEYWORDS, KIN__PROXY_FIELDS };

/* Makes a record of `count` fields, which are used up. */
kin_value kin__fields_make(kin_value_kinds kind, const kin_value *fields, size_t count);
/* The fields of a record of that kind, or NULL. */
static inline kin_value *kin__fields(const kin_value *value, kin_value_kinds kind)
{
    struct kin__tuple *tuple = kin__block(value, kind);
    return tuple ? tuple->item : NULL;
}
/* Whether it may be the state of an error or object. */
static inline bool kin__is_state(const kin_value *value)
{
    return value->kind_ == KIN_VALUE_NONE || value->kind_ == KIN_VALUE_DICT;
}

/* ---- class.c: the classes and functions that kin knows ------------------------------------ */

enum kin__class_use {
    KIN__CLASS_NAME,     /* a name and nothing more */
    KIN__CLASS_CONSTANT, /* … and no class: Ellipsis */
    KIN__CLASS_LIST,
    KIN__CLASS_TUPLE,
    KIN__CLASS_DICT,
    KIN__CLASS_SET,
    KIN__CLASS_FROZENSET,
    KIN__CLASS_BYTES,
    KIN__CLASS_BYTEARRAY,
    KIN__CLASS_SLICE,
    KIN__CLASS_RANGE,
    KIN__CLASS_COMPLEX,
    KIN__CLASS_ERROR,
    KIN__CLASS_OBJECT, /* made by __new__, with a state */
    KIN__CLASS_CALLED, /* made by a call */
    KIN__CLASS_TOKEN,  /* of a manager */
    KIN__CLASS_ARRAY,
    KIN__CLASS_ENCODE,        /* _codecs.encode */
    KIN__CLASS_REBUILD_ARRAY, /* array._array_reconstructor */
    KIN__CLASS_REBUILD_PROXY,
    KIN__CLASS_REBUILD_ERROR, /* an error and the text of its traceback */
    KIN__CLASS_REBUILD_OLD    /* copyreg._reconstructor of protocols 0 and 1 */
};

struct kin__class {
    const char *module, *name;
    enum kin__class_use use;
};

/* The class of that name, also by the names that Python 2 had for it; NULL: unknown. */
const struct kin__class *kin__class_find(const char *module, size_t module_size, const char *name,
                                         size_t name_size);
/* A class, known or not; -EINVAL for what cannot be a name. */
kin_value kin__class_make(const char *module, size_t module_size, const char *name, size_t name_size);
/* Module and name of a class value. */
void kin__class_names(const kin_value *value, const char **module, const char **name);
/* What it is used for; KIN__CLASS_NAME for an unknown one. */
enum kin__class_use kin__class_use(const kin_value *value);

/* The size of what kin_value_repr writes; -EMSGSIZE: it is more than `most` by far, of which not all was looked at. */
long kin__value_repr_within(const kin_value *value, size_t most);

/* A tuple of the items of a tuple or list from the first-th on. */
kin_value kin__tuple_of(const kin_value *sequence, size_t first);

/* Appends to a list that is being made.  A failure takes the place of the list, so that whoever uses it hears
 * of it. */
static inline void kin__collect(kin_value *list, kin_value item)
{
    int rc = kin_value_list_append(list, item);
    if (rc == 0 || list->kind_ == KIN_VALUE_FAILED) return;
    kin_value_clear(list);
    *list = kin_value_failed(rc);
}

#endif
