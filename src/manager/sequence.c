/* sequence.c: see sequence.h. */
#include "manager/sequence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

/* Items that one small request (a range) can stand for. */
#define ITERATED_MOST (INT64_C(1) << 24)

/* ---- indices ---------------------------------------------------------------------------------------- */

/* In the words that Python has for it: of lists, and of arrays. */
static void no_index(struct kin__call *call, const kin_value *argument, const char *text)
{
    const char *kind = kin_value_kind_name(argument);
    if (strncmp(text, "list", 4) == 0)
        kin__raisef(call, "TypeError", "list indices must be integers or slices, not %s", kind);
    else
        kin__raisef(call, "TypeError", "array indices must be integers");
}

bool kin__index(struct kin__call *call, const kin_value *argument, long length, const char *text, long *index)
{
    int64_t at;
    int rc = kin_value_get_int(argument, &at);
    if (rc == KIN_EKIND) {
        no_index(call, argument, text);
        return false;
    }
    if (rc == -ERANGE) {
        kin__raisef(call, "IndexError", "cannot fit 'int' into an index-sized integer");
        return false;
    }
    if (rc == 0 && at < 0) at += length;
    if (rc < 0 || at < 0 || at >= length) {
        kin__raisef(call, "IndexError", "%s", text);
        return false;
    }
    *index = (long)at;
    return true;
}

static kin_value item_of(const kin_value *sequence, long index)
{
    return kin_value_kind(sequence) == KIN_VALUE_ARRAY ? kin_value_array_get(sequence, index)
                                                       : kin_value_ref(kin_value_at(sequence, index));
}

static kin_value array_slice(const kin_value *array, long start, long step, long count)
{
    size_t size;
    const uint8_t *bytes = kin_value_get_bytes(array, &size);
    size_t item_size = kin__array_item_size((char)kin_value_array_typecode(array));
    uint8_t *part = kin__os_malloc((size_t)count * item_size + 1);
    if (part == NULL) return kin_value_failed(-ENOMEM);
    for (long i = 0; i < count; i++)
        memcpy(part + (size_t)i * item_size, bytes + (size_t)(start + i * step) * item_size, item_size);
    kin_value slice = kin_value_array((char)kin_value_array_typecode(array), part, (size_t)count);
    kin__os_free(part);
    return slice;
}

static enum kin__outcome no_slice(struct kin__call *call, int rc)
{
    if (rc == KIN_EKIND)
        return kin__raisef(call, "TypeError",
                           "slice indices must be integers or None or have an __index__ method");
    if (rc == -EINVAL) return kin__raisef(call, "ValueError", "slice step cannot be zero");
    return kin__raise_code(call, rc);
}

static enum kin__outcome get_slice(struct kin__call *call, const kin_value *sequence)
{
    long start, step, count;
    int rc = kin_value_slice_over(call->argument[0], kin_value_len(sequence), &start, &step, &count);
    if (rc < 0) return no_slice(call, rc);
    if (kin_value_kind(sequence) == KIN_VALUE_ARRAY)
        return kin__return(call, array_slice(sequence, start, step, count));
    kin_value part = kin_value_list(NULL, 0);
    for (long i = 0; i < count; i++)
        kin__collect(&part, kin_value_ref(kin_value_at(sequence, start + i * step)));
    return kin__return(call, part);
}

enum kin__outcome kin__getitem(struct kin__call *call, const kin_value *sequence, const char *name)
{
    char text[64];
    long index;
    if (kin_value_kind(call->argument[0]) == KIN_VALUE_SLICE) return get_slice(call, sequence);
    snprintf(text, sizeof text, "%s index out of range", name);
    if (!kin__index(call, call->argument[0], kin_value_len(sequence), text, &index)) return KIN__RAISE;
    return kin__return(call, item_of(sequence, index));
}

/* ---- iterating ----------------------------------------------------------------------------------------- */

static enum kin__outcome each_character(struct kin__call *call, const kin_value *value,
                                        kin__add_function *add, void *to)
{
    size_t size, length;
    const char *text = kin_value_get_str(value, &size);
    for (size_t at = 0; at < size; at += length) {
        for (length = 1; at + length < size && ((unsigned char)text[at + length] & 0xc0) == 0x80; length++) {
        }
        int rc = add(to, kin_value_str_sized(text + at, length));
        if (rc < 0) return kin__raise_code(call, rc);
    }
    return KIN__RETURN;
}

static enum kin__outcome each_of_range(struct kin__call *call, const kin_value *range, kin__add_function *add,
                                       void *to)
{
    int64_t part[3], count = 0;
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) rc = kin_value_get_int(kin_value_slice_part(range, i), &part[i]);
    for (int64_t at = part[0]; rc >= 0 && (part[2] > 0 ? at < part[1] : at > part[1]); count++) {
        rc = count < ITERATED_MOST ? add(to, kin_value_int(at)) : -ENOMEM;
        if (__builtin_add_overflow(at, part[2], &at)) break;
    }
    return rc < 0 ? kin__raise_code(call, rc) : KIN__RETURN;
}

static enum kin__outcome each_number(struct kin__call *call, const kin_value *value, kin__add_function *add,
                                     void *to)
{
    size_t size = 0;
    const uint8_t *bytes = kin_value_get_bytes(value, &size);
    int rc = 0;
    bool array = kin_value_kind(value) == KIN_VALUE_ARRAY;
    long count = array ? kin_value_len(value) : (long)size;
    for (long i = 0; rc >= 0 && i < count; i++)
        rc = add(to, array ? kin_value_array_get(value, i) : kin_value_int(bytes[i]));
    return rc < 0 ? kin__raise_code(call, rc) : KIN__RETURN;
}

enum kin__outcome kin__contents(struct kin__call *call, const kin_value *value, kin_value *contents)
{
    struct kin__managed *object = kin_value_kind(value) == KIN_VALUE_PROXY
                                      ? kin__managed_find(call->server, kin_value_token_id(value))
                                      : NULL;
    *contents = kin_value_none();
    if (object == NULL || object->type->copy == NULL) return KIN__RETURN;
    if (call->session != NULL && !kin__may_call(call->session, object, NULL))
        return kin__raise(call, kin__may_not(call->session, kin__permission_name(object->type), "read"));
    *contents = object->type->copy(
        &(struct kin__call){.server = call->server, .session = call->session, .object = object});
    int rc = kin_value_error_code(contents);
    return rc < 0 ? kin__raise_code(call, rc) : KIN__RETURN;
}

static enum kin__outcome each_of_object(struct kin__call *call, const kin_value *proxy,
                                        kin__add_function *add, void *to)
{
    kin_value contents;
    if (kin__contents(call, proxy, &contents) == KIN__RAISE) return KIN__RAISE;
    enum kin__outcome outcome =
        kin_value_kind(&contents) == KIN_VALUE_NONE
            ? kin__raisef(call, "TypeError", "'%s' object is not iterable", kin_value_kind_name(proxy))
            : kin__for_each(call, &contents, add, to);
    kin_value_clear(&contents);
    return outcome;
}

enum kin__outcome kin__for_each(struct kin__call *call, const kin_value *value, kin__add_function *add,
                                void *to)
{
    const kin_value *item;
    int rc = 0;
    switch (kin_value_kind(value)) {
    case KIN_VALUE_TUPLE:
    case KIN_VALUE_LIST:
    case KIN_VALUE_DICT:
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET:
        for (size_t at = 0; rc >= 0 && kin_value_next(value, &at, &item, NULL);)
            rc = add(to, kin_value_ref(item));
        return rc < 0 ? kin__raise_code(call, rc) : KIN__RETURN;
    case KIN_VALUE_STR: return each_character(call, value, add, to);
    case KIN_VALUE_BYTES:
    case KIN_VALUE_BYTEARRAY:
    case KIN_VALUE_ARRAY: return each_number(call, value, add, to);
    case KIN_VALUE_RANGE: return each_of_range(call, value, add, to);
    case KIN_VALUE_PROXY: return each_of_object(call, value, add, to);
    default: return kin__raisef(call, "TypeError", "'%s' object is not iterable", kin_value_kind_name(value));
    }
}

static int append(void *list, kin_value item)
{
    return kin_value_list_append(list, item);
}

enum kin__outcome kin__list_of(struct kin__call *call, const kin_value *value, kin_value *list)
{
    *list = kin_value_list(NULL, 0);
    enum kin__outcome outcome = kin__for_each(call, value, append, list);
    if (outcome == KIN__RAISE) kin_value_clear(list);
    return outcome;
}

enum kin__outcome kin__extend(struct kin__call *call, kin_value *list, const kin_value *container)
{
    kin_value more;
    const kin_value *item;
    if (kin__list_of(call, container, &more) == KIN__RAISE) return KIN__RAISE;
    int rc = 0;
    for (size_t at = 0; rc == 0 && kin_value_next(&more, &at, &item, NULL);) {
        rc = kin_value_list_append(list, kin__keep(call, item));
        if (rc < 0) kin__keep_not(call, item);
    }
    kin_value_clear(&more);
    return rc < 0 ? kin__raise_code(call, rc) : KIN__RETURN;
}

/* ---- slices that change a list ----------------------------------------------------------------------------- */

/* Takes `count` items out from `first` on. */
static void take_out(struct kin__call *call, kin_value *list, long first, long count)
{
    for (long i = 0; i < count; i++) {
        kin_value item = kin_value_ref(kin_value_at(list, first + i));
        kin__unkeep(call->server, &item);
    }
    kin_value_list_splice(list, (size_t)first, (size_t)count, NULL, 0);
}

/* Puts copies of what is in `more` in the place of `count` items; without memory nothing has changed. */
static int replace(struct kin__call *call, kin_value *list, long first, long count, const kin_value *more)
{
    const kin_value *item;
    long added = 0;
    int rc = 0;
    for (size_t at = 0; rc == 0 && kin_value_next(more, &at, &item, NULL);) {
        rc = kin_value_list_insert(list, first + count + added, kin__keep(call, item));
        if (rc == 0)
            added++;
        else
            kin__keep_not(call, item);
    }
    if (rc == 0)
        take_out(call, list, first, count);
    else
        take_out(call, list, first + count, added);
    return rc;
}

static enum kin__outcome set_stepped(struct kin__call *call, kin_value *list, const kin_value *more,
                                     long start, long step, long count)
{
    if (kin_value_len(more) != count)
        return kin__raisef(call, "ValueError",
                           "attempt to assign sequence of size %ld to extended slice of size %ld",
                           kin_value_len(more), count);
    for (long i = 0; i < count; i++) {
        kin_value old = kin_value_ref(kin_value_at(list, start + i * step));
        kin_value_list_set(list, start + i * step, kin__keep(call, kin_value_at(more, i)));
        kin__unkeep(call->server, &old);
    }
    return kin__return_none(call);
}

enum kin__outcome kin__set_slice(struct kin__call *call, kin_value *list)
{
    long start, step, count;
    kin_value more;
    int rc = kin_value_slice_over(call->argument[0], kin_value_len(list), &start, &step, &count);
    if (rc < 0) return no_slice(call, rc);
    if (kin__list_of(call, call->argument[1], &more) == KIN__RAISE) {
        kin_value_clear(&call->result);
        return kin__raisef(call, "TypeError", "%s",
                           step == 1 ? "can only assign an iterable"
                                     : "must assign iterable to extended slice");
    }
    enum kin__outcome outcome = KIN__RETURN;
    if (step != 1) {
        outcome = set_stepped(call, list, &more, start, step, count);
    } else {
        rc = replace(call, list, start, count, &more);
        outcome = rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
    }
    kin_value_clear(&more);
    return outcome;
}

enum kin__outcome kin__delete_slice(struct kin__call *call, kin_value *list)
{
    long start, step, count;
    int rc = kin_value_slice_over(call->argument[0], kin_value_len(list), &start, &step, &count);
    if (rc < 0) return no_slice(call, rc);
    if (step == 1) {
        take_out(call, list, start, count);
        return kin__return_none(call);
    }
    /* From the last one to the first, so that those still to go keep their places. */
    for (long i = 0; i < count; i++)
        take_out(call, list, step > 0 ? start + (count - 1 - i) * step : start + i * step, 1);
    return kin__return_none(call);
}

/* ---- iterators ------------------------------------------------------------------------------------------------ */

struct iterator {
    struct kin__managed object;
    kin_value container;
    long length;
    size_t at;
    bool closed;
};

static struct iterator *iterator_of(struct kin__managed *object)
{
    return (struct iterator *)(void *)object;
}

enum kin__outcome kin__iterate(struct kin__call *call, const kin_value *container, bool live)
{
    int rc = kin_value_error_code(container);
    if (rc < 0) return kin__raise_code(call, rc);
    if (!kin__may_make(call)) return KIN__RAISE;
    struct kin__managed *made = kin__managed_make(call->server, &kin__type_iterator);
    if (made == NULL) return kin__raise_code(call, -ENOMEM);
    struct iterator *iterator = iterator_of(made);
    iterator->container = kin_value_ref(container);
    iterator->length = live ? kin_value_len(container) : -1;
    call->created = made;
    return KIN__CREATED;
}

static enum kin__outcome iterator_next(struct kin__call *call)
{
    struct iterator *iterator = iterator_of(call->object);
    const kin_value *item;
    if (!iterator->closed && iterator->length >= 0 &&
        kin_value_len(&iterator->container) != iterator->length) {
        iterator->closed = true;
        return kin__raisef(call, "RuntimeError", "%s changed size during iteration",
                           kin_value_kind(&iterator->container) == KIN_VALUE_DICT ? "dictionary" : "Set");
    }
    if (iterator->closed || !kin_value_next(&iterator->container, &iterator->at, &item, NULL)) {
        iterator->closed = true;
        return kin__raise(call, kin_value_error("StopIteration", kin_value_tuple(NULL, 0)));
    }
    return kin__return(call, kin_value_ref(item));
}

/* Generators have the methods that these have not. */
static enum kin__outcome not_a_generator(struct kin__call *call)
{
    const struct iterator *iterator = iterator_of(call->object);
    kin_value_kinds kind = kin_value_kind(&iterator->container);
    return kin__raisef(call, "AttributeError", "'%s' object has no attribute '%s'",
                       kind == KIN_VALUE_DICT  ? "dict_keyiterator"
                       : kind == KIN_VALUE_SET ? "set_iterator"
                                               : "list_reverseiterator",
                       call->method->name);
}

static void iterator_drop(struct kin__server *server, struct kin__managed *object)
{
    (void)server;
    kin_value_clear(&iterator_of(object)->container);
}

static enum kin__outcome iterator_make(struct kin__call *call)
{
    return kin__raisef(call, "TypeError", "an iterator comes from a container");
}

static const struct kin__method iterator_methods[] = {
    {"__next__", iterator_next, "", 0, KIN__SLOT},
    {"send", not_a_generator, NULL, 0, KIN__BUILTIN},
    {"throw", not_a_generator, NULL, 0, KIN__BUILTIN},
    {"close", not_a_generator, NULL, 0, KIN__BUILTIN},
    {0},
};

const struct kin__type kin__type_iterator = {
    .name = "Iterator",
    .size = sizeof(struct iterator),
    .make = {"Iterator", iterator_make, NULL, 0, KIN__PYTHON},
    .drop = iterator_drop,
    .methods = iterator_methods,
    .unnamed = true,
};
