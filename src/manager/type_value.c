/* type_value.c: Value, Array, Namespace. */
#include <errno.h>
#include <string.h>

#include <kin/container.h>
#include <kin/object.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/sequence.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

/* ---- Value ------------------------------------------------------------------------------------------- */

/* As in Python, one that is served by a manager holds anything, whatever its type code says. */
struct value {
    struct kin__managed object;
    kin_value typecode;
    kin_value value; /* kept */
};

static struct value *value_of(struct kin__managed *object)
{
    return (struct value *)(void *)object;
}

static enum kin__outcome value_make(struct kin__call *call)
{
    value_of(call->object)->typecode = kin_value_ref(call->argument[0]);
    value_of(call->object)->value = kin__keep(call, call->argument[1]);
    return KIN__RETURN;
}

static void value_drop(struct kin__server *server, struct kin__managed *object)
{
    kin_value_clear(&value_of(object)->typecode);
    kin__unkeep(server, &value_of(object)->value);
}

static enum kin__outcome value_get(struct kin__call *call)
{
    return kin__return(call, kin_value_ref(&value_of(call->object)->value));
}

static enum kin__outcome value_set(struct kin__call *call)
{
    kin_value old = value_of(call->object)->value;
    value_of(call->object)->value = kin__keep(call, call->argument[0]);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

/* As Python's class has it. */
static kin_value value_copy(struct kin__call *call)
{
    const struct value *value = value_of(call->object);
    kin_value state = kin_value_build("{svsv}", "_typecode", kin_value_ref(&value->typecode), "_value",
                                      kin_value_ref(&value->value));
    return kin_value_object("multiprocessing.managers.Value", kin_value_tuple(NULL, 0), state);
}

static void add_text(kin_buffer *text, int *rc, const char *more)
{
    if (*rc == 0) *rc = kin_buffer_append(text, more, strlen(more));
}

static void add_repr(kin_buffer *text, int *rc, const kin_value *value)
{
    kin_value repr = kin__repr(value);
    size_t size = 0;
    const char *words = kin_value_get_str(&repr, &size);
    if (*rc == 0) *rc = words != NULL ? kin_buffer_append(text, words, size) : kin_value_error_code(&repr);
    kin_value_clear(&repr);
}

/* Uses the text up. */
static kin_value finish_text(kin_buffer *text, int rc)
{
    kin_value made =
        rc < 0 ? kin_value_failed(rc) : kin_value_str_sized((const char *)text->data, text->size);
    kin_buffer_free(text);
    return made;
}

/* "Value('i', 5)" */
static kin_value value_text(struct kin__call *call)
{
    const struct value *value = value_of(call->object);
    kin_value pair = kin_value_build("(vv)", kin_value_ref(&value->typecode), kin_value_ref(&value->value));
    kin_buffer text = {0};
    int rc = 0;
    add_text(&text, &rc, "Value");
    add_repr(&text, &rc, &pair);
    kin_value_clear(&pair);
    return finish_text(&text, rc);
}

static void value_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    const struct value *value = value_of(object);
    (void)state;
    *arguments = kin_value_build("(vv)", kin_value_ref(&value->typecode), kin_value_ref(&value->value));
}

static const struct kin__method value_methods[] = {
    {"get", value_get, "", 0, KIN__PYTHON},
    {"set", value_set, "value", 1, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_value = {
    .name = "Value",
    .size = sizeof(struct value),
    .make = {"__init__", value_make, "typecode value lock", 2, KIN__PYTHON},
    .drop = value_drop,
    .copy = value_copy,
    .text = value_text,
    .methods = value_methods,
    .save = value_save,
    .reads = "get",
};

/* ---- Array --------------------------------------------------------------------------------------------- */

struct array {
    struct kin__managed object;
    kin_value items; /* an array */
};

static kin_value *items_of(const struct kin__call *call)
{
    return &((struct array *)(void *)call->object)->items;
}

static enum kin__outcome too_large(struct kin__call *call, const char *what, const char *type)
{
    return kin__raisef(call, "OverflowError", "%s too large to convert to %s", what, type);
}

/* An integer is too large or too small for the array's items: what Python says differs from type to type. */
static enum kin__outcome out_of_range(struct kin__call *call, const kin_value *item)
{
    char typecode = (char)kin_value_array_typecode(items_of(call));
    kin_value nought = kin_value_int(0);
    int64_t given;
    bool fits = kin_value_get_int(item, &given) == 0, below = kin_value_less(item, &nought) == 1;
    const char *type = "signed integer";
    if (typecode == 'q' || (typecode == 'Q' && !below))
        return kin__raisef(call, "OverflowError", "int too big to convert");
    if (typecode == 'Q') return kin__raisef(call, "OverflowError", "can't convert negative int to unsigned");
    if ((typecode == 'I' || typecode == 'L') && below)
        return kin__raisef(call, "OverflowError", "can't convert negative value to unsigned int");
    if (typecode == 'L' || (typecode == 'I' && !fits))
        return too_large(call, "Python int", "C unsigned long");
    if (!fits) return too_large(call, "Python int", "C long");
    bool is_short = given >= INT16_MIN && given <= INT16_MAX,
         is_int = given >= INT32_MIN && given <= INT32_MAX;
    if (typecode == 'b') type = is_short ? "signed char" : "signed short integer";
    if (typecode == 'B') type = "unsigned byte integer";
    if (typecode == 'h') type = "signed short integer";
    if (typecode == 'H' && is_int) type = "unsigned short";
    if (typecode == 'I') type = "unsigned int";
    return kin__raisef(call, "OverflowError", "%s is %s", type,
                       below ? "less than minimum" : "greater than maximum");
}

static enum kin__outcome store(struct kin__call *call, long index, const kin_value *item)
{
    int rc = kin_value_array_set(items_of(call), index, item);
    bool real = strchr("fd", kin_value_array_typecode(items_of(call))) != NULL;
    if (rc == KIN_EKIND)
        return kin__raisef(call, "TypeError",
                           real ? "must be real number, not %s"
                                : "'%s' object cannot be interpreted as an integer",
                           kin_value_kind_name(item));
    if (rc == -ERANGE) return real ? too_large(call, "int", "float") : out_of_range(call, item);
    return rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
}

static int append(void *list, kin_value item)
{
    return kin_value_list_append(list, item);
}

/* An array of `count` zeros. */
static kin_value zeros(char typecode, size_t count)
{
    size_t size = kin__array_item_size(typecode);
    if (size == 0) return kin_value_failed(-EINVAL);
    void *items = kin__os_calloc(count + 1, size);
    if (items == NULL) return kin_value_failed(-ENOMEM);
    kin_value array = kin_value_array(typecode, items, count);
    kin__os_free(items);
    return array;
}

#define BAD_TYPECODE "bad typecode (must be b, B, u, h, H, i, I, l, L, q, Q, f or d)"

static enum kin__outcome array_make(struct kin__call *call)
{
    const char *typecode = kin_value_get_str(call->argument[0], NULL);
    if (typecode == NULL || strlen(typecode) != 1)
        return kin__raisef(call, "TypeError", "array() argument 1 must be a unicode character, not %s",
                           kin_value_kind_name(call->argument[0]));
    kin_value given = kin_value_list(NULL, 0);
    enum kin__outcome outcome = kin__for_each(call, call->argument[1], append, &given);
    if (outcome == KIN__RETURN) {
        *items_of(call) = zeros(typecode[0], (size_t)kin_value_len(&given));
        int rc = kin_value_error_code(items_of(call));
        if (rc < 0)
            outcome =
                rc == -EINVAL ? kin__raisef(call, "ValueError", BAD_TYPECODE) : kin__raise_code(call, rc);
    }
    for (long i = 0; outcome == KIN__RETURN && i < kin_value_len(&given); i++)
        outcome = store(call, i, kin_value_at(&given, i));
    if (outcome == KIN__RAISE) kin_value_clear(items_of(call));
    kin_value_clear(&given);
    return outcome;
}

static void array_drop(struct kin__server *server, struct kin__managed *object)
{
    (void)server;
    kin_value_clear(&((struct array *)(void *)object)->items);
}

static kin_value array_copy(struct kin__call *call)
{
    return kin_value_ref(items_of(call));
}

static enum kin__outcome array_len(struct kin__call *call)
{
    return kin__return(call, kin_value_int(kin_value_len(items_of(call))));
}

static enum kin__outcome array_getitem(struct kin__call *call)
{
    return kin__getitem(call, items_of(call), "array");
}

/* Puts the items of `from` in place of `count` others. */
static enum kin__outcome replace(struct kin__call *call, long start, long count, const kin_value *from)
{
    kin_value *items = items_of(call);
    char typecode = (char)kin_value_array_typecode(items);
    size_t size = kin__array_item_size(typecode), old_size = 0, more = 0;
    const uint8_t *old = kin_value_get_bytes(items, &old_size), *put = kin_value_get_bytes(from, &more);
    size_t first = (size_t)start * size, last = first + (size_t)count * size;
    uint8_t *bytes = kin__os_malloc(old_size + more + 1);
    if (bytes == NULL) return kin__raise_code(call, -ENOMEM);
    memcpy(bytes, old, first);
    memcpy(bytes + first, put, more);
    memcpy(bytes + first + more, old + last, old_size - last);
    kin_value made = kin_value_array(typecode, bytes, (first + more + old_size - last) / size);
    kin__os_free(bytes);
    int rc = kin_value_error_code(&made);
    if (rc < 0) return kin__raise_code(call, rc);
    kin_value_clear(items);
    *items = made;
    return kin__return_none(call);
}

/* array[slice] = an array of the same type; of as many items, if these do not follow each other. */
static enum kin__outcome set_slice(struct kin__call *call)
{
    long start, step, count;
    const kin_value *from = call->argument[1];
    if (kin_value_kind(from) != KIN_VALUE_ARRAY)
        return kin__raisef(call, "TypeError", "can only assign array (not \"%s\") to array slice",
                           kin_value_kind_name(from));
    if (kin_value_array_typecode(from) != kin_value_array_typecode(items_of(call)))
        return kin__raisef(call, "TypeError", "bad argument type for built-in operation");
    int rc = kin_value_slice_over(call->argument[0], kin_value_len(items_of(call)), &start, &step, &count);
    if (rc < 0) return kin__raise_code(call, rc);
    if (step == 1) return replace(call, start, count, from);
    if (kin_value_len(from) != count)
        return kin__raisef(call, "ValueError",
                           "attempt to assign array of size %ld to extended slice of size %ld",
                           kin_value_len(from), count);
    enum kin__outcome outcome = KIN__RETURN;
    for (long i = 0; i < count && outcome == KIN__RETURN; i++) {
        kin_value item = kin_value_array_get(from, i);
        outcome = store(call, start + i * step, &item);
        kin_value_clear(&item);
    }
    return outcome;
}

static enum kin__outcome array_setitem(struct kin__call *call)
{
    long index;
    if (kin_value_kind(call->argument[0]) == KIN_VALUE_SLICE) return set_slice(call);
    if (!kin__index(call, call->argument[0], kin_value_len(items_of(call)),
                    "array assignment index out of range", &index))
        return KIN__RAISE;
    return store(call, index, call->argument[1]);
}

static void array_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    const kin_value *items = &((struct array *)(void *)object)->items;
    char typecode[2] = {(char)kin_value_array_typecode(items), '\0'};
    (void)state;
    *arguments = kin_value_build("(sv)", typecode, kin_value_ref(items));
}

static const struct kin__method array_methods[] = {
    {"__len__", array_len, "", 0, KIN__SLOT},
    {"__getitem__", array_getitem, "index", 1, KIN__SLOT},
    {"__setitem__", array_setitem, "index value", 2, KIN__SLOT_UNPACKED},
    {0},
};

const struct kin__type kin__type_array = {
    .name = "Array",
    .size = sizeof(struct array),
    .make = {"Array", array_make, "typecode sequence lock", 2, KIN__FUNCTION},
    .drop = array_drop,
    .copy = array_copy,
    .methods = array_methods,
    .save = array_save,
    .reads = "__len__ __getitem__",
};

/* ---- Namespace -------------------------------------------------------------------------------------------- */

struct namespace
{
    struct kin__managed object;
    kin_value names; /* a dict, whose values are kept */
};

static kin_value *names_of(const struct kin__call *call)
{
    return &((struct namespace *)(void *)call->object)->names;
}

static bool is_name(struct kin__call *call, const kin_value *name)
{
    if (kin_value_kind(name) == KIN_VALUE_STR) return true;
    kin__raisef(call, "TypeError", "attribute name must be string, not '%s'", kin_value_kind_name(name));
    return false;
}

static enum kin__outcome set_name(struct kin__call *call, const kin_value *name, const kin_value *value)
{
    if (!is_name(call, name)) return KIN__RAISE;
    const kin_value *there = kin_value_dict_get(names_of(call), name);
    kin_value old = there != NULL ? kin_value_ref(there) : kin_value_none();
    int rc = kin_value_dict_set(names_of(call), kin_value_ref(name), kin__keep(call, value));
    if (rc >= 0) {
        kin__unkeep(call->server, &old);
        return kin__return_none(call);
    }
    kin_value_clear(&old);
    kin__keep_not(call, value);
    return kin__raise_code(call, rc);
}

static enum kin__outcome namespace_make(struct kin__call *call)
{
    const kin_value *name, *value;
    enum kin__outcome outcome = KIN__RETURN;
    long given = kin_value_len(call->arguments) - (long)call->skip;
    if (given > 0)
        return kin__raisef(call, "TypeError",
                           "Namespace.__init__() takes 1 positional argument but %ld were given", given + 1);
    *names_of(call) = kin_value_dict();
    for (size_t at = 0; outcome == KIN__RETURN && kin_value_next(call->keywords, &at, &name, &value);)
        outcome = set_name(call, name, value);
    if (outcome == KIN__RAISE) kin__unkeep(call->server, names_of(call));
    return outcome;
}

static void namespace_drop(struct kin__server *server, struct kin__managed *object)
{
    kin__unkeep(server, &((struct namespace *)(void *)object)->names);
}

static enum kin__outcome no_attribute(struct kin__call *call)
{
    return kin__raisef(call, "AttributeError", "'Namespace' object has no attribute '%.100s'",
                       kin_value_get_str(call->argument[0], NULL));
}

static enum kin__outcome namespace_get(struct kin__call *call)
{
    if (!is_name(call, call->argument[0])) return KIN__RAISE;
    const kin_value *value = kin_value_dict_get(names_of(call), call->argument[0]);
    if (value == NULL && strcmp(kin_value_get_str(call->argument[0], NULL), "__dict__") == 0)
        return kin__return(call, kin_value_ref(names_of(call)));
    return value != NULL ? kin__return(call, kin_value_ref(value)) : no_attribute(call);
}

static enum kin__outcome namespace_set(struct kin__call *call)
{
    return set_name(call, call->argument[0], call->argument[1]);
}

static enum kin__outcome namespace_delete(struct kin__call *call)
{
    if (!is_name(call, call->argument[0])) return KIN__RAISE;
    if (kin_value_dict_get(names_of(call), call->argument[0]) == NULL) return no_attribute(call);
    kin_value old = kin_value_dict_pop(names_of(call), call->argument[0]);
    kin__unkeep(call->server, &old);
    return kin__return_none(call);
}

/* As Python's class has it. */
static kin_value namespace_copy(struct kin__call *call)
{
    return kin_value_object("multiprocessing.managers.Namespace", kin_value_tuple(NULL, 0),
                            kin_value_ref(names_of(call)));
}

/* "Namespace(x=1, y=2)", sorted, without the names that begin with an underscore. */
static kin_value namespace_text(struct kin__call *call)
{
    kin_value sorted = kin_value_list(NULL, 0);
    const kin_value *name;
    kin_buffer text = {0};
    int rc = 0;
    add_text(&text, &rc, "Namespace(");
    for (size_t at = 0; kin_value_next(names_of(call), &at, &name, NULL);)
        if (kin_value_get_str(name, NULL)[0] != '_') kin_value_list_append(&sorted, kin_value_ref(name));
    kin_value_list_sort(&sorted, false);
    for (long i = 0; i < kin_value_len(&sorted); i++) {
        name = kin_value_at(&sorted, i);
        if (i > 0) add_text(&text, &rc, ", ");
        add_text(&text, &rc, kin_value_get_str(name, NULL));
        add_text(&text, &rc, "=");
        add_repr(&text, &rc, kin_value_dict_get(names_of(call), name));
    }
    add_text(&text, &rc, ")");
    kin_value_clear(&sorted);
    return finish_text(&text, rc);
}

static void namespace_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    (void)arguments;
    *state = kin_value_ref(&((struct namespace *)(void *)object)->names);
}

static int namespace_restore(struct kin__call *call, const kin_value *state)
{
    const kin_value *name, *value;
    if (kin_value_kind(state) != KIN_VALUE_DICT) return KIN_ESNAPSHOT;
    for (size_t at = 0; kin_value_next(state, &at, &name, &value);) {
        if (set_name(call, name, value) == KIN__RAISE) return KIN_ESNAPSHOT;
    }
    return 0;
}

static const struct kin__method namespace_methods[] = {
    {"__getattribute__", namespace_get, "name", 1, KIN__SLOT},
    {"__setattr__", namespace_set, "name value", 2, KIN__SLOT_UNPACKED},
    {"__delattr__", namespace_delete, "name", 1, KIN__SLOT},
    {0},
};

const struct kin__type kin__type_namespace = {
    .name = "Namespace",
    .size = sizeof(struct namespace),
    .make = {"__init__", namespace_make, NULL, 0, KIN__PYTHON},
    .drop = namespace_drop,
    .copy = namespace_copy,
    .text = namespace_text,
    .methods = namespace_methods,
    .save = namespace_save,
    .restore = namespace_restore,
    .reads = "__getattribute__",
};
