/* pickle.h: the opcodes, and the parts of the reader that have files of their own.
 *
 * Invariants of the reader, by which no pickle can make a value that contains itself, however it
 * is put together:
 *  - A list, dict, set or record is *open* from its opcode until it becomes part of another value or
 *    is fetched from the memo.  Only open ones are changed.
 *  - So what is open is on the stack once and nowhere else, except in the memo.
 * And no value is larger than `max_count`, counted as a tree: each block knows its weight, and what
 * is fetched from the memo counts again.
 */
#ifndef KIN_VALUE_PICKLE_H
#define KIN_VALUE_PICKLE_H

#include <kin/pickle.h>

#include "value/value.h"

enum opcode {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_POP = '0',
    OP_POP_MARK = '1',
    OP_DUP = '2',
    OP_FLOAT = 'F',
    OP_INT = 'I',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_LONG = 'L',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_REDUCE = 'R',
    OP_STRING = 'S',
    OP_BINSTRING = 'T',
    OP_SHORT_BINSTRING = 'U',
    OP_UNICODE = 'V',
    OP_BINUNICODE = 'X',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_DICT = 'd',
    OP_APPENDS = 'e',
    OP_GET = 'g',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_LIST = 'l',
    OP_PUT = 'p',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_EMPTY_TUPLE = ')',
    OP_SETITEMS = 'u',
    OP_BINFLOAT = 'G',
    OP_EMPTY_LIST = ']',
    OP_EMPTY_DICT = '}',
    OP_BINBYTES = 'B',
    OP_SHORT_BINBYTES = 'C',
    OP_PROTO = 0x80,
    OP_NEWOBJ,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2,
    OP_TUPLE3,
    OP_NEWTRUE,
    OP_NEWFALSE,
    OP_LONG1,
    OP_LONG4,
    OP_SHORT_BINUNICODE,
    OP_BINUNICODE8,
    OP_BINBYTES8,
    OP_EMPTY_SET,
    OP_ADDITEMS,
    OP_FROZENSET,
    OP_NEWOBJ_EX,
    OP_STACK_GLOBAL,
    OP_MEMOIZE,
    OP_FRAME,
    OP_BYTEARRAY8
};

#define KIN__READER_STACK 48
#define KIN__READER_MARKS 8
#define KIN__READER_MEMO  16

/* Where the reader is.
 *   stack     values; below `mark` they belong to what is outside the innermost MARK.
 *   marks     earlier values of `mark`.
 *   memo      by number; a place that was not set is of the kind KIN_VALUE_FAILED.
 * Each of the three begins in an array of the reader's own, which is all that a small message needs. */
struct kin__reader {
    const unsigned char *at, *end, *begin, *opcode;
    kin_value *stack;
    size_t size, capacity, mark;
    size_t *marks;
    size_t mark_count, mark_capacity;
    kin_value *memo;
    size_t memo_size, memo_capacity, memo_count;
    size_t made;      /* blocks */
    bool has_proxies; /* it has made some, or tokens */
    bool unwraps;     /* of a tuple that is the whole value the items are wanted, and not the tuple */
    kin_pickle_options options;
    char text[200]; /* why it failed; empty: what kin_strerror says */
    kin_value own_stack[KIN__READER_STACK];
    kin_value own_memo[KIN__READER_MEMO];
    size_t own_marks[KIN__READER_MARKS];
};

/* kin_pickle_loads of a tuple or list whose items are wanted, at most `most`: how many they are, 0 when there are
 * more, or when the value is something else.  As a rule the tuple itself is not made.  Also says whether there
 * may be proxies or tokens among them.  Does not look at options->max_size. */
int kin__pickle_loads_items(kin_value *item, size_t most, const void *data, size_t size,
                            const kin_pickle_options *options, bool *has_proxies);
/* As kin_pickle_dumps, of the tuple (word, value) without making it; `word` is short.  -EMSGSIZE when it comes
 * to more than `most` bytes, or not much more. */
int kin__pickle_dumps_pair(const char *word, const kin_value *value, size_t most, kin_buffer *buffer);

/* Notes why, and is `code`; a macro, so that the compiler sees that it is an error. */
#define kin__reader_fail(r, code, ...) (kin__reader_note(r, __VA_ARGS__), (code))
void kin__reader_note(struct kin__reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Refuses a class, or an instance by the name of its class: "collections.deque has …". */
int kin__reader_refuse(struct kin__reader *r, const kin_value *of, const char *why);

/* Closes `part`, which becomes a part of `whole`, and adds its weight: -E2BIG, -ELOOP. */
int kin__reader_join(struct kin__reader *r, struct kin__boxed *whole, const kin_value *part);

/* pickle_stack.c: the stack.  `too_few` is the error of an opcode that finds less than it needs. */
int kin__reader_too_few(struct kin__reader *r);
int kin__reader_push_growing(struct kin__reader *r, kin_value value);
/* Pushes a value, which is used up. */
static inline int kin__reader_push(struct kin__reader *r, kin_value value)
{
    if (__builtin_expect(r->size == r->capacity, 0)) return kin__reader_push_growing(r, value);
    r->stack[r->size++] = value;
    return 0;
}

/* Pushes what was made, or returns why it was not. */
static inline int kin__reader_push_made(struct kin__reader *r, kin_value value)
{
    return value.kind_ == KIN_VALUE_FAILED ? kin_value_error_code(&value) : kin__reader_push(r, value);
}

/* Whether `count` values stand above the innermost MARK. */
static inline bool kin__reader_holds(const struct kin__reader *r, size_t count)
{
    return r->size - r->mark >= count;
}

/* Pushes a list, dict or record that may be changed from now on. */
int kin__reader_push_open(struct kin__reader *r, kin_value value);
/* Pushes a further reference; what is shared is not changed any more. */
int kin__reader_push_again(struct kin__reader *r, const kin_value *value);
int kin__reader_mark(struct kin__reader *r);
/* Takes the MARK away: `*item` and `*count` are what stood above it, still on the stack. */
int kin__reader_pop_mark(struct kin__reader *r, kin_value **item, size_t *count);
/* APPEND and SETITEM; APPENDS, SETITEMS and ADDITEMS: what is above the MARK goes into what is below. */
int kin__reader_append(struct kin__reader *r);
int kin__reader_set_item(struct kin__reader *r);
int kin__reader_add(struct kin__reader *r, kin_value_kinds kind);
/* Makes a tuple of the uppermost values; a tuple, list, dict or frozenset of those above the MARK. */
int kin__reader_tuple(struct kin__reader *r, size_t count);
int kin__reader_make(struct kin__reader *r, kin_value_kinds kind);
/* What makes a tuple of those above the only MARK, but for the tuple: it checks as if there were one. */
int kin__reader_unwrap(struct kin__reader *r);
/* The memo. */
int kin__reader_memo_put(struct kin__reader *r, size_t number);
int kin__reader_memo_get(struct kin__reader *r, size_t number);
void kin__reader_memo_free(struct kin__reader *r);

/* pickle_text.c: the opcodes of protocol 0, which have a line of text as their argument. */
int kin__reader_line(struct kin__reader *r, const char **line, size_t *size);
kin_value kin__read_int(const char *line, size_t size);
kin_value kin__read_long(const char *line, size_t size);
kin_value kin__read_float(const char *line, size_t size);
kin_value kin__read_string(const char *line, size_t size);
kin_value kin__read_unicode(const char *line, size_t size);
/* What Python 2 called a string. */
kin_value kin__old_string(const char *bytes, size_t size);

/* pickle_make.c: what REDUCE, NEWOBJ and BUILD stand for.  `class` and `arguments` are borrowed. */
int kin__reader_call(struct kin__reader *r, const kin_value *class, const kin_value *arguments,
                     kin_value *made);
int kin__reader_new(struct kin__reader *r, const kin_value *class, const kin_value *arguments,
                    kin_value *made);
int kin__reader_build(struct kin__reader *r, kin_value *target, kin_value state);

#endif
