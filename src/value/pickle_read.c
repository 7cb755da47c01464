/* pickle_read.c: the reader of pickles: the machine with a stack and a memo.
 *
 * pickle.h says by which rules it keeps values finite; pickle_make.c what it makes of classes.
 * Every length is compared with what is left before anything is allocated for it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/pickle.h"

#define DEFAULT_COUNT  16777216
#define DEFAULT_DEPTH  200
#define IN_PLACE_LEAST 4096

/* ---- faults ------------------------------------------------------------------------------- */

void kin__reader_note(struct kin__reader *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->text, sizeof r->text, format, arguments);
    va_end(arguments);
}

static int cut_short(struct kin__reader *r)
{
    return kin__reader_fail(r, KIN_EPICKLE, "cut short after %zu bytes", (size_t)(r->end - r->begin));
}

static void report(const struct kin__reader *r, int code)
{
    kin_pickle_fault *fault = r->options.fault;
    if (fault == NULL) return;
    fault->offset = (size_t)(r->opcode - r->begin);
    snprintf(fault->text, sizeof fault->text, "byte %zu: %s", fault->offset,
             r->text[0] ? r->text : kin_strerror(code));
}

/* ---- arguments ---------------------------------------------------------------------------- */

static inline size_t left(const struct kin__reader *r)
{
    return (size_t)(r->end - r->at);
}

/* What is given a constant, so that the compiler reads numbers of that size as a whole. */
#define QUICK static inline __attribute__((always_inline))

/* A number of `bytes` bytes, little-endian. */
QUICK int read_number(struct kin__reader *r, int bytes, uint64_t *number)
{
    if (left(r) < (size_t)bytes) return cut_short(r);
    *number = 0;
    memcpy(number, r->at, (size_t)bytes);
    r->at += bytes;
    return 0;
}

/* A length of `bytes` bytes and as many bytes as it says. */
QUICK int read_counted(struct kin__reader *r, int bytes, const char **data, size_t *size)
{
    uint64_t number;
    int rc = read_number(r, bytes, &number);
    if (rc != 0) return rc;
    if (number > left(r)) return cut_short(r);
    *data = (const char *)r->at;
    *size = number;
    r->at += number;
    return 0;
}

/* A decimal number on a line of its own, as memo entries have. */
static int read_index(struct kin__reader *r, uint64_t *number)
{
    const char *line;
    size_t size;
    int rc = kin__reader_line(r, &line, &size);
    if (rc != 0) return rc;
    kin_value value = kin__integer_parse(line, size);
    rc = kin_value_get_uint(&value, number);
    kin_value_clear(&value);
    return rc < 0 ? kin__reader_fail(r, KIN_EPICKLE, "what should be a number is none") : 0;
}

/* Of up to 15 bytes, where 16 can be read. */
static inline bool is_ascii(const char *text, size_t size)
{
    uint64_t word[2];
    memcpy(word, text, sizeof word);
    uint64_t high = 0x8080808080808080U;
    if (size < 8) return (word[0] & high & (((uint64_t)1 << 8 * size) - 1)) == 0;
    return ((word[0] & high) | (word[1] & high & (((uint64_t)1 << 8 * (size - 8)) - 1))) == 0;
}

QUICK int push_text(struct kin__reader *r, int bytes)
{
    const char *text;
    size_t size;
    int rc = read_counted(r, bytes, &text, &size);
    if (rc != 0) return rc;
    bool small = size <= KIN__SMALL_MOST && (size_t)(r->end - (const unsigned char *)text) >= 16;
    if (!(small && is_ascii(text, size)) && !kin__utf8_valid(text, size)) return -EILSEQ;
    if (small) return kin__reader_push(r, kin__text_small(KIN_VALUE_STR, text, size));
    return kin__reader_push_made(r, kin__text_make(KIN_VALUE_STR, text, size));
}

QUICK int push_bytes(struct kin__reader *r, int bytes, kin_value_kinds kind)
{
    const char *data;
    size_t size;
    int rc = read_counted(r, bytes, &data, &size);
    if (rc != 0) return rc;
    bool in_place = r->options.in_place && size >= IN_PLACE_LEAST && kind == KIN_VALUE_BYTES;
    return kin__reader_push_made(r, in_place ? kin__text_refer(kind, data, size)
                                             : kin__text_make(kind, data, size));
}

static int push_old_string(struct kin__reader *r, int bytes)
{
    const char *data;
    size_t size;
    int rc = read_counted(r, bytes, &data, &size);
    return rc != 0 ? rc : kin__reader_push_made(r, kin__old_string(data, size));
}

static int push_integer(struct kin__reader *r, int bytes)
{
    uint64_t number;
    int rc = read_number(r, bytes, &number);
    if (rc != 0) return rc;
    return kin__reader_push(r, kin_value_int(bytes == 4 ? (int32_t)(uint32_t)number : (int64_t)number));
}

static int push_long(struct kin__reader *r, int bytes)
{
    const char *data;
    size_t size;
    int rc = read_counted(r, bytes, &data, &size);
    return rc != 0 ? rc : kin__reader_push_made(r, kin__integer_make(data, size));
}

static int push_float(struct kin__reader *r)
{
    uint64_t bits;
    double number;
    int rc = read_number(r, 8, &bits);
    if (rc != 0) return rc;
    bits = __builtin_bswap64(bits);
    memcpy(&number, &bits, sizeof number);
    return kin__reader_push(r, kin_value_float(number));
}

static int push_line(struct kin__reader *r, kin_value (*read)(const char *line, size_t size))
{
    const char *line;
    size_t size;
    int rc = kin__reader_line(r, &line, &size);
    if (rc != 0) return rc;
    kin_value value = read(line, size);
    if (kin_value_error_code(&value) == KIN_EPICKLE)
        return kin__reader_fail(r, KIN_EPICKLE, "a line that is not what this opcode has");
    return kin__reader_push_made(r, value);
}

/* ---- classes ------------------------------------------------------------------------------ */

static int push_class(struct kin__reader *r, const char *module, size_t module_size, const char *name,
                      size_t name_size)
{
    kin_value class = kin__class_make(module, module_size, name, name_size);
    bool unknown = kin__counted(&class) || kin_value_error_code(&class) == -EINVAL;
    if (!unknown || (r->options.keep_unknown && kin__counted(&class))) return kin__reader_push_made(r, class);
    kin_value_clear(&class);
    return kin__reader_fail(r, KIN_EREFUSED, "%.*s.%.*s is not among the globals that kin reads",
                            kin__utf8_fit(module, module_size, 80), module,
                            kin__utf8_fit(name, name_size, 80), name);
}

static int push_global(struct kin__reader *r)
{
    const char *module, *name;
    size_t module_size, name_size;
    int rc = kin__reader_line(r, &module, &module_size);
    if (rc == 0) rc = kin__reader_line(r, &name, &name_size);
    return rc != 0 ? rc : push_class(r, module, module_size, name, name_size);
}

static int stack_global(struct kin__reader *r)
{
    if (!kin__reader_holds(r, 2)) return kin__reader_too_few(r);
    size_t module_size, name_size;
    const kin_value *top = r->stack + r->size - 2;
    const char *module = kin_value_get_str(&top[0], &module_size),
               *name = kin_value_get_str(&top[1], &name_size);
    if (module == NULL || name == NULL)
        return kin__reader_fail(r, KIN_EPICKLE, "a global whose name is no str");
    int rc = push_class(r, module, module_size, name, name_size);
    if (rc != 0) return rc;
    kin_value class = r->stack[--r->size];
    kin_value_clear(&r->stack[--r->size]);
    kin_value_clear(&r->stack[r->size - 1]);
    r->stack[r->size - 1] = class;
    return 0;
}

/* REDUCE, NEWOBJ: the class and its arguments give way to what they make. */
static int make_instance(struct kin__reader *r,
                         int (*make)(struct kin__reader *, const kin_value *, const kin_value *, kin_value *))
{
    if (!kin__reader_holds(r, 2)) return kin__reader_too_few(r);
    kin_value made, *class = &r->stack[r->size - 2], *arguments = &r->stack[r->size - 1];
    int rc = make(r, class, arguments, &made);
    if (rc < 0) {
        kin_value_clear(&made);
        return rc;
    }
    kin_value_clear(class);
    kin_value_clear(arguments);
    r->size -= 2;
    return kin__reader_push_open(r, made);
}

static int make_with_keywords(struct kin__reader *r)
{
    if (!kin__reader_holds(r, 3)) return kin__reader_too_few(r);
    const kin_value *keywords = &r->stack[r->size - 1];
    if (keywords->kind_ != KIN_VALUE_DICT || kin_value_len(keywords) != 0)
        return kin__reader_refuse(r, &keywords[-2], "is made with keywords, which kin does not read");
    kin_value_clear(&r->stack[--r->size]);
    return make_instance(r, kin__reader_new);
}

static int build(struct kin__reader *r)
{
    if (!kin__reader_holds(r, 2)) return kin__reader_too_few(r);
    kin_value state = r->stack[--r->size];
    return kin__reader_build(r, &r->stack[r->size - 1], state);
}

/* ---- the opcodes -------------------------------------------------------------------------- */

static int check_protocol(struct kin__reader *r)
{
    uint64_t protocol;
    int rc = read_number(r, 1, &protocol);
    if (rc == 0 && protocol > 5)
        rc = kin__reader_fail(r, KIN_EPICKLE, "protocol %d is not known", (int)protocol);
    return rc;
}

static int check_frame(struct kin__reader *r)
{
    uint64_t size;
    int rc = read_number(r, 8, &size);
    return rc == 0 && size > left(r) ? cut_short(r) : rc;
}

static int pop(struct kin__reader *r)
{
    if (kin__reader_holds(r, 1)) {
        kin_value_clear(&r->stack[--r->size]);
        return 0;
    }
    kin_value *item;
    size_t count;
    return kin__reader_pop_mark(r, &item, &count);
}

static int pop_to_mark(struct kin__reader *r)
{
    kin_value *item;
    size_t count;
    int rc = kin__reader_pop_mark(r, &item, &count);
    if (rc != 0) return rc;
    kin__values_drop(item, count);
    r->size -= count;
    return 0;
}

static int with_number(struct kin__reader *r, int bytes, int (*function)(struct kin__reader *, size_t))
{
    uint64_t number;
    int rc = bytes ? read_number(r, bytes, &number) : read_index(r, &number);
    return rc != 0 ? rc : function(r, number);
}

static int refuse_opcode(struct kin__reader *r, unsigned char opcode)
{
    static const char refused[] = "PQ\x82\x83\x84\x97\x98io";
    if (opcode && strchr(refused, opcode))
        return kin__reader_fail(r, KIN_EREFUSED, "opcode 0x%02x, which kin does not read", opcode);
    return kin__reader_fail(r, KIN_EPICKLE, "0x%02x is no opcode", opcode);
}

static int step(struct kin__reader *r, unsigned char opcode)
{
    switch (opcode) {
    case OP_PROTO: return check_protocol(r);
    case OP_FRAME: return check_frame(r);
    case OP_MARK: return kin__reader_mark(r);
    case OP_POP: return pop(r);
    case OP_POP_MARK: return pop_to_mark(r);
    case OP_DUP:
        return kin__reader_holds(r, 1) ? kin__reader_push_again(r, &r->stack[r->size - 1])
                                       : kin__reader_too_few(r);
    case OP_NONE: return kin__reader_push(r, kin_value_none());
    case OP_NEWTRUE: return kin__reader_push(r, kin_value_bool(true));
    case OP_NEWFALSE: return kin__reader_push(r, kin_value_bool(false));
    case OP_BININT1: return push_integer(r, 1);
    case OP_BININT2: return push_integer(r, 2);
    case OP_BININT: return push_integer(r, 4);
    case OP_LONG1: return push_long(r, 1);
    case OP_LONG4: return push_long(r, 4);
    case OP_INT: return push_line(r, kin__read_int);
    case OP_LONG: return push_line(r, kin__read_long);
    case OP_BINFLOAT: return push_float(r);
    case OP_FLOAT: return push_line(r, kin__read_float);
    case OP_SHORT_BINUNICODE: return push_text(r, 1);
    case OP_BINUNICODE: return push_text(r, 4);
    case OP_BINUNICODE8: return push_text(r, 8);
    case OP_UNICODE: return push_line(r, kin__read_unicode);
    case OP_SHORT_BINBYTES: return push_bytes(r, 1, KIN_VALUE_BYTES);
    case OP_BINBYTES: return push_bytes(r, 4, KIN_VALUE_BYTES);
    case OP_BINBYTES8: return push_bytes(r, 8, KIN_VALUE_BYTES);
    case OP_BYTEARRAY8: return push_bytes(r, 8, KIN_VALUE_BYTEARRAY);
    case OP_STRING: return push_line(r, kin__read_string);
    case OP_BINSTRING: return push_old_string(r, 4);
    case OP_SHORT_BINSTRING: return push_old_string(r, 1);
    case OP_EMPTY_TUPLE: return kin__reader_tuple(r, 0);
    case OP_TUPLE1: return kin__reader_tuple(r, 1);
    case OP_TUPLE2: return kin__reader_tuple(r, 2);
    case OP_TUPLE3: return kin__reader_tuple(r, 3);
    case OP_TUPLE: return kin__reader_make(r, KIN_VALUE_TUPLE);
    case OP_EMPTY_LIST: return kin__reader_push_open(r, kin_value_list(NULL, 0));
    case OP_LIST: return kin__reader_make(r, KIN_VALUE_LIST);
    case OP_APPEND: return kin__reader_append(r);
    case OP_APPENDS: return kin__reader_add(r, KIN_VALUE_LIST);
    case OP_EMPTY_DICT: return kin__reader_push_open(r, kin__table_make(KIN_VALUE_DICT));
    case OP_DICT: return kin__reader_make(r, KIN_VALUE_DICT);
    case OP_SETITEM: return kin__reader_set_item(r);
    case OP_SETITEMS: return kin__reader_add(r, KIN_VALUE_DICT);
    case OP_EMPTY_SET: return kin__reader_push_open(r, kin__table_make(KIN_VALUE_SET));
    case OP_ADDITEMS: return kin__reader_add(r, KIN_VALUE_SET);
    case OP_FROZENSET: return kin__reader_make(r, KIN_VALUE_FROZENSET);
    case OP_PUT: return with_number(r, 0, kin__reader_memo_put);
    case OP_BINPUT: return with_number(r, 1, kin__reader_memo_put);
    case OP_LONG_BINPUT: return with_number(r, 4, kin__reader_memo_put);
    case OP_MEMOIZE: return kin__reader_memo_put(r, r->memo_count);
    case OP_GET: return with_number(r, 0, kin__reader_memo_get);
    case OP_BINGET: return with_number(r, 1, kin__reader_memo_get);
    case OP_LONG_BINGET: return with_number(r, 4, kin__reader_memo_get);
    case OP_GLOBAL: return push_global(r);
    case OP_STACK_GLOBAL: return stack_global(r);
    case OP_REDUCE: return make_instance(r, kin__reader_call);
    case OP_NEWOBJ: return make_instance(r, kin__reader_new);
    case OP_NEWOBJ_EX: return make_with_keywords(r);
    case OP_BUILD: return build(r);
    default: return refuse_opcode(r, opcode);
    }
}

/* Numbers and the like, of which messages have many: pushes as many as follow each other, as long as
 * there is room on the stack and no opcode can reach beyond the end. */
static void push_plain(struct kin__reader *r)
{
    const unsigned char *at = r->at, *last = r->end - 9;
    kin_value *top = r->stack + r->size, *limit = r->stack + r->capacity;
    for (; top < limit && at <= last; top++) {
        uint16_t two;
        int32_t four;
        uint64_t eight;
        double number;
        switch (*at) {
        case OP_BININT1:
            *top = kin__plain_int(at[1]);
            at += 2;
            break;
        case OP_BININT2:
            memcpy(&two, at + 1, sizeof two);
            *top = kin__plain_int(two);
            at += 3;
            break;
        case OP_BININT:
            memcpy(&four, at + 1, sizeof four);
            *top = kin__plain_int(four);
            at += 5;
            break;
        case OP_BINFLOAT:
            memcpy(&eight, at + 1, sizeof eight);
            eight = __builtin_bswap64(eight);
            memcpy(&number, &eight, sizeof number);
            *top = kin__plain_float(number);
            at += 9;
            break;
        default: limit = top--; /* something else: the loop ends */
        }
    }
    r->at = at;
    r->size = (size_t)(top - r->stack);
}

/* Whether the tuple whose opcode has just been read is the whole value; it may still be put into the memo. */
static bool is_outermost(const struct kin__reader *r)
{
    const unsigned char *at = r->at;
    if (r->mark_count != 1 || r->mark != 0) return false;
    if (at < r->end) at += *at == OP_BINPUT && r->end - at > 2 ? 2 : *at == OP_MEMOIZE ? 1 : 0;
    return at < r->end && *at == OP_STOP;
}

/* Runs up to STOP, and leaves the value on the stack; or the items of a tuple, where they are wanted. */
static int run(struct kin__reader *r)
{
    for (;;) {
        r->opcode = r->at;
        if (r->at == r->end) return cut_short(r);
        unsigned char opcode = *r->at++;
        if (opcode == OP_STOP) break;
        if (opcode == OP_TUPLE && r->unwraps && is_outermost(r)) return kin__reader_unwrap(r);
        int rc = step(r, opcode);
        if (__builtin_expect(rc < 0, 0)) return rc;
        /* Nothing is plain whose opcode is not among these. */
        if (r->end - r->at > 9 && *r->at >= OP_BINFLOAT && *r->at <= OP_BININT2 && r->size < r->capacity)
            push_plain(r);
    }
    if (r->mark_count > 0 || r->size != 1)
        return kin__reader_fail(r, KIN_EPICKLE, "it ends with %zu values and %zu marks on the stack", r->size,
                                r->mark_count);
    r->unwraps = false;
    return 0;
}

/* What is not set here is not read before it is written. */
static void begin(struct kin__reader *r, const void *data, size_t size, const kin_pickle_options *options)
{
    r->at = r->begin = r->opcode = data;
    r->end = r->begin + size;
    r->stack = r->own_stack;
    r->capacity = KIN__READER_STACK;
    r->marks = r->own_marks;
    r->mark_capacity = KIN__READER_MARKS;
    r->memo = r->own_memo;
    r->memo_capacity = KIN__READER_MEMO;
    r->size = r->mark = r->mark_count = r->memo_size = r->memo_count = r->made = 0;
    r->has_proxies = r->unwraps = false;
    r->text[0] = 0;
    r->options = *options;
    if (r->options.max_count == 0 || r->options.max_count > UINT32_MAX / 2)
        r->options.max_count = r->options.max_count ? UINT32_MAX / 2 : DEFAULT_COUNT;
    if (r->options.max_depth == 0) r->options.max_depth = DEFAULT_DEPTH;
    if (r->options.max_depth > KIN__LEVELS) r->options.max_depth = KIN__LEVELS;
}

static void end(struct kin__reader *r)
{
    kin__values_drop(r->stack, r->size);
    if (r->stack != r->own_stack) free(r->stack);
    if (r->marks != r->own_marks) free(r->marks);
    kin__reader_memo_free(r);
}

static int pickle_loads(kin_value *value, const void *data, size_t size, const kin_pickle_options *options)
{
    struct kin__reader r;
    begin(&r, data, size, options);
    int rc = r.options.max_size && size > r.options.max_size ? -EMSGSIZE : run(&r);
    if (rc < 0)
        report(&r, rc);
    else
        *value = r.stack[--r.size];
    end(&r);
    return rc;
}

int kin__pickle_loads_items(kin_value *item, size_t most, const void *data, size_t size,
                            const kin_pickle_options *options, bool *has_proxies)
{
    struct kin__reader r;
    begin(&r, data, size, options);
    r.unwraps = true;
    int rc = run(&r);
    size_t count = r.size;
    const kin_value *items = r.stack;
    /* A list, or a tuple that was written in another way. */
    if (rc == 0 && !r.unwraps) items = kin__items(&r.stack[0], &count);
    if (rc < 0) report(&r, rc);
    if (rc < 0 || count > most) count = 0;
    for (size_t i = 0; i < count; i++) item[i] = kin__value_ref(&items[i]);
    *has_proxies = r.has_proxies;
    end(&r);
    return rc < 0 ? rc : (int)count;
}

int kin_pickle_loads_sized(kin_value *value, const void *data, size_t size, const kin_pickle_options *options,
                           size_t options_size)
{
    kin_pickle_options given = {0};
    if (value == NULL) return -EINVAL;
    *value = kin_value_none();
    if (data == NULL) return -EINVAL;
    if (options) memcpy(&given, options, options_size < sizeof given ? options_size : sizeof given);
    return pickle_loads(value, data, size, &given);
}
