/* type_list.c: list, with the methods and errors of Python's. */
#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/sequence.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

/* What the server may be made to hold by one small request. */
#define REPEATED_MOST (INT64_C(1) << 24)

struct list {
    struct kin__managed object;
    kin_value items; /* a list, whose items are kept */
};

static kin_value *items_of(const struct kin__call *call)
{
    return &((struct list *)(void *)call->object)->items;
}

static enum kin__outcome done(struct kin__call *call, int rc)
{
    return rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
}

/* The same where what kin__keep made of `value` was used up. */
static enum kin__outcome keep_done(struct kin__call *call, const kin_value *value, int rc)
{
    if (rc < 0) kin__keep_not(call, value);
    return done(call, rc);
}

/* ---- making ----------------------------------------------------------------------------------------- */

static enum kin__outcome make(struct kin__call *call)
{
    kin_value *items = items_of(call);
    *items = kin_value_list(NULL, 0);
    if (call->argument[0] == NULL) return KIN__RETURN;
    enum kin__outcome outcome = kin__extend(call, items, call->argument[0]);
    if (outcome == KIN__RAISE) kin__unkeep(call->server, items);
    return outcome;
}

static void drop(struct kin__server *server, struct kin__managed *object)
{
    kin__unkeep(server, &((struct list *)(void *)object)->items);
}

static kin_value copy(struct kin__call *call)
{
    return kin_value_ref(items_of(call));
}

static enum kin__outcome list_copy(struct kin__call *call)
{
    return kin__return(call, copy(call));
}

/* ---- items ------------------------------------------------------------------------------------------- */

static enum kin__outcome list_len(struct kin__call *call)
{
    return kin__return(call, kin_value_int(kin_value_len(items_of(call))));
}

static enum kin__outcome list_getitem(struct kin__call *call)
{
    return kin__getitem(call, items_of(call), "list");
}

static enum kin__outcome list_setitem(struct kin__call *call)
{
    kin_value *items = items_of(call);
    long index;
    if (kin_value_kind(call->argument[0]) == KIN_VALUE_SLICE) return kin__set_slice(call, items);
    if (!kin__index(call, call->argument[0], kin_value_len(items), "list assignment index out of range",
                    &index))
        return KIN__RAISE;
    kin_value old = kin_value_ref(kin_value_at(items, index));
    int rc = kin_value_list_set(items, index, kin__keep(call, call->argument[1]));
    kin__unkeep(call->server, &old);
    return done(call, rc);
}

static enum kin__outcome list_delitem(struct kin__call *call)
{
    kin_value *items = items_of(call);
    long index;
    if (kin_value_kind(call->argument[0]) == KIN_VALUE_SLICE) return kin__delete_slice(call, items);
    if (!kin__index(call, call->argument[0], kin_value_len(items), "list assignment index out of range",
                    &index))
        return KIN__RAISE;
    kin_value old = kin_value_list_pop(items, index);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

static enum kin__outcome list_append(struct kin__call *call)
{
    return keep_done(call, call->argument[0],
                     kin_value_list_append(items_of(call), kin__keep(call, call->argument[0])));
}

static enum kin__outcome list_insert(struct kin__call *call)
{
    int64_t index = 0;
    if (!kin__argument_int(call, call->argument[0], &index)) return KIN__RAISE;
    long length = kin_value_len(items_of(call));
    if (index < 0) index = index + length > 0 ? index + length : 0;
    if (index > length) index = length;
    return keep_done(call, call->argument[1],
                     kin_value_list_insert(items_of(call), (long)index, kin__keep(call, call->argument[1])));
}

static enum kin__outcome list_pop(struct kin__call *call)
{
    kin_value *items = items_of(call), last = kin_value_int(-1);
    const kin_value *which = call->argument[0] != NULL ? call->argument[0] : &last;
    long index;
    int64_t at;
    if (!kin__argument_int(call, which, &at)) return KIN__RAISE;
    if (kin_value_len(items) == 0) return kin__raisef(call, "IndexError", "pop from empty list");
    if (!kin__index(call, which, kin_value_len(items), "pop index out of range", &index)) return KIN__RAISE;
    call->leaves = true;
    return kin__return(call, kin_value_list_pop(items, index));
}

static enum kin__outcome list_extend(struct kin__call *call)
{
    return kin__extend(call, items_of(call), call->argument[0]) == KIN__RAISE ? KIN__RAISE
                                                                              : kin__return_none(call);
}

static enum kin__outcome list_clear(struct kin__call *call)
{
    kin_value old = *items_of(call);
    *items_of(call) = kin_value_list(NULL, 0);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

/* ---- searching, ordering ------------------------------------------------------------------------------ */

/* The place of an item from `from` up to `to`, -1: it is not there, or an error. */
static long find(const kin_value *items, const kin_value *item, long from, long to)
{
    for (long i = from; i < to; i++) {
        int equal = kin_value_equal(kin_value_at(items, i), item);
        if (equal != 0) return equal < 0 ? equal : i;
    }
    return -1;
}

static enum kin__outcome list_contains(struct kin__call *call)
{
    long at = find(items_of(call), call->argument[0], 0, kin_value_len(items_of(call)));
    return kin__return(call, kin_value_bool(at >= 0));
}

/* An end of what is searched, which is one of a slice's. */
static kin_value bound(struct kin__call *call, int argument)
{
    return call->argument[argument] != NULL ? kin_value_ref(call->argument[argument]) : kin_value_none();
}

static enum kin__outcome list_index(struct kin__call *call)
{
    const kin_value *items = items_of(call);
    kin_value none = kin_value_none(), part = kin_value_slice(bound(call, 1), bound(call, 2), none);
    long from, step, count;
    int rc = kin_value_slice_over(&part, kin_value_len(items), &from, &step, &count);
    kin_value_clear(&part);
    if (rc == KIN_EKIND)
        return kin__raisef(call, "TypeError", "slice indices must be integers or have an __index__ method");
    if (rc < 0) return kin__raise_code(call, rc);
    long at = find(items, call->argument[0], from, from + count);
    if (at >= 0) return kin__return(call, kin_value_int(at));
    kin_value repr = kin__repr(call->argument[0]);
    const char *text = kin_value_get_str(&repr, NULL);
    kin__raisef(call, "ValueError", "%.100s is not in list", text != NULL ? text : "it");
    kin_value_clear(&repr);
    return KIN__RAISE;
}

static enum kin__outcome list_count(struct kin__call *call)
{
    const kin_value *items = items_of(call);
    long count = 0, length = kin_value_len(items);
    for (long at = 0; (at = find(items, call->argument[0], at, length)) >= 0; at++) count++;
    return kin__return(call, kin_value_int(count));
}

static enum kin__outcome list_remove(struct kin__call *call)
{
    kin_value *items = items_of(call);
    long at = find(items, call->argument[0], 0, kin_value_len(items));
    if (at < 0) return kin__raisef(call, "ValueError", "list.remove(x): x not in list");
    kin_value old = kin_value_list_pop(items, at);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

static enum kin__outcome list_reverse(struct kin__call *call)
{
    return done(call, kin_value_list_reverse(items_of(call)));
}

/* Two of the items cannot be compared; Python finds neighbours first, from the end if it sorts downwards. */
static enum kin__outcome no_order(struct kin__call *call, bool descending)
{
    const kin_value *items = items_of(call);
    long length = kin_value_len(items);
    for (long i = 1; i < length; i++) {
        const kin_value *left = kin_value_at(items, descending ? length - 1 - i : i);
        const kin_value *right = kin_value_at(items, descending ? length - i : i - 1);
        if (kin_value_less(left, right) == KIN_EKIND)
            return kin__raisef(call, "TypeError", "'<' not supported between instances of '%s' and '%s'",
                               kin_value_kind_name(left), kin_value_kind_name(right));
    }
    return kin__raisef(call, "TypeError", "two items of the list have no order");
}

static enum kin__outcome list_sort(struct kin__call *call)
{
    int64_t descending = 0;
    const kin_value *key = call->argument[0];
    if (key != NULL && kin_value_kind(key) == KIN_VALUE_CLASS)
        return kin__raisef(call, "TypeError", "this manager cannot call a key function");
    if (key != NULL && kin_value_kind(key) != KIN_VALUE_NONE)
        return kin__raisef(call, "TypeError", "'%s' object is not callable", kin_value_kind_name(key));
    if (!kin__argument_int(call, call->argument[1], &descending)) return KIN__RAISE;
    int rc = kin_value_list_sort(items_of(call), descending != 0);
    return rc == KIN_EKIND ? no_order(call, descending != 0) : done(call, rc);
}

static enum kin__outcome list_reversed(struct kin__call *call)
{
    kin_value reversed = kin_value_list(NULL, 0);
    for (long i = kin_value_len(items_of(call)) - 1; i >= 0; i--)
        kin__collect(&reversed, kin_value_ref(kin_value_at(items_of(call), i)));
    enum kin__outcome outcome = kin__iterate(call, &reversed, false);
    kin_value_clear(&reversed);
    return outcome;
}

/* ---- arithmetic ------------------------------------------------------------------------------------------ */

static enum kin__outcome list_add(struct kin__call *call)
{
    if (kin_value_kind(call->argument[0]) != KIN_VALUE_LIST)
        return kin__raisef(call, "TypeError", "can only concatenate list (not \"%s\") to list",
                           kin_value_kind_name(call->argument[0]));
    kin_value sum = kin_value_list(NULL, 0);
    const kin_value *parts[2] = {items_of(call), call->argument[0]}, *item;
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; kin_value_next(parts[i], &at, &item, NULL);)
            kin__collect(&sum, kin_value_ref(item));
    }
    return kin__return(call, sum);
}

/* So many times the items; `sum` is a list. */
static enum kin__outcome repeat(struct kin__call *call, kin_value *sum, int64_t times, bool kept)
{
    long length = kin_value_len(items_of(call));
    if (times > 0 && length > REPEATED_MOST / times) return kin__raise_code(call, -ENOMEM);
    for (int64_t turn = 0; turn < times; turn++) {
        for (long i = 0; i < length; i++) {
            const kin_value *item = kin_value_at(items_of(call), i);
            int rc =
                kin_value_list_append(sum, kept ? kin__keep_again(call->server, item) : kin_value_ref(item));
            if (rc < 0) return kin__raise_code(call, rc);
        }
    }
    return KIN__RETURN;
}

static bool read_times(struct kin__call *call, int64_t *times)
{
    if (kin_value_get_int(call->argument[0], times) != -ERANGE)
        return kin__argument_int(call, call->argument[0], times);
    kin__raisef(call, "OverflowError", "cannot fit 'int' into an index-sized integer");
    return false;
}

static enum kin__outcome list_mul(struct kin__call *call)
{
    int64_t times = 0;
    if (!read_times(call, &times)) return KIN__RAISE;
    kin_value sum = kin_value_list(NULL, 0);
    if (repeat(call, &sum, times, false) == KIN__RETURN) return kin__return(call, sum);
    kin_value_clear(&sum);
    return KIN__RAISE;
}

static enum kin__outcome list_imul(struct kin__call *call)
{
    int64_t times = 0;
    if (!read_times(call, &times)) return KIN__RAISE;
    if (times <= 0) return list_clear(call);
    return repeat(call, items_of(call), times - 1, true) == KIN__RAISE ? KIN__RAISE : kin__return_none(call);
}

static void save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    (void)arguments;
    *state = kin_value_ref(&((struct list *)(void *)object)->items);
}

static int restore(struct kin__call *call, const kin_value *state)
{
    return kin__extend(call, items_of(call), state) == KIN__RAISE ? KIN_ESNAPSHOT : 0;
}

static const struct kin__method methods[] = {
    {"__add__", list_add, "other", 1, KIN__SLOT},
    {"__contains__", list_contains, "item", 1, KIN__SLOT},
    {"__delitem__", list_delitem, "index", 1, KIN__SLOT},
    {"__getitem__", list_getitem, "index", 1, KIN__BUILTIN},
    {"__len__", list_len, "", 0, KIN__SLOT},
    {"__mul__", list_mul, "times", 1, KIN__SLOT_UNPACKED},
    {"__reversed__", list_reversed, "", 0, KIN__BUILTIN},
    {"__rmul__", list_mul, "times", 1, KIN__SLOT_UNPACKED},
    {"__setitem__", list_setitem, "index item", 2, KIN__SLOT_UNPACKED},
    {"append", list_append, "item", 1, KIN__BUILTIN},
    {"clear", list_clear, "", 0, KIN__BUILTIN},
    {"copy", list_copy, "", 0, KIN__BUILTIN},
    {"count", list_count, "item", 1, KIN__BUILTIN},
    {"extend", list_extend, "items", 1, KIN__BUILTIN},
    {"index", list_index, "item start stop", 1, KIN__BUILTIN},
    {"insert", list_insert, "index item", 2, KIN__BUILTIN},
    {"pop", list_pop, "index", 0, KIN__BUILTIN},
    {"remove", list_remove, "item", 1, KIN__BUILTIN},
    {"reverse", list_reverse, "", 0, KIN__BUILTIN},
    {"sort", list_sort, "key reverse", 0, KIN__KEYWORDS_ONLY},
    {"__imul__", list_imul, "times", 1, KIN__SLOT_UNPACKED},
    {0},
};

const struct kin__type kin__type_list = {
    .name = "list",
    .size = sizeof(struct list),
    .make = {"list", make, "items", 0, KIN__BUILTIN},
    .drop = drop,
    .copy = copy,
    .save = save,
    .restore = restore,
    .methods = methods,
    .reads = "__add__ __contains__ __getitem__ __len__ __mul__ __reversed__ __rmul__ copy count index",
};
