/* sequence.c: tuples and lists. */
#include <errno.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

/* ---- tuples ------------------------------------------------------------------------------- */

kin_value kin__tuple_make(kin_value_kinds kind, size_t size)
{
    if (size > SIZE_MAX / 2 / sizeof(kin_value)) return kin_value_failed(-ENOMEM);
    struct kin__tuple *tuple = kin__boxed_make(kind, sizeof *tuple + size * sizeof(kin_value));
    if (tuple == NULL) return kin_value_failed(-ENOMEM);
    tuple->size = size;
    return kin__value_of(kind, tuple);
}

/* 0 if `count` items can be used; otherwise they are used up, and the code is returned. */
static int check_items(kin_value *items, size_t count)
{
    if (items == NULL) return count > 0 ? -EINVAL : 0;
    int rc = kin__values_check(items, count);
    if (rc < 0) kin__values_drop(items, count);
    return rc;
}

kin_value kin_value_tuple(kin_value *items, size_t count)
{
    int rc = check_items(items, count);
    if (rc < 0) return kin_value_failed(rc);
    if (count == 0) return (kin_value){.kind_ = KIN_VALUE_TUPLE};
    kin_value value = kin__tuple_make(KIN_VALUE_TUPLE, count);
    if (value.kind_ == KIN_VALUE_FAILED)
        kin__values_drop(items, count);
    else
        memcpy(((struct kin__tuple *)value.as_.object)->item, items, count * sizeof *items);
    return value;
}

kin_value kin__tuple_of(const kin_value *sequence, size_t first)
{
    size_t size, count;
    const kin_value *items = kin__items(sequence, &size);
    count = size > first ? size - first : 0;
    kin_value value = count > 0 ? kin__tuple_make(KIN_VALUE_TUPLE, count) : kin_value_tuple(NULL, 0);
    if (count == 0 || value.kind_ == KIN_VALUE_FAILED) return value;
    for (size_t i = 0; i < count; i++)
        ((struct kin__tuple *)value.as_.object)->item[i] = kin_value_ref(&items[first + i]);
    return value;
}

kin_value *kin__items(const kin_value *value, size_t *size)
{
    *size = 0;
    if (value == NULL || !kin__counted(value)) return NULL;
    if (value->kind_ == KIN_VALUE_TUPLE) {
        struct kin__tuple *tuple = value->as_.object;
        *size = tuple->size;
        return tuple->item;
    }
    if (value->kind_ == KIN_VALUE_LIST) {
        struct kin__list *list = value->as_.object;
        *size = list->size;
        return list->item;
    }
    return NULL;
}

const kin_value *kin_value_at(const kin_value *sequence, long index)
{
    size_t size;
    const kin_value *item = kin__items(sequence, &size);
    if (index < 0) index += (long)size;
    return index >= 0 && (size_t)index < size ? &item[index] : NULL;
}

/* ---- lists -------------------------------------------------------------------------------- */

int kin__list_reserve(struct kin__list *list, size_t capacity)
{
    if (capacity <= list->capacity) return 0;
    if (capacity > SIZE_MAX / 2 / sizeof(kin_value)) return -ENOMEM;
    kin_value *item = kin__os_realloc(list->item, capacity * sizeof *item);
    if (item == NULL) return -ENOMEM;
    list->item = item;
    list->capacity = capacity;
    return 0;
}

kin_value kin_value_list(kin_value *items, size_t count)
{
    int rc = check_items(items, count);
    if (rc < 0) return kin_value_failed(rc);
    struct kin__list *list = kin__boxed_make(KIN_VALUE_LIST, sizeof *list);
    if (list) {
        list->size = list->capacity = 0;
        list->item = NULL;
    }
    if (list == NULL || kin__list_reserve(list, count) < 0) {
        if (list) kin__boxed_free(&list->object);
        if (count > 0) kin__values_drop(items, count);
        return kin_value_failed(-ENOMEM);
    }
    if (count > 0) memcpy(list->item, items, count * sizeof *items);
    list->size = count;
    return kin__value_of(KIN_VALUE_LIST, list);
}

/* The list, or NULL and an error in `*code`. */
static struct kin__list *list_of(kin_value *value, int *code)
{
    struct kin__list *list = kin__block(value, KIN_VALUE_LIST);
    *code = list ? 0 : value ? KIN_EKIND : -EINVAL;
    return list;
}

int kin_value_list_splice(kin_value *value, size_t first, size_t removed, kin_value *items, size_t count)
{
    int rc = check_items(items, count);
    if (rc < 0) return rc;
    struct kin__list *list = list_of(value, &rc);
    if (rc == 0 && (first > list->size || removed > list->size - first)) rc = -ERANGE;
    size_t size = rc == 0 ? list->size - removed + count : 0;
    /* Half as much again, so that appending one by one costs a constant time each. */
    if (rc == 0 && size > list->capacity) rc = kin__list_reserve(list, size + size / 2 + 4);
    if (rc < 0) {
        if (count > 0) kin__values_drop(items, count);
        return rc;
    }
    if (removed + count == 0) return 0;
    kin_value *at = list->item + first;
    kin__values_drop(at, removed);
    if (removed != count) memmove(at + count, at + removed, (list->size - first - removed) * sizeof *at);
    if (count > 0) memcpy(at, items, count * sizeof *at);
    list->size = size;
    return 0;
}

int kin_value_list_append(kin_value *value, kin_value item)
{
    struct kin__list *list = kin__block(value, KIN_VALUE_LIST);
    if (list && list->size < list->capacity && item.kind_ != KIN_VALUE_FAILED) {
        list->item[list->size++] = item;
        return 0;
    }
    return kin_value_list_splice(value, list ? list->size : 0, 0, &item, 1);
}

int kin_value_list_insert(kin_value *value, long index, kin_value item)
{
    struct kin__list *list = kin__block(value, KIN_VALUE_LIST);
    long size = list ? (long)list->size : 0;
    if (index < 0) index = index + size < 0 ? 0 : index + size;
    return kin_value_list_splice(value, (size_t)(index > size ? size : index), 0, &item, 1);
}

/* The place of an index that may count from the end; beyond every list when there is none. */
static size_t place_of(const struct kin__list *list, long index)
{
    if (list && index < 0) index += (long)list->size;
    return list && index >= 0 && (size_t)index < list->size ? (size_t)index : SIZE_MAX;
}

int kin_value_list_set(kin_value *value, long index, kin_value item)
{
    return kin_value_list_splice(value, place_of(kin__block(value, KIN_VALUE_LIST), index), 1, &item, 1);
}

kin_value kin_value_list_pop(kin_value *value, long index)
{
    int rc;
    struct kin__list *list = list_of(value, &rc);
    size_t place = place_of(list, index);
    if (rc == 0 && place == SIZE_MAX) rc = -ERANGE;
    if (rc < 0) return kin_value_failed(rc);
    kin_value item = list->item[place];
    list->size--;
    memmove(list->item + place, list->item + place + 1, (list->size - place) * sizeof item);
    return item;
}

int kin_value_list_reverse(kin_value *value)
{
    int rc;
    struct kin__list *list = list_of(value, &rc);
    for (size_t i = 0; rc == 0 && i < list->size / 2; i++) {
        kin_value item = list->item[i];
        list->item[i] = list->item[list->size - 1 - i];
        list->item[list->size - 1 - i] = item;
    }
    return rc;
}

/* Merges two sorted runs of `from` into `to`.  Equal items stay in order; when descending too, as
 * in Python, so the later run wins only where it has to go first. */
static int merge(const kin_value *from, kin_value *to, size_t first, size_t middle, size_t end,
                 bool descending)
{
    size_t left = first, right = middle;
    for (size_t at = first; at < end; at++) {
        int later = left == middle;
        if (!later && right < end)
            later = descending ? kin_value_less(&from[left], &from[right])
                               : kin_value_less(&from[right], &from[left]);
        if (later < 0) return later;
        to[at] = later ? from[right++] : from[left++];
    }
    return 0;
}

/* Merge sort from below; it needs no depth and compares no more than it has to. */
int kin_value_list_sort(kin_value *value, bool descending)
{
    int rc;
    struct kin__list *list = list_of(value, &rc);
    if (rc < 0 || list->size < 2) return rc;
    size_t size = list->size;
    kin_value *memory = kin__os_malloc(2 * size * sizeof *memory), *from = memory, *to = memory + size;
    if (memory == NULL) return -ENOMEM;
    memcpy(from, list->item, size * sizeof *from);
    for (size_t width = 1; rc == 0 && width < size; width *= 2) {
        for (size_t first = 0; rc == 0 && first < size; first += 2 * width) {
            size_t middle = first + width < size ? first + width : size;
            size_t end = middle + width < size ? middle + width : size;
            rc = merge(from, to, first, middle, end, descending);
        }
        kin_value *swap = from;
        from = to;
        to = swap;
    }
    if (rc == 0) memcpy(list->item, from, size * sizeof *from);
    free(memory);
    return rc;
}
