/* type_dict.c: dict, with the methods and errors of Python's.
 *
 * The values are kept (object.h); keys hold no proxies.
 */
#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/sequence.h"
#include "manager/types.h"
#include "value/value.h"

struct dict {
    struct kin__managed object;
    kin_value entries;
};

static kin_value *entries_of(const struct kin__call *call)
{
    return &((struct dict *)(void *)call->object)->entries;
}

static enum kin__outcome key_error(struct kin__call *call, const kin_value *key)
{
    return kin__raise(call, kin_value_error("KeyError", kin_value_build("(v)", kin_value_ref(key))));
}

/* Looks for the entry of argument 0; NULL: there is none.  Raises, and returns false, when it can be no key. */
static bool look_up(struct kin__call *call, const kin_value **item)
{
    uint64_t hash;
    *item = kin_value_dict_get(entries_of(call), call->argument[0]);
    if (*item != NULL || kin_value_hash(call->argument[0], &hash) != KIN_EKIND) return true;
    kin__unhashable(call, call->argument[0]);
    return false;
}

/* ---- making and changing ------------------------------------------------------------------------------ */

static enum kin__outcome store(struct kin__call *call, const kin_value *key, const kin_value *value)
{
    const kin_value *there = kin_value_dict_get(entries_of(call), key);
    if (kin__names_objects(call, key)) return kin__raisef(call, "TypeError", "a proxy is no key");
    kin_value old = there != NULL ? kin_value_ref(there) : kin_value_none();
    int rc = kin_value_dict_set(entries_of(call), kin_value_ref(key), kin__keep(call, value));
    if (rc < 0) {
        kin_value_clear(&old);
        kin__keep_not(call, value);
    } else {
        kin__unkeep(call->server, &old);
    }
    if (rc == KIN_EKIND) return kin__unhashable(call, key);
    return rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
}

/* Any two items that iterating over it gives. */
static enum kin__outcome store_pair(struct kin__call *call, const kin_value *pair, long number)
{
    kin_value two;
    if (kin__list_of(call, pair, &two) == KIN__RAISE) {
        kin_value_clear(&call->result);
        return kin__raisef(call, "TypeError",
                           "cannot convert dictionary update sequence element #%ld to a sequence", number);
    }
    long length = kin_value_len(&two);
    enum kin__outcome outcome =
        length == 2 ? store(call, kin_value_at(&two, 0), kin_value_at(&two, 1))
                    : kin__raisef(call, "ValueError",
                                  "dictionary update sequence element #%ld has length %ld; 2 is required",
                                  number, length);
    kin_value_clear(&two);
    return outcome;
}

static enum kin__outcome store_pairs(struct kin__call *call, const kin_value *from)
{
    const kin_value *pair;
    kin_value pairs;
    enum kin__outcome outcome = kin__list_of(call, from, &pairs);
    if (outcome == KIN__RAISE) return outcome;
    long number = 0;
    for (size_t at = 0; outcome == KIN__RETURN && kin_value_next(&pairs, &at, &pair, NULL); number++)
        outcome = store_pair(call, pair, number);
    kin_value_clear(&pairs);
    return outcome;
}

/* A dict, or an object of this manager that is one, or what holds pairs. */
static enum kin__outcome store_from(struct kin__call *call, const kin_value *from)
{
    const kin_value *key, *item;
    kin_value contents;
    enum kin__outcome outcome = kin__contents(call, from, &contents);
    if (outcome == KIN__RAISE) return outcome;
    if (kin_value_kind(&contents) == KIN_VALUE_DICT) from = &contents;
    if (kin_value_kind(from) != KIN_VALUE_DICT)
        outcome = store_pairs(call, from);
    else
        for (size_t at = 0; outcome == KIN__RETURN && kin_value_next(from, &at, &key, &item);)
            outcome = store(call, key, item);
    kin_value_clear(&contents);
    return outcome;
}

/* dict.update: what is given by position is a dict or an iterable of pairs; then come the keywords. */
static enum kin__outcome update(struct kin__call *call)
{
    long given = kin_value_len(call->arguments) - (long)call->skip;
    const kin_value *key, *item, *from = kin_value_at(call->arguments, (long)call->skip);
    enum kin__outcome outcome = KIN__RETURN;
    if (given > 1)
        return kin__raisef(call, "TypeError", "%s expected at most 1 argument, got %ld", call->method->name,
                           given);
    if (given == 1) outcome = store_from(call, from);
    for (size_t at = 0; outcome == KIN__RETURN && kin_value_next(call->keywords, &at, &key, &item);)
        outcome = store(call, key, item);
    return outcome;
}

/* dict | other, other | dict: a new dict, in which the right one's entries count. */
static enum kin__outcome merge(struct kin__call *call, bool reflected)
{
    const kin_value *key, *item, *other = call->argument[0], *mine = entries_of(call);
    if (kin_value_kind(other) != KIN_VALUE_DICT)
        return kin__raisef(call, "TypeError", "unsupported operand type(s) for |: '%s' and '%s'",
                           reflected ? kin_value_kind_name(other) : "dict",
                           reflected ? "dict" : kin_value_kind_name(other));
    kin_value merged = kin_value_dict();
    const kin_value *parts[2] = {reflected ? other : mine, reflected ? mine : other};
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        for (size_t at = 0; rc == 0 && kin_value_next(parts[i], &at, &key, &item);)
            rc = kin_value_dict_set(&merged, kin_value_ref(key), kin_value_ref(item));
    }
    if (rc == 0) return kin__return(call, merged);
    kin_value_clear(&merged);
    return kin__raise_code(call, rc);
}

static enum kin__outcome dict_or(struct kin__call *call)
{
    return merge(call, false);
}

static enum kin__outcome dict_ror(struct kin__call *call)
{
    return merge(call, true);
}

static enum kin__outcome dict_fromkeys(struct kin__call *call)
{
    const kin_value none = {0}, *item, *value = call->argument[1] != NULL ? call->argument[1] : &none;
    kin_value keys;
    int rc = 0;
    if (kin__list_of(call, call->argument[0], &keys) == KIN__RAISE) return KIN__RAISE;
    kin_value made = kin_value_dict();
    for (size_t at = 0; kin_value_next(&keys, &at, &item, NULL);) {
        rc = kin_value_dict_set(&made, kin_value_ref(item), kin_value_ref(value));
        if (rc < 0) break;
    }
    enum kin__outcome outcome = rc == KIN_EKIND ? kin__unhashable(call, item)
                                : rc < 0        ? kin__raise_code(call, rc)
                                                : kin__return(call, kin_value_ref(&made));
    kin_value_clear(&made);
    kin_value_clear(&keys);
    return outcome;
}

static enum kin__outcome make(struct kin__call *call)
{
    *entries_of(call) = kin_value_dict();
    enum kin__outcome outcome = update(call);
    if (outcome == KIN__RAISE) kin__unkeep(call->server, entries_of(call));
    return outcome;
}

static void drop(struct kin__server *server, struct kin__managed *object)
{
    kin__unkeep(server, &((struct dict *)(void *)object)->entries);
}

static kin_value copy(struct kin__call *call)
{
    return kin_value_ref(entries_of(call));
}

static enum kin__outcome dict_copy(struct kin__call *call)
{
    return kin__return(call, copy(call));
}

static enum kin__outcome dict_setitem(struct kin__call *call)
{
    return store(call, call->argument[0], call->argument[1]);
}

static enum kin__outcome dict_clear(struct kin__call *call)
{
    kin_value old = *entries_of(call);
    *entries_of(call) = kin_value_dict();
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

/* ---- entries go out ------------------------------------------------------------------------------------- */

static enum kin__outcome dict_delitem(struct kin__call *call)
{
    const kin_value *item;
    if (!look_up(call, &item)) return KIN__RAISE;
    if (item == NULL) return key_error(call, call->argument[0]);
    kin_value old = kin_value_dict_pop(entries_of(call), call->argument[0]);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

static enum kin__outcome dict_pop(struct kin__call *call)
{
    const kin_value *item;
    if (!look_up(call, &item)) return KIN__RAISE;
    if (item == NULL) {
        if (call->argument[1] == NULL) return key_error(call, call->argument[0]);
        return kin__return(call, kin_value_ref(call->argument[1]));
    }
    call->leaves = true;
    return kin__return(call, kin_value_dict_pop(entries_of(call), call->argument[0]));
}

static enum kin__outcome dict_popitem(struct kin__call *call)
{
    const kin_value *key, *item, *last = NULL;
    for (size_t at = 0; kin_value_next(entries_of(call), &at, &key, &item);) last = key;
    if (last == NULL) return kin__raisef(call, "KeyError", "popitem(): dictionary is empty");
    kin_value taken = kin_value_ref(last);
    kin_value value = kin_value_dict_pop(entries_of(call), &taken);
    call->leaves = true;
    return kin__return(call, kin_value_build("(vv)", taken, value));
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

static enum kin__outcome dict_len(struct kin__call *call)
{
    return kin__return(call, kin_value_int(kin_value_len(entries_of(call))));
}

static enum kin__outcome dict_contains(struct kin__call *call)
{
    const kin_value *item;
    return look_up(call, &item) ? kin__return(call, kin_value_bool(item != NULL)) : KIN__RAISE;
}

static enum kin__outcome dict_getitem(struct kin__call *call)
{
    const kin_value *item;
    if (!look_up(call, &item)) return KIN__RAISE;
    return item != NULL ? kin__return(call, kin_value_ref(item)) : key_error(call, call->argument[0]);
}

static enum kin__outcome dict_get(struct kin__call *call)
{
    const kin_value *item;
    if (!look_up(call, &item)) return KIN__RAISE;
    if (item == NULL) item = call->argument[1];
    return kin__return(call, item != NULL ? kin_value_ref(item) : kin_value_none());
}

static enum kin__outcome dict_setdefault(struct kin__call *call)
{
    const kin_value *item = kin_value_dict_get(entries_of(call), call->argument[0]);
    const kin_value none = {0}, *given = call->argument[1] != NULL ? call->argument[1] : &none;
    if (item != NULL) return kin__return(call, kin_value_ref(item));
    if (store(call, call->argument[0], given) == KIN__RAISE) return KIN__RAISE;
    return kin__return(call, kin_value_ref(given));
}

enum part { KEYS, VALUES, ITEMS };

static enum kin__outcome list_of(struct kin__call *call, enum part part)
{
    kin_value list = kin_value_list(NULL, 0);
    const kin_value *key, *item;
    for (size_t at = 0; kin_value_next(entries_of(call), &at, &key, &item);)
        kin__collect(&list, part == KEYS ? kin_value_ref(key)
                            : part == VALUES
                                ? kin_value_ref(item)
                                : kin_value_build("(vv)", kin_value_ref(key), kin_value_ref(item)));
    return kin__return(call, list);
}

static enum kin__outcome dict_keys(struct kin__call *call)
{
    return list_of(call, KEYS);
}

static enum kin__outcome dict_values(struct kin__call *call)
{
    return list_of(call, VALUES);
}

static enum kin__outcome dict_items(struct kin__call *call)
{
    return list_of(call, ITEMS);
}

static enum kin__outcome dict_iter(struct kin__call *call)
{
    return kin__iterate(call, entries_of(call), true);
}

static enum kin__outcome dict_reversed(struct kin__call *call)
{
    list_of(call, KEYS);
    kin_value keys = call->result;
    kin_value_list_reverse(&keys);
    enum kin__outcome outcome = kin__iterate(call, &keys, false);
    kin_value_clear(&keys);
    return outcome;
}

static void save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    (void)arguments;
    *state = kin_value_ref(&((struct dict *)(void *)object)->entries);
}

static int restore(struct kin__call *call, const kin_value *state)
{
    const kin_value *key, *item;
    if (kin_value_kind(state) != KIN_VALUE_DICT) return KIN_ESNAPSHOT;
    for (size_t at = 0; kin_value_next(state, &at, &key, &item);) {
        if (store(call, key, item) == KIN__RAISE) return KIN_ESNAPSHOT;
    }
    return 0;
}

static const struct kin__method methods[] = {
    {"__contains__", dict_contains, "key", 1, KIN__BUILTIN},
    {"__delitem__", dict_delitem, "key", 1, KIN__SLOT},
    {"__getitem__", dict_getitem, "key", 1, KIN__BUILTIN},
    {"__ior__", update, "other", 1, KIN__SLOT},
    {"__iter__", dict_iter, "", 0, KIN__SLOT},
    {"__len__", dict_len, "", 0, KIN__SLOT},
    {"__or__", dict_or, "other", 1, KIN__SLOT},
    {"__reversed__", dict_reversed, "", 0, KIN__BUILTIN},
    {"__ror__", dict_ror, "other", 1, KIN__SLOT},
    {"__setitem__", dict_setitem, "key value", 2, KIN__SLOT_UNPACKED},
    {"clear", dict_clear, "", 0, KIN__BUILTIN},
    {"copy", dict_copy, "", 0, KIN__BUILTIN},
    {"fromkeys", dict_fromkeys, "iterable value", 1, KIN__BUILTIN},
    {"get", dict_get, "key default", 1, KIN__BUILTIN},
    {"has_key", dict_contains, "key", 1, KIN__BUILTIN},
    {"items", dict_items, "", 0, KIN__BUILTIN},
    {"keys", dict_keys, "", 0, KIN__BUILTIN},
    {"pop", dict_pop, "key default", 1, KIN__BUILTIN},
    {"popitem", dict_popitem, "", 0, KIN__BUILTIN},
    {"setdefault", dict_setdefault, "key default", 1, KIN__BUILTIN},
    {"update", update, NULL, 0, KIN__BUILTIN},
    {"values", dict_values, "", 0, KIN__BUILTIN},
    {0},
};

const struct kin__type kin__type_dict = {
    .name = "dict",
    .size = sizeof(struct dict),
    .make = {"dict", make, NULL, 0, KIN__BUILTIN},
    .drop = drop,
    .copy = copy,
    .save = save,
    .restore = restore,
    .methods = methods,
    .reads = "__contains__ __getitem__ __iter__ __len__ __or__ __reversed__ __ror__ copy fromkeys get "
             "has_key items "
             "keys values",
};
