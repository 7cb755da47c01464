/* pickle_write.c: values as pickles of protocol 3.
 *
 * Python 3 reads it in every version, and protocol 3 needs no frames and no memo: only what has more than one
 * reference and can be large (a list, dict or set, a tuple of such, a long text) is put into the memo, so that it
 * is written once: a pickle is no larger than the memory that its value takes.
 * What needs a class is written as Python itself does: a global, its arguments, REDUCE.
 *
 * Invariant: when a value begins, and after it, there is room for HEAD bytes, so that opcodes and
 * numbers are written without a further check.
 */
#include <errno.h>
#include <stdlib.h>

#include <kin/pickle.h>

#include "os/os.h"
#include "value/pickle.h"
#include "value/value.h"

#define HEAD 32

/* The memo: blocks that were written, by address; open addressing. */
struct memo {
    const void **object;
    uint32_t *number;
    size_t slots; /* a power of two, or 0 */
    uint32_t count;
};

struct writer {
    kin_buffer *out;
    size_t most; /* bytes in `out`; looked at when it grows */
    struct memo memo;
    int levels;
};

static int write_value(struct writer *w, const kin_value *value);

/* ---- bytes -------------------------------------------------------------------------------- */

static inline void put_byte(struct writer *w, unsigned char byte)
{
    w->out->data[w->out->size++] = byte;
}

static inline void put_number(struct writer *w, uint64_t number, int bytes)
{
    /* Little-endian, as every machine of kin's is; there is room for all eight. */
    memcpy(w->out->data + w->out->size, &number, sizeof number);
    w->out->size += (size_t)bytes;
}

static inline int reserve(struct writer *w, size_t more)
{
    if (__builtin_expect(more <= w->out->capacity - w->out->size, 1)) return 0;
    return w->out->size + more <= w->most ? kin_buffer_reserve(w->out, more) : -EMSGSIZE;
}

/* Bytes, with room for one more value behind them. */
static int put_bytes(struct writer *w, const void *bytes, size_t size)
{
    int rc = reserve(w, size + HEAD);
    if (rc < 0) return rc;
    if (size > 0) memcpy(w->out->data + w->out->size, bytes, size);
    w->out->size += size;
    return 0;
}

static int put_string(struct writer *w, const char *text)
{
    return put_bytes(w, text, strlen(text));
}

/* ---- the memo ----------------------------------------------------------------------------- */

static size_t memo_slot(const struct memo *memo, const void *object)
{
    size_t at = ((uintptr_t)object >> 4) * 0x9e3779b97f4a7c15u >> 20 & (memo->slots - 1);
    while (memo->object[at] && memo->object[at] != object) at = (at + 1) & (memo->slots - 1);
    return at;
}

static void memo_free(struct memo *memo)
{
    free(memo->object);
    free(memo->number);
}

static int memo_grow(struct memo *memo)
{
    struct memo grown = {.slots = memo->slots ? memo->slots * 2 : 16, .count = memo->count};
    grown.object = kin__os_calloc(grown.slots, sizeof *grown.object);
    grown.number = kin__os_malloc(grown.slots * sizeof *grown.number);
    if (grown.object == NULL || grown.number == NULL) {
        memo_free(&grown);
        return -ENOMEM;
    }
    for (size_t i = 0; i < memo->slots; i++) {
        if (memo->object[i] == NULL) continue;
        size_t at = memo_slot(&grown, memo->object[i]);
        grown.object[at] = memo->object[i];
        grown.number[at] = memo->number[i];
    }
    memo_free(memo);
    *memo = grown;
    return 0;
}

/* Writes a reference to what was written before: 1; otherwise 0. */
static int put_known(struct writer *w, const struct kin__boxed *object)
{
    const struct memo *memo = &w->memo;
    if (memo->slots == 0) return 0;
    size_t at = memo_slot(memo, object);
    if (memo->object[at] == NULL) return 0;
    put_byte(w, OP_LONG_BINGET);
    put_number(w, memo->number[at], 4);
    return 1;
}

/* Notes what was just written, if anybody else refers to it. */
static int put_memo(struct writer *w, const struct kin__boxed *object)
{
    struct memo *memo = &w->memo;
    if (atomic_load_explicit(&object->count, memory_order_relaxed) == 1) return 0;
    if (memo->count * 2 >= memo->slots) {
        int rc = memo_grow(memo);
        if (rc < 0) return rc;
    }
    size_t at = memo_slot(memo, object);
    memo->object[at] = object;
    memo->number[at] = memo->count;
    put_byte(w, OP_LONG_BINPUT);
    put_number(w, memo->count++, 4);
    return 0;
}

/* ---- numbers and texts -------------------------------------------------------------------- */

static inline void put_small_integer(struct writer *w, int64_t number)
{
    if (number >= 0 && number < 0x100) {
        put_byte(w, OP_BININT1);
        put_number(w, (uint64_t)number, 1);
    } else if (number >= 0 && number < 0x10000) {
        put_byte(w, OP_BININT2);
        put_number(w, (uint64_t)number, 2);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        put_byte(w, OP_BININT);
        put_number(w, (uint64_t)number, 4);
    } else {
        int bytes = 8;
        while (number >> (8 * bytes - 9) == (number < 0 ? -1 : 0)) bytes--;
        put_byte(w, OP_LONG1);
        put_byte(w, (unsigned char)bytes);
        put_number(w, (uint64_t)number, bytes);
    }
}

static int put_large_integer(struct writer *w, const kin_value *value)
{
    size_t size;
    const char *bytes = kin__text(value, &size);
    if (size > INT32_MAX) return -EMSGSIZE;
    put_byte(w, size < 0x100 ? OP_LONG1 : OP_LONG4);
    put_number(w, size, size < 0x100 ? 1 : 4);
    return put_bytes(w, bytes, size);
}

static inline void put_float(struct writer *w, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_byte(w, OP_BINFLOAT);
    put_number(w, __builtin_bswap64(bits), 8);
}

static int put_str(struct writer *w, const char *text, size_t size)
{
    put_byte(w, size > UINT32_MAX ? OP_BINUNICODE8 : OP_BINUNICODE);
    put_number(w, size, size > UINT32_MAX ? 8 : 4);
    return put_bytes(w, text, size);
}

/* Texts from so many bytes on are written once. */
#define LONG_TEXT 256

/* The block of a long text, NULL: it is none. */
static const struct kin__boxed *long_text(const kin_value *value)
{
    if (!kin__counted(value)) return NULL;
    const struct kin__text *text = value->as_.object;
    return text->size >= LONG_TEXT ? &text->object : NULL;
}

static int put_plain_bytes(struct writer *w, const char *bytes, size_t size)
{
    put_byte(w, size < 0x100 ? OP_SHORT_BINBYTES : size > UINT32_MAX ? OP_BINBYTES8 : OP_BINBYTES);
    put_number(w, size, size < 0x100 ? 1 : size > UINT32_MAX ? 8 : 4);
    return put_bytes(w, bytes, size);
}

/* ---- containers --------------------------------------------------------------------------- */

/* CPython writes so many items at a time, to bound the reader's stack. */
#define BATCH 1000

static int write_items(struct writer *w, const kin_value *item, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = 0;
        if (item[i].kind_ == KIN_VALUE_INT && !kin__counted(&item[i])) {
            put_small_integer(w, item[i].as_.integer);
            rc = reserve(w, HEAD);
        } else
            rc = write_value(w, &item[i]);
        if (rc < 0) return rc;
    }
    return 0;
}

static int write_list(struct writer *w, const struct kin__list *list)
{
    if (put_known(w, &list->object)) return 0;
    put_byte(w, OP_EMPTY_LIST);
    int rc = put_memo(w, &list->object);
    for (size_t at = 0; rc == 0 && at < list->size; at += BATCH) {
        size_t count = list->size - at < BATCH ? list->size - at : BATCH;
        put_byte(w, OP_MARK);
        rc = write_items(w, list->item + at, count);
        if (rc == 0) put_byte(w, OP_APPENDS);
        if (rc == 0) rc = reserve(w, HEAD);
    }
    return rc;
}

/* Tuples from so many items on are written once. */
#define LONG_TUPLE 16

/* Can it be larger than a reference to it?  The smaller ones, of numbers and short texts, are written faster. */
static bool is_large(const kin_value *item, size_t size)
{
    if (size >= LONG_TUPLE) return true;
    for (size_t i = 0; i < size; i++) {
        if (item[i].kind_ == KIN_VALUE_STR || item[i].kind_ == KIN_VALUE_BYTES ? long_text(&item[i]) != NULL
                                                                               : kin__counted(&item[i]))
            return true;
    }
    return false;
}

static int put_tuple(struct writer *w, const kin_value *item, size_t size)
{
    static const unsigned char short_ones[] = {OP_EMPTY_TUPLE, OP_TUPLE1, OP_TUPLE2, OP_TUPLE3};
    if (size > 3) put_byte(w, OP_MARK);
    int rc = write_items(w, item, size);
    if (rc == 0) put_byte(w, size > 3 ? OP_TUPLE : short_ones[size]);
    return rc;
}

static int write_tuple(struct writer *w, const kin_value *value)
{
    size_t size;
    const kin_value *item = kin__items(value, &size);
    const struct kin__boxed *object = kin__counted(value) ? value->as_.object : NULL;
    if (object == NULL || atomic_load_explicit(&object->count, memory_order_relaxed) == 1 ||
        !is_large(item, size))
        return put_tuple(w, item, size);
    if (put_known(w, object)) return 0;
    int rc = put_tuple(w, item, size);
    if (rc == 0) rc = reserve(w, HEAD);
    return rc == 0 ? put_memo(w, object) : rc;
}

static int write_text(struct writer *w, const kin_value *value)
{
    size_t size;
    const char *text = kin__text(value, &size);
    const struct kin__boxed *object = long_text(value);
    if (object != NULL && put_known(w, object)) return 0;
    int rc = value->kind_ == KIN_VALUE_STR ? put_str(w, text, size) : put_plain_bytes(w, text, size);
    return rc == 0 && object != NULL ? put_memo(w, object) : rc;
}

static int write_dict(struct writer *w, const kin_value *value)
{
    const kin_value *key, *item;
    const struct kin__table *table = kin__table(value);
    size_t batch = 0;
    if (put_known(w, &table->object)) return 0;
    put_byte(w, OP_EMPTY_DICT);
    int rc = put_memo(w, &table->object);
    for (size_t at = 0; rc == 0 && kin_value_next(value, &at, &key, &item);) {
        if (batch == 0) put_byte(w, OP_MARK);
        rc = write_value(w, key);
        if (rc == 0) rc = write_value(w, item);
        if (rc == 0 && ++batch == BATCH) {
            put_byte(w, OP_SETITEMS);
            batch = 0;
            rc = reserve(w, HEAD);
        }
    }
    if (rc == 0 && batch > 0) put_byte(w, OP_SETITEMS);
    return rc;
}

/* ---- what needs a class ------------------------------------------------------------------- */

static int put_global(struct writer *w, const char *module, const char *name)
{
    put_byte(w, OP_GLOBAL);
    int rc = put_string(w, module);
    put_byte(w, '\n');
    if (rc == 0) rc = put_string(w, name);
    put_byte(w, '\n');
    return rc;
}

static int put_class(struct writer *w, const kin_value *value)
{
    const char *module, *name;
    kin__class_names(value, &module, &name);
    return put_global(w, module, name);
}

static int write_set(struct writer *w, const kin_value *value)
{
    const kin_value *key;
    const struct kin__table *table = kin__table(value);
    if (put_known(w, &table->object)) return 0;
    int rc = put_global(w, "builtins", value->kind_ == KIN_VALUE_SET ? "set" : "frozenset");
    if (rc < 0) return rc;
    put_byte(w, OP_EMPTY_LIST);
    put_byte(w, OP_MARK);
    for (size_t at = 0; rc == 0 && kin_value_next(value, &at, &key, NULL);) rc = write_value(w, key);
    if (rc < 0) return rc;
    put_byte(w, OP_APPENDS);
    put_byte(w, OP_TUPLE1);
    put_byte(w, OP_REDUCE);
    rc = reserve(w, HEAD);
    return rc == 0 ? put_memo(w, &table->object) : rc;
}

/* A call of a builtin with `count` arguments. */
static int write_call(struct writer *w, const char *module, const char *name, const kin_value *item,
                      size_t count)
{
    int rc = put_global(w, module, name);
    if (rc == 0) rc = put_tuple(w, item, count);
    if (rc == 0) put_byte(w, OP_REDUCE);
    return rc;
}

static int write_bytearray(struct writer *w, const kin_value *value)
{
    size_t size;
    const char *bytes = kin__text(value, &size);
    int rc = put_global(w, "builtins", "bytearray");
    if (rc == 0) rc = put_plain_bytes(w, bytes, size);
    put_byte(w, OP_TUPLE1);
    put_byte(w, OP_REDUCE);
    return rc;
}

static int write_array(struct writer *w, const struct kin__text *array)
{
    int rc = put_global(w, "array", "array");
    if (rc == 0) rc = put_str(w, &array->object.typecode, 1);
    if (rc == 0) rc = put_plain_bytes(w, array->data, array->size);
    put_byte(w, OP_TUPLE2);
    put_byte(w, OP_REDUCE);
    return rc;
}

static int write_state(struct writer *w, const kin_value *state)
{
    if (state->kind_ == KIN_VALUE_NONE) return 0;
    int rc = reserve(w, HEAD);
    if (rc == 0) rc = write_value(w, state);
    if (rc == 0) put_byte(w, OP_BUILD);
    return rc;
}

static int write_error(struct writer *w, const kin_value *field)
{
    const kin_value *traceback = &field[KIN__ERROR_TRACEBACK];
    bool remote = traceback->kind_ == KIN_VALUE_STR;
    int rc = remote ? put_global(w, "multiprocessing.pool", "rebuild_exc") : 0;
    if (rc == 0) rc = put_class(w, &field[KIN__ERROR_CLASS]);
    if (rc == 0) rc = write_value(w, &field[KIN__ERROR_ARGUMENTS]);
    if (rc < 0) return rc;
    put_byte(w, OP_REDUCE);
    rc = write_state(w, &field[KIN__ERROR_STATE]);
    if (rc < 0 || !remote) return rc;
    rc = reserve(w, HEAD);
    if (rc == 0) rc = write_value(w, traceback);
    put_byte(w, OP_TUPLE2);
    put_byte(w, OP_REDUCE);
    return rc;
}

static int write_object(struct writer *w, const struct kin__tuple *object)
{
    const kin_value *field = object->item;
    int rc = put_class(w, &field[KIN__OBJECT_CLASS]);
    if (rc == 0) rc = write_value(w, &field[KIN__OBJECT_ARGUMENTS]);
    if (rc < 0) return rc;
    put_byte(w, object->object.typecode == 'C' ? OP_REDUCE : OP_NEWOBJ);
    return write_state(w, &field[KIN__OBJECT_STATE]);
}

static int write_token(struct writer *w, const kin_value *field)
{
    int rc = put_global(w, "multiprocessing.managers", "Token");
    put_byte(w, OP_EMPTY_TUPLE);
    put_byte(w, OP_NEWOBJ);
    if (rc == 0) rc = put_tuple(w, field, KIN__TOKEN_FIELDS);
    put_byte(w, OP_BUILD);
    return rc;
}

static int write_proxy(struct writer *w, const kin_value *field)
{
    int rc = put_global(w, "multiprocessing.managers", "RebuildProxy");
    put_byte(w, OP_MARK);
    if (rc == 0) rc = put_class(w, &field[KIN__PROXY_CLASS]);
    if (rc == 0) rc = write_value(w, &field[KIN__PROXY_TOKEN]);
    if (rc == 0) rc = put_str(w, "pickle", strlen("pickle"));
    if (rc == 0) rc = write_value(w, &field[KIN__PROXY_KEYWORDS]);
    put_byte(w, OP_TUPLE);
    put_byte(w, OP_REDUCE);
    return rc;
}

/* ---- all of them -------------------------------------------------------------------------- */

static int write_kind(struct writer *w, const kin_value *value)
{
    switch (value->kind_) {
    case KIN_VALUE_NONE: put_byte(w, OP_NONE); return 0;
    case KIN_VALUE_BOOL: put_byte(w, value->as_.integer ? OP_NEWTRUE : OP_NEWFALSE); return 0;
    case KIN_VALUE_INT:
        if (kin__counted(value)) return put_large_integer(w, value);
        put_small_integer(w, value->as_.integer);
        return 0;
    case KIN_VALUE_FLOAT: put_float(w, value->as_.number); return 0;
    case KIN_VALUE_STR:
    case KIN_VALUE_BYTES: return write_text(w, value);
    case KIN_VALUE_BYTEARRAY: return write_bytearray(w, value);
    case KIN_VALUE_TUPLE: return write_tuple(w, value);
    case KIN_VALUE_LIST: return write_list(w, value->as_.object);
    case KIN_VALUE_DICT: return write_dict(w, value);
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET: return write_set(w, value);
    case KIN_VALUE_COMPLEX:
        return write_call(w, "builtins", "complex", kin__fields(value, KIN_VALUE_COMPLEX), 2);
    case KIN_VALUE_SLICE: return write_call(w, "builtins", "slice", kin__fields(value, KIN_VALUE_SLICE), 3);
    case KIN_VALUE_RANGE: return write_call(w, "builtins", "range", kin__fields(value, KIN_VALUE_RANGE), 3);
    case KIN_VALUE_ARRAY: return write_array(w, value->as_.object);
    case KIN_VALUE_ERROR: return write_error(w, kin__fields(value, KIN_VALUE_ERROR));
    case KIN_VALUE_OBJECT: return write_object(w, value->as_.object);
    case KIN_VALUE_CLASS: return put_class(w, value);
    case KIN_VALUE_TOKEN: return write_token(w, kin__fields(value, KIN_VALUE_TOKEN));
    case KIN_VALUE_PROXY: return write_proxy(w, kin__fields(value, KIN_VALUE_PROXY));
    default: return kin_value_error_code(value);
    }
}

/* Writes one value, with room before it for its head and behind it for what closes a container. */
static int write_value(struct writer *w, const kin_value *value)
{
    if (w->levels == 0) return -ELOOP;
    w->levels--;
    int rc = reserve(w, HEAD);
    if (rc == 0) rc = write_kind(w, value);
    w->levels++;
    return rc == 0 ? reserve(w, HEAD) : rc;
}

/* `word` not NULL: the tuple of it and the value. */
static int dumps(const char *word, const kin_value *value, size_t most, kin_buffer *buffer)
{
    struct writer w = {.out = buffer, .levels = KIN__LEVELS};
    size_t before = buffer->size;
    w.most = most < SIZE_MAX - before ? before + most : SIZE_MAX;
    int rc = reserve(&w, HEAD);
    if (rc == 0) {
        put_byte(&w, OP_PROTO);
        put_byte(&w, 3);
        if (word != NULL) rc = put_str(&w, word, strlen(word));
    }
    if (rc == 0) rc = write_value(&w, value);
    if (rc == 0) {
        if (word != NULL) put_byte(&w, OP_TUPLE2);
        put_byte(&w, OP_STOP);
    }
    if (rc < 0) buffer->size = before;
    if (w.memo.slots > 0) memo_free(&w.memo);
    return rc;
}

int kin_pickle_dumps(const kin_value *value, kin_buffer *buffer)
{
    return value == NULL || buffer == NULL ? -EINVAL : dumps(NULL, value, SIZE_MAX, buffer);
}

int kin__pickle_dumps_pair(const char *word, const kin_value *value, size_t most, kin_buffer *buffer)
{
    return dumps(word, value, most, buffer);
}
