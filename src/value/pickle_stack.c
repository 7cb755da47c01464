/* pickle_stack.c: the stack and the memo of the reader, and the containers that are made of them. */
#include <errno.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/pickle.h"

/* ---- the stack ---------------------------------------------------------------------------- */

int kin__reader_too_few(struct kin__reader *r)
{
    return kin__reader_fail(r, KIN_EPICKLE, "the stack holds too few values for this opcode");
}

/* `own` is the array of the reader's that it begins in. */
static int grow(void **memory, size_t *capacity, size_t item, const void *own)
{
    size_t grown = *capacity * 2;
    bool leaves = *memory == own;
    void *larger = kin__os_realloc(leaves ? NULL : *memory, grown * item);
    if (larger == NULL) return -ENOMEM;
    if (leaves) memcpy(larger, own, *capacity * item);
    *memory = larger;
    *capacity = grown;
    return 0;
}

int kin__reader_push_growing(struct kin__reader *r, kin_value value)
{
    int rc = grow((void **)&r->stack, &r->capacity, sizeof *r->stack, r->own_stack);
    if (rc < 0)
        kin_value_clear(&value);
    else
        r->stack[r->size++] = value;
    return rc;
}

int kin__reader_push_open(struct kin__reader *r, kin_value value)
{
    if (++r->made > r->options.max_count) {
        kin_value_clear(&value);
        return -E2BIG;
    }
    if (kin__counted(&value)) ((struct kin__boxed *)value.as_.object)->open = 1;
    return kin__reader_push_made(r, value);
}

int kin__reader_mark(struct kin__reader *r)
{
    if (r->mark_count == r->mark_capacity) {
        int rc = grow((void **)&r->marks, &r->mark_capacity, sizeof *r->marks, r->own_marks);
        if (rc != 0) return rc;
    }
    r->marks[r->mark_count++] = r->mark;
    r->mark = r->size;
    return 0;
}

int kin__reader_pop_mark(struct kin__reader *r, kin_value **item, size_t *count)
{
    if (r->mark_count == 0) return kin__reader_fail(r, KIN_EPICKLE, "there is no MARK");
    *item = r->stack + r->mark;
    *count = r->size - r->mark;
    r->mark = r->marks[--r->mark_count];
    return 0;
}

/* ---- joining ------------------------------------------------------------------------------ */

static inline int add_weight(struct kin__reader *r, struct kin__boxed *whole, uint64_t weight,
                             uint32_t height)
{
    weight += whole->weight;
    if (weight > r->options.max_count) return -E2BIG;
    whole->weight = (uint32_t)weight;
    if (height >= whole->height) whole->height = height + 1;
    return whole->height > r->options.max_depth ? -ELOOP : 0;
}

int kin__reader_join(struct kin__reader *r, struct kin__boxed *whole, const kin_value *part)
{
    if (!kin__counted(part)) return add_weight(r, whole, 1, 0);
    struct kin__boxed *object = part->as_.object;
    object->open = 0;
    return add_weight(r, whole, object->weight, object->height);
}

static int join_all(struct kin__reader *r, struct kin__boxed *whole, const kin_value *part, size_t count)
{
    size_t small = 0;
    for (size_t i = 0; i < count; i++) {
        if (!kin__counted(&part[i])) {
            small++;
            continue;
        }
        int rc = kin__reader_join(r, whole, &part[i]);
        if (rc != 0) return rc;
    }
    return add_weight(r, whole, small, 0);
}

/* The block of a value that may be changed, or NULL and an error. */
static void *open_block(struct kin__reader *r, const kin_value *value, kin_value_kinds kind, int *code)
{
    struct kin__boxed *object = kin__block(value, kind);
    *code = 0;
    if (object && object->open) return object;
    if (object)
        *code = kin__reader_fail(r, KIN_EREFUSED, "a %s that contains itself, or grows after it is complete",
                                 kin_value_kind_name(value));
    else if (value->kind_ == KIN_VALUE_ERROR || value->kind_ == KIN_VALUE_OBJECT)
        *code = kin__reader_refuse(r, value, "has items, which kin does not read of that class");
    else
        *code =
            kin__reader_fail(r, KIN_EPICKLE, "an item for a value of type %s", kin_value_kind_name(value));
    return NULL;
}

/* ---- containers --------------------------------------------------------------------------- */

static int append_items(struct kin__reader *r, size_t place, const kin_value *item, size_t count)
{
    int rc;
    struct kin__list *list = open_block(r, &r->stack[place], KIN_VALUE_LIST, &rc);
    if (rc == 0) rc = join_all(r, &list->object, item, count);
    if (rc == 0 && list->size + count > list->capacity)
        rc = kin__list_reserve(list, list->size ? (list->size + count) * 3 / 2 : count);
    if (rc < 0 || count == 0) return rc;
    memcpy(list->item + list->size, item, count * sizeof *item);
    list->size += count;
    r->size -= count;
    return 0;
}

/* Items that a table did not take are cleared here, for the stack does not hold them any more. */
static int put_items(struct kin__reader *r, size_t place, kin_value_kinds kind, size_t count)
{
    int rc;
    struct kin__table *table = open_block(r, &r->stack[place], kind, &rc);
    if (rc != 0) return rc;
    size_t stride = table->stride;
    kin_value *item = r->stack + r->size - count;
    if (count % stride != 0) return kin__reader_fail(r, KIN_EPICKLE, "a key without a value");
    rc = join_all(r, &table->object, item, count);
    if (rc == 0 && table->used == 0) rc = kin__table_reserve(table, count / stride);
    if (rc != 0) return rc;
    r->size -= count;
    for (size_t i = 0; i < count; i += stride) {
        if (rc >= 0) {
            rc = kin__table_put(table, item[i], stride == 2 ? item[i + 1] : kin_value_none());
            continue;
        }
        for (size_t j = 0; j < stride; j++) kin_value_clear(&item[i + j]);
    }
    return rc < 0 ? rc : 0;
}

int kin__reader_append(struct kin__reader *r)
{
    if (!kin__reader_holds(r, 2)) return kin__reader_too_few(r);
    return append_items(r, r->size - 2, &r->stack[r->size - 1], 1);
}

int kin__reader_set_item(struct kin__reader *r)
{
    if (!kin__reader_holds(r, 3)) return kin__reader_too_few(r);
    return put_items(r, r->size - 3, KIN_VALUE_DICT, 2);
}

int kin__reader_add(struct kin__reader *r, kin_value_kinds kind)
{
    kin_value *item;
    size_t count;
    int rc = kin__reader_pop_mark(r, &item, &count);
    if (rc != 0) return rc;
    if (r->size - count == r->mark) return kin__reader_too_few(r);
    size_t place = r->size - count - 1;
    return kind == KIN_VALUE_LIST ? append_items(r, place, item, count) : put_items(r, place, kind, count);
}

int kin__reader_tuple(struct kin__reader *r, size_t count)
{
    if (!kin__reader_holds(r, count)) return kin__reader_too_few(r);
    kin_value value = {.kind_ = KIN_VALUE_TUPLE};
    if (count > 0) {
        value = kin__tuple_make(KIN_VALUE_TUPLE, count);
        if (value.kind_ == KIN_VALUE_FAILED) return -ENOMEM;
        struct kin__tuple *tuple = value.as_.object;
        memcpy(tuple->item, r->stack + r->size - count, count * sizeof(kin_value));
        r->size -= count;
        int rc = join_all(r, &tuple->object, tuple->item, count);
        if (rc == 0 && ++r->made > r->options.max_count) rc = -E2BIG;
        if (rc < 0) {
            kin_value_clear(&value);
            return rc;
        }
    }
    return kin__reader_push(r, value);
}

int kin__reader_unwrap(struct kin__reader *r)
{
    struct kin__boxed whole = {.weight = 1};
    return join_all(r, &whole, r->stack, r->size);
}

int kin__reader_make(struct kin__reader *r, kin_value_kinds kind)
{
    kin_value *item;
    size_t count;
    int rc = kin__reader_pop_mark(r, &item, &count);
    if (rc != 0) return rc;
    if (kind == KIN_VALUE_TUPLE) return kin__reader_tuple(r, count);
    /* The container goes below its items, where APPENDS would find it. */
    rc = kin__reader_push_open(r, kind == KIN_VALUE_LIST ? kin_value_list(NULL, 0) : kin__table_make(kind));
    if (rc != 0) return rc;
    size_t place = r->size - 1 - count;
    kin_value container = r->stack[r->size - 1];
    memmove(r->stack + place + 1, r->stack + place, count * sizeof container);
    r->stack[place] = container;
    item = r->stack + place + 1;
    return kind == KIN_VALUE_LIST ? append_items(r, place, item, count) : put_items(r, place, kind, count);
}

/* ---- the memo ----------------------------------------------------------------------------- */

int kin__reader_memo_put(struct kin__reader *r, size_t number)
{
    if (!kin__reader_holds(r, 1)) return kin__reader_too_few(r);
    /* A pickle has at least two bytes for each entry, so that no number can be larger than that. */
    if (number > (size_t)(r->end - r->begin))
        return kin__reader_fail(r, KIN_EPICKLE, "memo entry %zu", number);
    while (number >= r->memo_capacity) {
        int rc = grow((void **)&r->memo, &r->memo_capacity, sizeof *r->memo, r->own_memo);
        if (rc != 0) return rc;
    }
    while (r->memo_size <= number) r->memo[r->memo_size++] = (kin_value){.kind_ = KIN_VALUE_FAILED};
    kin_value *top = &r->stack[r->size - 1];
    r->memo_count += r->memo[number].kind_ == KIN_VALUE_FAILED;
    kin_value_clear(&r->memo[number]);
    if (kin__counted(top)) {
        /* Nobody else knows the block yet. */
        _Atomic uint32_t *count = &((struct kin__boxed *)top->as_.object)->count;
        atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    r->memo[number] = *top;
    return 0;
}

int kin__reader_push_again(struct kin__reader *r, const kin_value *value)
{
    if (kin__counted(value)) ((struct kin__boxed *)value->as_.object)->open = 0;
    return kin__reader_push(r, kin__value_ref(value));
}

int kin__reader_memo_get(struct kin__reader *r, size_t number)
{
    if (number >= r->memo_size || r->memo[number].kind_ == KIN_VALUE_FAILED)
        return kin__reader_fail(r, KIN_EPICKLE, "there is no memo entry %zu", number);
    return kin__reader_push_again(r, &r->memo[number]);
}

/* The memo gives its references up without an atomic change, as it took them. */
void kin__reader_memo_free(struct kin__reader *r)
{
    for (size_t i = 0; i < r->memo_size; i++) {
        if (!kin__counted(&r->memo[i])) continue;
        _Atomic uint32_t *count = &((struct kin__boxed *)r->memo[i].as_.object)->count;
        uint32_t now = atomic_load_explicit(count, memory_order_relaxed);
        if (now > 1)
            atomic_store_explicit(count, now - 1, memory_order_relaxed);
        else
            kin__value_drop(&r->memo[i]);
    }
    if (r->memo != r->own_memo) free(r->memo);
}
