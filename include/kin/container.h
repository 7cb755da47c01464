/* kin/container.h: values that hold values: tuples, lists, dicts, sets.
 *
 *     kin_value scores = kin_value_dict();
 *     kin_value_dict_set(&scores, kin_value_str("Ada"), kin_value_int(36));
 *     const kin_value *score = kin_value_dict_get_str(&scores, "Ada");
 *
 *     const kin_value *key, *item;
 *     for (size_t at = 0; kin_value_next(&scores, &at, &key, &item);) …
 *
 * kin/value.h says who owns what.  Functions that store a value use it up, also when they fail,
 * and return the code of a value of the kind KIN_VALUE_FAILED that they are given.
 */
#ifndef KIN_CONTAINER_H
#define KIN_CONTAINER_H

#include <kin/value.h>

KIN_BEGIN

/* kin_value_tuple and kin_value_list make one of `count` items, which are used up; `items` may
 * be NULL when there are none.  Fail with -ENOMEM and with the code of a failed item. */
KIN_API kin_value kin_value_tuple(kin_value *items, size_t count);
KIN_API kin_value kin_value_list(kin_value *items, size_t count);

/* kin_value_dict, kin_value_set make empty ones; kin_value_frozenset one of `count` items. */
KIN_API kin_value kin_value_dict(void);
KIN_API kin_value kin_value_set(void);
KIN_API kin_value kin_value_frozenset(kin_value *items, size_t count);

/* kin_value_at returns an item of a tuple or list; a negative index counts from the end.  NULL:
 * there is none, or it is another kind. */
KIN_API const kin_value *kin_value_at(const kin_value *sequence, long index);

/* kin_value_next walks over a tuple, list, dict, set or frozenset in order (dicts and sets: that
 * of insertion).  `*position` begins at 0.  Returns false at the end.  `key` is the item, or
 * the key of a dict; `item`, which may be NULL, the same or the value that belongs to it. */
KIN_API bool kin_value_next(const kin_value *container, size_t *position, const kin_value **key,
                            const kin_value **item);

/* kin_value_contains is Python's `item in container`: 1, 0, or KIN_EKIND, -ELOOP. */
KIN_API int kin_value_contains(const kin_value *container, const kin_value *item);

/* ---- lists -------------------------------------------------------------------------------- */

/* kin_value_list_append, _insert (before `index`; beyond the ends: at the end, as in Python),
 * _set.  Errors: KIN_EKIND, -ERANGE (set: no such index), -ENOMEM, -EINVAL (NULL). */
KIN_API int kin_value_list_append(kin_value *list, kin_value item);
KIN_API int kin_value_list_insert(kin_value *list, long index, kin_value item);
KIN_API int kin_value_list_set(kin_value *list, long index, kin_value item);

/* kin_value_list_pop takes an item out and returns it.  Fails with KIN_EKIND, -ERANGE. */
KIN_API kin_value kin_value_list_pop(kin_value *list, long index);

/* kin_value_list_splice replaces `removed` items from `first` on by `count` others, which are
 * used up.  Errors: KIN_EKIND, -ERANGE, -ENOMEM, -EINVAL. */
KIN_API int kin_value_list_splice(kin_value *list, size_t first, size_t removed, kin_value *items,
                                  size_t count);

/* kin_value_list_sort sorts by kin_value_less, keeping the order of equals; _reverse reverses.
 * Errors: KIN_EKIND (two items have no order), -ELOOP, -ENOMEM; the list is unchanged then. */
KIN_API int kin_value_list_sort(kin_value *list, bool descending);
KIN_API int kin_value_list_reverse(kin_value *list);

/* ---- dicts and sets ----------------------------------------------------------------------- */

/* kin_value_dict_set stores `item` under `key`, in place of what was there.
 * Errors: KIN_EKIND (no dict; unhashable key), -ELOOP, -ENOMEM, -E2BIG (4 billion). */
KIN_API int kin_value_dict_set(kin_value *dict, kin_value key, kin_value item);
KIN_API int kin_value_dict_set_str(kin_value *dict, const char *key, kin_value item);

/* kin_value_dict_get returns what stands under `key`, or NULL. */
KIN_API const kin_value *kin_value_dict_get(const kin_value *dict, const kin_value *key);
KIN_API const kin_value *kin_value_dict_get_str(const kin_value *dict, const char *key);

/* kin_value_dict_pop takes an entry out and returns its value.  Fails with KIN_EKIND, -ENOENT. */
KIN_API kin_value kin_value_dict_pop(kin_value *dict, const kin_value *key);

/* kin_value_set_add adds to a set: 1 if it was new, 0 if it was there.  kin_value_set_discard
 * removes: 1 if it was there.  Errors: as kin_value_dict_set. */
KIN_API int kin_value_set_add(kin_value *set, kin_value item);
KIN_API int kin_value_set_discard(kin_value *set, const kin_value *item);

/* kin_value_empty removes everything from a list, dict or set.  Error: KIN_EKIND. */
KIN_API int kin_value_empty(kin_value *container);

KIN_END
#endif
