/* compare.c: equality, order and hashes, as Python has them.
 *
 * Invariant: values that are equal have the same hash, across kinds too (1, 1.0, True).
 * Hashes are keyed by a secret of the process (kin__os_secret), so that nobody outside can send
 * keys that all fall into one place: long texts by SipHash-1-3 (Aumasson and Bernstein), what fits
 * 16 bytes by one multiplication of 64 by 64 bits, folded.
 */
#include <errno.h>
#include <math.h>

#include "os/os.h"
#include "value/value.h"

static bool is_number(const kin_value *value)
{
    return value->kind_ >= KIN_VALUE_BOOL && value->kind_ <= KIN_VALUE_COMPLEX;
}

static bool is_integer(const kin_value *value)
{
    return value->kind_ == KIN_VALUE_BOOL || value->kind_ == KIN_VALUE_INT;
}

/* The largest integral number that is not larger, without libm. */
static double whole_below(double number)
{
    if (!(number > -0x1p52 && number < 0x1p52)) return number;
    double whole = (double)(int64_t)number;
    return whole > number ? whole - 1 : whole;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* What holds between two numbers that are not complex. */
enum order { LESS = -1, SAME, GREATER, UNORDERED };

static enum order order_integer_double(const kin_value *integer, double number)
{
    if (isnan(number)) return UNORDERED;
    if (isinf(number)) return number > 0 ? LESS : GREATER;
    double whole = whole_below(number);
    kin_value other = kin__integer_of_double(whole);
    enum order order = kin__integer_compare(integer, &other);
    kin_value_clear(&other);
    return order == SAME && whole != number ? LESS : order;
}

static enum order order_numbers(const kin_value *a, const kin_value *b)
{
    if (is_integer(a) && is_integer(b)) return kin__integer_compare(a, b);
    if (is_integer(a)) return order_integer_double(a, b->as_.number);
    if (is_integer(b)) {
        enum order order = order_integer_double(b, a->as_.number);
        return order == UNORDERED ? order : -order;
    }
    double x = a->as_.number, y = b->as_.number;
    return x < y ? LESS : x > y ? GREATER : x == y ? SAME : UNORDERED;
}

static bool equal_numbers(const kin_value *a, const kin_value *b)
{
    const kin_value *x = kin__fields(a, KIN_VALUE_COMPLEX), *y = kin__fields(b, KIN_VALUE_COMPLEX);
    if (x == NULL && y == NULL) return order_numbers(a, b) == SAME;
    double imaginary_x = x ? x[1].as_.number : 0, imaginary_y = y ? y[1].as_.number : 0;
    return imaginary_x == imaginary_y && order_numbers(x ? x : a, y ? y : b) == SAME;
}

/* ---- equality ----------------------------------------------------------------------------- */

static int equal_items(const kin_value *a, const kin_value *b, size_t count, int levels)
{
    for (size_t i = 0; i < count; i++) {
        int same = kin__value_equal(&a[i], &b[i], levels);
        if (same != 1) return same;
    }
    return 1;
}

static int equal_tables(const kin_value *a, const kin_value *b, int levels)
{
    const struct kin__table *other = kin__table(b);
    const kin_value *key, *item;
    if (kin__table(a)->live != other->live) return 0;
    for (size_t at = 0; kin_value_next(a, &at, &key, &item);) {
        int rc;
        const kin_value *found = kin__table_find(other, key, &rc);
        if (found == NULL) return rc;
        int same = other->stride == 2 ? kin__value_equal(item, found + 1, levels) : 1;
        if (same != 1) return same;
    }
    return 1;
}

static int equal_arrays(const kin_value *a, const kin_value *b, int levels)
{
    long count = kin_value_len(a);
    if (count != kin_value_len(b)) return 0;
    for (long i = 0; i < count; i++) {
        kin_value x = kin_value_array_get(a, i), y = kin_value_array_get(b, i);
        int same = kin__value_equal(&x, &y, levels);
        kin_value_clear(&x);
        kin_value_clear(&y);
        if (same != 1) return same;
    }
    return 1;
}

static bool equal_bytes(const kin_value *a, const kin_value *b)
{
    size_t size_a, size_b;
    const char *bytes_a = kin__text(a, &size_a), *bytes_b = kin__text(b, &size_b);
    return size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
}

static int equal_classes(const kin_value *a, const kin_value *b)
{
    const char *module_a, *module_b, *name_a, *name_b;
    kin__class_names(a, &module_a, &name_a);
    kin__class_names(b, &module_b, &name_b);
    return strcmp(module_a, module_b) == 0 && strcmp(name_a, name_b) == 0;
}

/* Of kinds that are never equal to another kind. */
static int equal_of_one_kind(const kin_value *a, const kin_value *b, int levels)
{
    switch (a->kind_) {
    case KIN_VALUE_NONE: return 1;
    case KIN_VALUE_STR: return equal_bytes(a, b);
    case KIN_VALUE_TUPLE:
    case KIN_VALUE_LIST: {
        size_t size_a, size_b;
        const kin_value *x = kin__items(a, &size_a), *y = kin__items(b, &size_b);
        return size_a == size_b ? equal_items(x, y, size_a, levels) : 0;
    }
    case KIN_VALUE_DICT: return equal_tables(a, b, levels);
    case KIN_VALUE_ARRAY: return equal_arrays(a, b, levels);
    case KIN_VALUE_CLASS: return equal_classes(a, b);
    default: {
        const struct kin__tuple *x = a->as_.object, *y = b->as_.object;
        return equal_items(x->item, y->item, x->size, levels);
    }
    }
}

int kin__value_equal(const kin_value *a, const kin_value *b, int levels)
{
    if (levels == 0) return -ELOOP;
    if (is_number(a) && is_number(b)) return equal_numbers(a, b);
    bool bytes_a = a->kind_ == KIN_VALUE_BYTES || a->kind_ == KIN_VALUE_BYTEARRAY;
    bool bytes_b = b->kind_ == KIN_VALUE_BYTES || b->kind_ == KIN_VALUE_BYTEARRAY;
    if (bytes_a && bytes_b) return equal_bytes(a, b);
    bool set_a = a->kind_ == KIN_VALUE_SET || a->kind_ == KIN_VALUE_FROZENSET;
    bool set_b = b->kind_ == KIN_VALUE_SET || b->kind_ == KIN_VALUE_FROZENSET;
    if (kin__counted(a) && kin__counted(b) && a->as_.object == b->as_.object) return 1;
    if (set_a && set_b) return equal_tables(a, b, levels - 1);
    if (a->kind_ != b->kind_ || a->kind_ == KIN_VALUE_FAILED) return 0;
    return equal_of_one_kind(a, b, levels - 1);
}

int kin_value_equal(const kin_value *a, const kin_value *b)
{
    return a && b ? kin__value_equal(a, b, KIN__LEVELS) : -EINVAL;
}

/* ---- order -------------------------------------------------------------------------------- */

static int less(const kin_value *a, const kin_value *b, int levels);

static int less_items(const kin_value *a, const kin_value *b, int levels)
{
    size_t size_a, size_b;
    const kin_value *x = kin__items(a, &size_a), *y = kin__items(b, &size_b);
    for (size_t i = 0; i < size_a && i < size_b; i++) {
        int same = kin__value_equal(&x[i], &y[i], levels);
        if (same < 0) return same;
        if (same == 0) return less(&x[i], &y[i], levels);
    }
    return size_a < size_b;
}

static int less(const kin_value *a, const kin_value *b, int levels)
{
    if (levels == 0) return -ELOOP;
    bool complex = a->kind_ == KIN_VALUE_COMPLEX || b->kind_ == KIN_VALUE_COMPLEX;
    if (is_number(a) && is_number(b) && !complex) return order_numbers(a, b) == LESS;
    bool bytes_a = a->kind_ == KIN_VALUE_BYTES || a->kind_ == KIN_VALUE_BYTEARRAY;
    bool bytes_b = b->kind_ == KIN_VALUE_BYTES || b->kind_ == KIN_VALUE_BYTEARRAY;
    if ((bytes_a && bytes_b) || (a->kind_ == KIN_VALUE_STR && b->kind_ == KIN_VALUE_STR)) {
        /* The order of UTF-8 is that of the characters. */
        size_t size_a, size_b;
        const char *x = kin__text(a, &size_a), *y = kin__text(b, &size_b);
        int order = memcmp(x, y, size_a < size_b ? size_a : size_b);
        return order < 0 || (order == 0 && size_a < size_b);
    }
    if (a->kind_ == b->kind_ && (a->kind_ == KIN_VALUE_TUPLE || a->kind_ == KIN_VALUE_LIST))
        return less_items(a, b, levels - 1);
    return KIN_EKIND;
}

int kin_value_less(const kin_value *a, const kin_value *b)
{
    return a && b ? less(a, b, KIN__LEVELS) : -EINVAL;
}

/* ---- hashes ------------------------------------------------------------------------------- */

/* The process's secret.  Written once, by whoever comes first, or twice with the same. */
static const uint64_t *secret(void)
{
    static _Atomic uint64_t key[2];
    static _Atomic int known;
    static _Thread_local uint64_t own[2];
    if (own[1] != 0) return own;
    if (!atomic_load_explicit(&known, memory_order_acquire)) {
        uint64_t fresh[2];
        kin__os_secret(fresh);
        atomic_store_explicit(&key[0], fresh[0], memory_order_relaxed);
        atomic_store_explicit(&key[1], fresh[1] | 1, memory_order_relaxed);
        atomic_store_explicit(&known, 1, memory_order_release);
    }
    own[0] = atomic_load_explicit(&key[0], memory_order_relaxed);
    own[1] = atomic_load_explicit(&key[1], memory_order_relaxed);
    return own;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_words(uint64_t a, uint64_t b)
{
    const uint64_t *key = secret();
    return fold(fold(a ^ key[0], b ^ key[1]) ^ key[1], 0x9e3779b97f4a7c15u);
}

static uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_bytes(const char *bytes, size_t size)
{
    const uint64_t *key = secret();
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t word, last = (uint64_t)size << 56;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        memcpy(&word, bytes + at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (int i = 0; at < size; at++, i++) last |= (uint64_t)(unsigned char)bytes[at] << 8 * i;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t hash_integer(const kin_value *value)
{
    if (!kin__counted(value)) return hash_words((uint64_t)value->as_.integer, KIN_VALUE_INT);
    size_t size;
    const char *bytes = kin__text(value, &size);
    return hash_bytes(bytes, size);
}

static uint64_t hash_double(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (isnan(number) || isinf(number) || whole_below(number) != number)
        return hash_words(bits, KIN_VALUE_FLOAT);
    kin_value integer = kin__integer_of_double(number);
    uint64_t hash = hash_integer(&integer);
    kin_value_clear(&integer);
    return hash;
}

static int hash_items(const kin_value *value, uint64_t *hash, int levels)
{
    size_t size;
    const kin_value *item = kin__items(value, &size);
    uint64_t sum = hash_words(size, KIN_VALUE_TUPLE);
    for (size_t i = 0; i < size; i++) {
        uint64_t one;
        int rc = kin__value_hash(&item[i], &one, levels);
        if (rc < 0) return rc;
        sum = hash_words(sum, one);
    }
    *hash = sum;
    return 0;
}

static int hash_frozenset(const kin_value *value, uint64_t *hash, int levels)
{
    const kin_value *key;
    uint64_t sum = kin__table(value)->live;
    for (size_t at = 0; kin_value_next(value, &at, &key, NULL);) {
        uint64_t one;
        int rc = kin__value_hash(key, &one, levels);
        if (rc < 0) return rc;
        sum += hash_words(one, KIN_VALUE_FROZENSET); /* in whatever order they come */
    }
    *hash = hash_words(sum, KIN_VALUE_FROZENSET);
    return 0;
}

static uint64_t hash_class(const kin_value *value)
{
    const char *module, *name;
    kin__class_names(value, &module, &name);
    return hash_words(hash_bytes(module, strlen(module)), hash_bytes(name, strlen(name)));
}

int kin__value_hash(const kin_value *value, uint64_t *hash, int levels)
{
    if (levels == 0) return -ELOOP;
    switch (value->kind_) {
    case KIN_VALUE_NONE: *hash = hash_words(0, KIN_VALUE_NONE); return 0;
    case KIN_VALUE_BOOL:
    case KIN_VALUE_INT: *hash = hash_integer(value); return 0;
    case KIN_VALUE_FLOAT: *hash = hash_double(value->as_.number); return 0;
    case KIN_VALUE_COMPLEX: {
        const kin_value *part = kin__fields(value, KIN_VALUE_COMPLEX);
        *hash = hash_double(part[0].as_.number);
        if (part[1].as_.number != 0) *hash = hash_words(*hash, hash_double(part[1].as_.number));
        return 0;
    }
    case KIN_VALUE_STR:
    case KIN_VALUE_BYTES: {
        if (!kin__counted(value)) {
            uint64_t words[2];
            memcpy(words, value, sizeof words);
            *hash = hash_words(words[0], words[1]);
            return 0;
        }
        const struct kin__text *text = value->as_.object;
        *hash = hash_bytes(text->data, text->size);
        return 0;
    }
    case KIN_VALUE_TUPLE: return hash_items(value, hash, levels - 1);
    case KIN_VALUE_FROZENSET: return hash_frozenset(value, hash, levels - 1);
    case KIN_VALUE_CLASS: *hash = hash_class(value); return 0;
    default: return KIN_EKIND;
    }
}

int kin_value_hash(const kin_value *value, uint64_t *hash)
{
    if (value == NULL || hash == NULL) return -EINVAL;
    if (value->kind_ == KIN_VALUE_FAILED) return kin_value_error_code(value);
    return kin__value_hash(value, hash, KIN__LEVELS);
}
