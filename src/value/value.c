/* value.c: owning values: references, copies, and the kinds that need no memory. */
#include "value/value.h"

#include <errno.h>
#include <stdlib.h>

#include "os/os.h"

/* ---- references --------------------------------------------------------------------------- */

/* Whether that was the last reference.  A count of 1 can only be the caller's own, and needs no
 * atomic change. */
static bool give_up(struct kin__boxed *object)
{
    if (atomic_load_explicit(&object->count, memory_order_acquire) == 1) return true;
    /* Release: pairs with the acquire of whoever gives up the last one. */
    return atomic_fetch_sub_explicit(&object->count, 1, memory_order_acq_rel) == 1;
}

static void give_up_items(kin_value *item, size_t count, struct kin__boxed **dead)
{
    for (size_t i = 0; i < count; i++) {
        if (!kin__counted(&item[i])) continue;
        struct kin__boxed *object = item[i].as_.object;
        if (!give_up(object)) continue;
        object->next = *dead;
        *dead = object;
    }
}

static void give_up_contents(struct kin__boxed *object, struct kin__boxed **dead)
{
    switch (object->kind) {
    case KIN_VALUE_STR:
    case KIN_VALUE_BYTES:
    case KIN_VALUE_BYTEARRAY:
    case KIN_VALUE_ARRAY:
    case KIN_VALUE_INT: break;
    case KIN_VALUE_LIST: {
        struct kin__list *list = (struct kin__list *)object;
        give_up_items(list->item, list->size, dead);
        free(list->item);
        break;
    }
    case KIN_VALUE_DICT:
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET: {
        struct kin__table *table = (struct kin__table *)object;
        give_up_items(table->entry, table->used * table->stride, dead);
        free(table->entry);
        free(table->slot);
        break;
    }
    default: {
        struct kin__tuple *tuple = (struct kin__tuple *)object;
        give_up_items(tuple->item, tuple->size, dead);
    }
    }
}

void kin__boxed_release(struct kin__boxed *object)
{
    if (!give_up(object)) return;
    struct kin__boxed *dead = object;
    dead->next = NULL;
    while (dead) {
        struct kin__boxed *one = dead;
        dead = one->next;
        give_up_contents(one, &dead);
        kin__boxed_free(one);
    }
}

void kin__values_drop(kin_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) kin_value_clear(&values[i]);
}

int kin__values_check(const kin_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind_ == KIN_VALUE_FAILED) return kin_value_error_code(&values[i]);
    }
    return 0;
}

void kin_value_clear(kin_value *value)
{
    if (value == NULL) return;
    kin_value old = *value;
    *value = (kin_value){0};
    kin__value_drop(&old);
}

kin_value kin_value_ref(const kin_value *value)
{
    return value ? kin__value_ref(value) : kin_value_failed(-EINVAL);
}

/* ---- copies ------------------------------------------------------------------------------- */

static kin_value copy_in_depth(const kin_value *value, int levels);

static int copy_items(kin_value *to, const kin_value *from, size_t count, int levels)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = copy_in_depth(&from[i], levels);
        int rc = kin_value_error_code(&to[i]);
        if (rc < 0) {
            kin__values_drop(to, i);
            return rc;
        }
    }
    return 0;
}

static kin_value copy_list(const struct kin__list *list, int levels)
{
    kin_value copy = kin_value_list(NULL, 0);
    if (copy.kind_ == KIN_VALUE_FAILED) return copy;
    struct kin__list *to = copy.as_.object;
    int rc = kin__list_reserve(to, list->size);
    if (rc == 0) rc = copy_items(to->item, list->item, list->size, levels);
    if (rc == 0) {
        to->size = list->size;
        return copy;
    }
    kin_value_clear(&copy);
    return kin_value_failed(rc);
}

static kin_value copy_table(const kin_value *value, int levels)
{
    const kin_value *key, *item;
    kin_value copy = kin__table_make(value->kind_);
    if (copy.kind_ == KIN_VALUE_FAILED) return copy;
    struct kin__table *to = copy.as_.object;
    int rc = kin__table_reserve(to, kin__table(value)->live);
    for (size_t at = 0; rc >= 0 && kin_value_next(value, &at, &key, &item);)
        rc = kin__table_put(to, kin__value_ref(key),
                            to->stride == 2 ? copy_in_depth(item, levels) : kin_value_none());
    if (rc >= 0) return copy;
    kin_value_clear(&copy);
    return kin_value_failed(rc);
}

static kin_value copy_tuple(const struct kin__tuple *tuple, int levels)
{
    kin_value copy = kin__tuple_make(tuple->object.kind, tuple->size);
    if (copy.kind_ == KIN_VALUE_FAILED) return copy;
    struct kin__tuple *to = copy.as_.object;
    to->object.typecode = tuple->object.typecode;
    to->size = 0;
    int rc = copy_items(to->item, tuple->item, tuple->size, levels);
    if (rc == 0) {
        to->size = tuple->size;
        return copy;
    }
    kin_value_clear(&copy);
    return kin_value_failed(rc);
}

static kin_value copy_in_depth(const kin_value *value, int levels)
{
    if (!kin__counted(value)) return *value;
    if (levels == 0) return kin_value_failed(-ELOOP);
    switch (value->kind_) {
    case KIN_VALUE_INT:
    case KIN_VALUE_STR: return kin__value_ref(value);
    /* Bytes may be somebody else's, who keeps them only as long as he promised. */
    case KIN_VALUE_BYTES:
    case KIN_VALUE_BYTEARRAY: {
        size_t size;
        const char *bytes = kin__text(value, &size);
        return kin__text_make(value->kind_, bytes, size);
    }
    case KIN_VALUE_ARRAY: {
        const struct kin__text *text = value->as_.object;
        return kin__array_make(text->object.typecode, text->data, text->size, false);
    }
    case KIN_VALUE_LIST: return copy_list(value->as_.object, levels - 1);
    case KIN_VALUE_DICT:
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET: return copy_table(value, levels - 1);
    default: return copy_tuple(value->as_.object, levels - 1);
    }
}

kin_value kin_value_copy(const kin_value *value)
{
    return value ? copy_in_depth(value, KIN__LEVELS) : kin_value_failed(-EINVAL);
}

/* ---- kinds -------------------------------------------------------------------------------- */

kin_value_kinds kin_value_kind(const kin_value *value)
{
    return value ? value->kind_ : KIN_VALUE_FAILED;
}

const char *kin_value_kind_name(const kin_value *value)
{
    static const char *const names[KIN_VALUE_KINDS] = {
        "NoneType",  "bool",   "int",  "float", "complex",   "str",   "bytes", "bytearray",
        "tuple",     "list",   "dict", "set",   "frozenset", "slice", "range", "array",
        "Exception", "object", "type", "Token", "proxy",     "failed"};
    return names[kin_value_kind(value)];
}

kin_value kin_value_failed(int code)
{
    return (kin_value){.kind_ = KIN_VALUE_FAILED, .as_.integer = code < 0 ? code : -EINVAL};
}

int kin_value_error_code(const kin_value *value)
{
    if (value == NULL) return -EINVAL;
    return value->kind_ == KIN_VALUE_FAILED ? (int)value->as_.integer : 0;
}

kin_value kin_value_none(void)
{
    return (kin_value){0};
}

kin_value kin_value_bool(bool truth)
{
    return (kin_value){.kind_ = KIN_VALUE_BOOL, .as_.integer = truth};
}

kin_value kin_value_int(int64_t number)
{
    return kin__plain_int(number);
}

kin_value kin_value_uint(uint64_t number)
{
    if (number <= INT64_MAX) return kin_value_int((int64_t)number);
    unsigned char bytes[9] = {0};
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(number >> 8 * i);
    return kin__integer_make(bytes, sizeof bytes);
}

kin_value kin_value_float(double number)
{
    return kin__plain_float(number);
}

/* ---- reading numbers ---------------------------------------------------------------------- */

int kin_value_get_bool(const kin_value *value, bool *truth)
{
    if (value == NULL || truth == NULL) return -EINVAL;
    if (value->kind_ != KIN_VALUE_BOOL) return KIN_EKIND;
    *truth = value->as_.integer != 0;
    return 0;
}

int kin_value_is_true(const kin_value *value)
{
    switch (kin_value_kind(value)) {
    case KIN_VALUE_NONE: return 0;
    case KIN_VALUE_BOOL:
    case KIN_VALUE_INT: return kin__counted(value) || value->as_.integer != 0;
    case KIN_VALUE_FLOAT: return value->as_.number != 0;
    case KIN_VALUE_COMPLEX: {
        const kin_value *part = kin__fields(value, KIN_VALUE_COMPLEX);
        return part[0].as_.number != 0 || part[1].as_.number != 0;
    }
    case KIN_VALUE_FAILED: return kin_value_error_code(value);
    default: {
        long size = kin_value_len(value);
        return size == KIN_EKIND || size > 0;
    }
    }
}

static bool is_integer(const kin_value *value)
{
    return value->kind_ == KIN_VALUE_INT || value->kind_ == KIN_VALUE_BOOL;
}

int kin_value_get_int(const kin_value *value, int64_t *number)
{
    if (value == NULL || number == NULL) return -EINVAL;
    if (!is_integer(value)) return KIN_EKIND;
    if (kin__counted(value)) return -ERANGE;
    *number = value->as_.integer;
    return 0;
}

int kin_value_get_uint(const kin_value *value, uint64_t *number)
{
    if (value == NULL || number == NULL) return -EINVAL;
    if (!is_integer(value)) return KIN_EKIND;
    if (!kin__counted(value)) {
        if (value->as_.integer < 0) return -ERANGE;
        *number = (uint64_t)value->as_.integer;
        return 0;
    }
    size_t size;
    const unsigned char *bytes = (const unsigned char *)kin__text(value, &size);
    if (size != 9 || bytes[8] != 0) return -ERANGE;
    *number = 0;
    for (int i = 0; i < 8; i++) *number |= (uint64_t)bytes[i] << 8 * i;
    return 0;
}

int kin_value_get_float(const kin_value *value, double *number)
{
    if (value == NULL || number == NULL) return -EINVAL;
    if (value->kind_ == KIN_VALUE_FLOAT) {
        *number = value->as_.number;
        return 0;
    }
    if (!is_integer(value)) return KIN_EKIND;
    double nearest = kin__integer_to_double(value);
    if (nearest - nearest != 0) return -ERANGE;
    *number = nearest;
    return 0;
}

long kin_value_len(const kin_value *value)
{
    size_t size;
    if (value == NULL) return -EINVAL;
    switch (value->kind_) {
    case KIN_VALUE_STR: {
        const char *text = kin__text(value, &size);
        long characters = 0;
        for (size_t i = 0; i < size; i++) characters += (text[i] & 0xc0) != 0x80;
        return characters;
    }
    case KIN_VALUE_BYTES:
    case KIN_VALUE_BYTEARRAY: kin__text(value, &size); return (long)size;
    case KIN_VALUE_ARRAY: {
        const struct kin__text *array = value->as_.object;
        return (long)(array->size / kin__array_item_size(array->object.typecode));
    }
    case KIN_VALUE_TUPLE:
    case KIN_VALUE_LIST: kin__items(value, &size); return (long)size;
    case KIN_VALUE_DICT:
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET: return (long)kin__table(value)->live;
    case KIN_VALUE_FAILED: return kin_value_error_code(value);
    default: return KIN_EKIND;
    }
}
