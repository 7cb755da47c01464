/* type_set.c: set, with the methods and errors of Python's.
 *
 * Items hold no proxies: these are no keys.  What is combined with the set comes as any container
 * (methods), or as a set or frozenset (operators); a set that is in the way of being changed is
 * changed when all of what was given has been read, or not at all.
 */
#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/sequence.h"
#include "manager/types.h"

struct set {
    struct kin__managed object;
    kin_value items;
};

static kin_value *items_of(const struct kin__call *call)
{
    return &((struct set *)(void *)call->object)->items;
}

/* ---- reading what is given ------------------------------------------------------------------------- */

static int add_to(void *set, kin_value item)
{
    return kin_value_set_add(set, item);
}

static enum kin__outcome set_of_items(struct kin__call *call, const kin_value *container, kin_value *set)
{
    const kin_value *item;
    uint64_t hash;
    *set = kin_value_set();
    if (kin__names_objects(call, container)) return kin__raisef(call, "TypeError", "a proxy is no key");
    enum kin__outcome outcome = kin__for_each(call, container, add_to, set);
    if (outcome == KIN__RETURN) return outcome;
    kin_value_clear(set);
    /* Python names the kind of what has no hash. */
    for (size_t at = 0; kin_value_next(container, &at, &item, NULL);) {
        if (kin_value_hash(item, &hash) != KIN_EKIND) continue;
        kin_value_clear(&call->result);
        return kin__unhashable(call, item);
    }
    return outcome;
}

/* The items of any container, as a set. */
static enum kin__outcome set_of(struct kin__call *call, const kin_value *container, kin_value *set)
{
    kin_value contents;
    if (kin__contents(call, container, &contents) == KIN__RAISE) return KIN__RAISE;
    bool stands = kin_value_kind(&contents) != KIN_VALUE_NONE;
    enum kin__outcome outcome = set_of_items(call, stands ? &contents : container, set);
    kin_value_clear(&contents);
    return outcome;
}

static bool is_set(const kin_value *value)
{
    return kin_value_kind(value) == KIN_VALUE_SET || kin_value_kind(value) == KIN_VALUE_FROZENSET;
}

/* ---- combining ---------------------------------------------------------------------------------------- */

enum operation { UNION, INTERSECTION, DIFFERENCE, SYMMETRIC };

/* Variants of methods: an operation, and whether the set changes, or is the right side. */
enum { OPERATION = 3, CHANGES = 4, REFLECTED = 8 };
/* … and of comparisons, and of what takes an item away. */
enum { ABOVE = 1, STRICTLY = 2, TO_ANY = 4 };
enum { REQUIRED = 1 };
static unsigned variant_of(const struct kin__call *call);

static int add_missing(kin_value *to, const kin_value *from, const kin_value *unless)
{
    const kin_value *item;
    int rc = 0;
    for (size_t at = 0; rc >= 0 && kin_value_next(from, &at, &item, NULL);) {
        if (unless == NULL || kin_value_contains(unless, item) == 0)
            rc = kin_value_set_add(to, kin_value_ref(item));
    }
    return rc < 0 ? rc : 0;
}

static int add_common(kin_value *to, const kin_value *one, const kin_value *other)
{
    const kin_value *item;
    int rc = 0;
    for (size_t at = 0; rc >= 0 && kin_value_next(one, &at, &item, NULL);) {
        if (kin_value_contains(other, item) == 1) rc = kin_value_set_add(to, kin_value_ref(item));
    }
    return rc < 0 ? rc : 0;
}

static enum kin__outcome combine(struct kin__call *call, enum operation operation, const kin_value *left,
                                 const kin_value *right, kin_value *combined)
{
    int rc = 0;
    *combined = kin_value_set();
    switch (operation) {
    case UNION:
        rc = add_missing(combined, left, NULL);
        if (rc == 0) rc = add_missing(combined, right, NULL);
        break;
    case INTERSECTION: rc = add_common(combined, left, right); break;
    case DIFFERENCE: rc = add_missing(combined, left, right); break;
    case SYMMETRIC:
        rc = add_missing(combined, left, right);
        if (rc == 0) rc = add_missing(combined, right, left);
        break;
    }
    if (rc == 0) return KIN__RETURN;
    kin_value_clear(combined);
    return kin__raise_code(call, rc);
}

/* The set combined with all that is given, one after the other. */
static enum kin__outcome combine_all(struct kin__call *call, enum operation operation, kin_value *combined)
{
    long count = kin_value_len(call->arguments) - (long)call->skip;
    if (kin_value_len(call->keywords) > 0)
        return kin__raisef(call, "TypeError", "%s%s() takes no keyword arguments",
                           operation == SYMMETRIC ? "set." : "", call->method->name);
    if (operation == SYMMETRIC && count != 1)
        return kin__raisef(call, "TypeError", "set.%s() takes exactly one argument (%ld given)",
                           call->method->name, count);
    *combined = kin_value_copy(items_of(call));
    enum kin__outcome outcome = KIN__RETURN;
    for (long i = 0; outcome == KIN__RETURN && i < count; i++) {
        kin_value given, next = kin_value_none();
        outcome = set_of(call, kin_value_at(call->arguments, (long)call->skip + i), &given);
        if (outcome == KIN__RETURN) outcome = combine(call, operation, combined, &given, &next);
        kin_value_clear(&given);
        kin_value_clear(combined);
        *combined = next;
    }
    return outcome;
}

static enum kin__outcome replace(struct kin__call *call, kin_value items)
{
    kin_value_clear(items_of(call));
    *items_of(call) = items;
    return kin__return_none(call);
}

/* set.union and the like, and those that change the set instead. */
static enum kin__outcome set_combine(struct kin__call *call)
{
    kin_value combined = kin_value_none();
    unsigned variant = variant_of(call);
    if (combine_all(call, variant & OPERATION, &combined) == KIN__RAISE) return KIN__RAISE;
    return variant & CHANGES ? replace(call, combined) : kin__return(call, combined);
}

/* The operators: their other side is a set. */
static enum kin__outcome set_operator(struct kin__call *call)
{
    static const char *const signs[] = {"|", "&", "-", "^"};
    const kin_value *left = items_of(call), *right = call->argument[0];
    unsigned variant = variant_of(call);
    bool change = variant & CHANGES, reflected = variant & REFLECTED;
    kin_value combined;
    if (!is_set(right))
        return kin__raisef(call, "TypeError", "unsupported operand type(s) for %s%s: 'set' and '%s'",
                           signs[variant & OPERATION], change ? "=" : "", kin_value_kind_name(right));
    if (change && kin__names_objects(call, right)) return kin__raisef(call, "TypeError", "a proxy is no key");
    if (combine(call, variant & OPERATION, reflected ? right : left, reflected ? left : right, &combined) ==
        KIN__RAISE)
        return KIN__RAISE;
    return change ? replace(call, combined) : kin__return(call, combined);
}

/* ---- comparing ------------------------------------------------------------------------------------------ */

static bool is_part_of(const kin_value *part, const kin_value *whole)
{
    const kin_value *item;
    if (kin_value_len(part) > kin_value_len(whole)) return false;
    for (size_t at = 0; kin_value_next(part, &at, &item, NULL);) {
        if (kin_value_contains(whole, item) != 1) return false;
    }
    return true;
}

/* How the set stands to another one, or to the items of a container. */
static enum kin__outcome set_relation(struct kin__call *call)
{
    kin_value other;
    unsigned variant = variant_of(call);
    bool above = variant & ABOVE, strictly = variant & STRICTLY;
    if (!(variant & TO_ANY) && !is_set(call->argument[0]))
        return kin__raisef(call, "TypeError", "'%s%s' not supported between instances of 'set' and '%s'",
                           above ? ">" : "<", strictly ? "" : "=", kin_value_kind_name(call->argument[0]));
    if (set_of(call, call->argument[0], &other) == KIN__RAISE) return KIN__RAISE;
    const kin_value *items = items_of(call);
    bool holds = above ? is_part_of(&other, items) : is_part_of(items, &other);
    if (strictly) holds = holds && kin_value_len(items) != kin_value_len(&other);
    kin_value_clear(&other);
    return kin__return(call, kin_value_bool(holds));
}

static enum kin__outcome set_isdisjoint(struct kin__call *call)
{
    kin_value other, common;
    if (set_of(call, call->argument[0], &other) == KIN__RAISE) return KIN__RAISE;
    enum kin__outcome outcome = combine(call, INTERSECTION, items_of(call), &other, &common);
    kin_value_clear(&other);
    if (outcome == KIN__RAISE) return outcome;
    bool disjoint = kin_value_len(&common) == 0;
    kin_value_clear(&common);
    return kin__return(call, kin_value_bool(disjoint));
}

/* ---- single items ----------------------------------------------------------------------------------------- */

static enum kin__outcome set_len(struct kin__call *call)
{
    return kin__return(call, kin_value_int(kin_value_len(items_of(call))));
}

static enum kin__outcome set_contains(struct kin__call *call)
{
    int there = kin_value_contains(items_of(call), call->argument[0]);
    if (there == KIN_EKIND) return kin__unhashable(call, call->argument[0]);
    return there < 0 ? kin__raise_code(call, there) : kin__return(call, kin_value_bool(there == 1));
}

static enum kin__outcome set_add(struct kin__call *call)
{
    if (kin__names_objects(call, call->argument[0]))
        return kin__raisef(call, "TypeError", "a proxy is no key");
    int rc = kin_value_set_add(items_of(call), kin_value_ref(call->argument[0]));
    if (rc == KIN_EKIND) return kin__unhashable(call, call->argument[0]);
    return rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
}

static enum kin__outcome set_discard(struct kin__call *call)
{
    int rc = kin_value_set_discard(items_of(call), call->argument[0]);
    if (rc == KIN_EKIND) return kin__unhashable(call, call->argument[0]);
    if (rc < 0) return kin__raise_code(call, rc);
    if (rc == 0 && variant_of(call) == REQUIRED)
        return kin__raise(
            call, kin_value_error("KeyError", kin_value_build("(v)", kin_value_ref(call->argument[0]))));
    return kin__return_none(call);
}

static enum kin__outcome set_pop(struct kin__call *call)
{
    const kin_value *item;
    size_t at = 0;
    if (!kin_value_next(items_of(call), &at, &item, NULL))
        return kin__raisef(call, "KeyError", "pop from an empty set");
    kin_value taken = kin_value_ref(item);
    kin_value_set_discard(items_of(call), &taken);
    return kin__return(call, taken);
}

static enum kin__outcome set_clear(struct kin__call *call)
{
    return replace(call, kin_value_set());
}

static enum kin__outcome set_iter(struct kin__call *call)
{
    return kin__iterate(call, items_of(call), true);
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

static enum kin__outcome make(struct kin__call *call)
{
    if (call->argument[0] != NULL) return set_of(call, call->argument[0], items_of(call));
    *items_of(call) = kin_value_set();
    return KIN__RETURN;
}

static void drop(struct kin__server *server, struct kin__managed *object)
{
    (void)server;
    kin_value_clear(&((struct set *)(void *)object)->items);
}

static kin_value copy(struct kin__call *call)
{
    return kin_value_ref(items_of(call));
}

static enum kin__outcome set_copy(struct kin__call *call)
{
    return kin__return(call, copy(call));
}

static void save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    (void)state;
    *arguments = kin_value_build("(v)", kin_value_ref(&((struct set *)(void *)object)->items));
}

/* Name, function, parameters, how many of these are required, convention, and the variant. */
#define METHODS(X) \
    X("__and__", set_operator, "other", 1, KIN__SLOT, INTERSECTION) \
    X("__contains__", set_contains, "item", 1, KIN__BUILTIN, 0) \
    X("__ge__", set_relation, "other", 1, KIN__SLOT, ABOVE) \
    X("__gt__", set_relation, "other", 1, KIN__SLOT, ABOVE | STRICTLY) \
    X("__iand__", set_operator, "other", 1, KIN__SLOT, INTERSECTION | CHANGES) \
    X("__ior__", set_operator, "other", 1, KIN__SLOT, UNION | CHANGES) \
    X("__isub__", set_operator, "other", 1, KIN__SLOT, DIFFERENCE | CHANGES) \
    X("__iter__", set_iter, "", 0, KIN__SLOT, 0) \
    X("__ixor__", set_operator, "other", 1, KIN__SLOT, SYMMETRIC | CHANGES) \
    X("__le__", set_relation, "other", 1, KIN__SLOT, 0) \
    X("__len__", set_len, "", 0, KIN__SLOT, 0) \
    X("__lt__", set_relation, "other", 1, KIN__SLOT, STRICTLY) \
    X("__or__", set_operator, "other", 1, KIN__SLOT, UNION) \
    X("__rand__", set_operator, "other", 1, KIN__SLOT, INTERSECTION | REFLECTED) \
    X("__ror__", set_operator, "other", 1, KIN__SLOT, UNION | REFLECTED) \
    X("__rsub__", set_operator, "other", 1, KIN__SLOT, DIFFERENCE | REFLECTED) \
    X("__rxor__", set_operator, "other", 1, KIN__SLOT, SYMMETRIC | REFLECTED) \
    X("__sub__", set_operator, "other", 1, KIN__SLOT, DIFFERENCE) \
    X("__xor__", set_operator, "other", 1, KIN__SLOT, SYMMETRIC) \
    X("add", set_add, "item", 1, KIN__BUILTIN, 0) \
    X("clear", set_clear, "", 0, KIN__BUILTIN, 0) \
    X("copy", set_copy, "", 0, KIN__BUILTIN, 0) \
    X("difference", set_combine, NULL, 0, KIN__BUILTIN, DIFFERENCE) \
    X("difference_update", set_combine, NULL, 0, KIN__BUILTIN, DIFFERENCE | CHANGES) \
    X("discard", set_discard, "item", 1, KIN__BUILTIN, 0) \
    X("intersection", set_combine, NULL, 0, KIN__BUILTIN, INTERSECTION) \
    X("intersection_update", set_combine, NULL, 0, KIN__BUILTIN, INTERSECTION | CHANGES) \
    X("isdisjoint", set_isdisjoint, "items", 1, KIN__BUILTIN, 0) \
    X("issubset", set_relation, "items", 1, KIN__BUILTIN, TO_ANY) \
    X("issuperset", set_relation, "items", 1, KIN__BUILTIN, ABOVE | TO_ANY) \
    X("pop", set_pop, "", 0, KIN__BUILTIN, 0) \
    X("remove", set_discard, "item", 1, KIN__BUILTIN, REQUIRED) \
    X("symmetric_difference", set_combine, NULL, 0, KIN__BUILTIN, SYMMETRIC) \
    X("symmetric_difference_update", set_combine, NULL, 0, KIN__BUILTIN, SYMMETRIC | CHANGES) \
    X("union", set_combine, NULL, 0, KIN__BUILTIN, UNION) \
    X("update", set_combine, NULL, 0, KIN__BUILTIN, UNION | CHANGES)

#define METHOD(name, function, parameters, required, convention, variant) \
    {name, function, parameters, required, convention},
#define VARIANT(name, function, parameters, required, convention, variant) variant,

static const struct kin__method methods[] = {METHODS(METHOD){0}};
static const unsigned char variants[] = {METHODS(VARIANT)};

static unsigned variant_of(const struct kin__call *call)
{
    return variants[call->method - methods];
}

const struct kin__type kin__type_set = {
    .name = "set",
    .size = sizeof(struct set),
    .make = {"set", make, "items", 0, KIN__BUILTIN},
    .drop = drop,
    .copy = copy,
    .save = save,
    .methods = methods,
    .reads =
        "__and__ __contains__ __ge__ __gt__ __iter__ __le__ __len__ __lt__ __or__ __rand__ __ror__ __rsub__ "
        "__rxor__ __sub__ __xor__ copy difference intersection isdisjoint issubset issuperset "
        "symmetric_difference union",
};
