/* sequence.h: what lists and arrays do with indices and slices, and iterators over any container. */
#ifndef KIN_MANAGER_SEQUENCE_H
#define KIN_MANAGER_SEQUENCE_H

#include "manager/server.h"

/* Reads an index, counted from the end if it is negative; raises TypeError, or IndexError with
 * `text`. */
bool kin__index(struct kin__call *call, const kin_value *argument, long length, const char *text,
                long *index);

/* sequence[argument 0], an index or a slice, of a list or array; `name` is what Python calls it. */
enum kin__outcome kin__getitem(struct kin__call *call, const kin_value *sequence, const char *name);

/* list[slice] = argument 1, and del list[slice]; the items of the list are kept. */
enum kin__outcome kin__set_slice(struct kin__call *call, kin_value *list);
enum kin__outcome kin__delete_slice(struct kin__call *call, kin_value *list);

/* Appends all items of a container, which is kept then. */
enum kin__outcome kin__extend(struct kin__call *call, kin_value *list, const kin_value *container);

/* Calls `add` with each item that iterating over the value gives, as a reference that is used up: of
 * a container, the characters of a str, the numbers of bytes or a range.  KIN__RAISE: it cannot be
 * iterated over, or `add` returned an error. */
typedef int kin__add_function(void *to, kin_value item);
enum kin__outcome kin__for_each(struct kin__call *call, const kin_value *value, kin__add_function *add,
                                void *to);

/* What a proxy of this manager's stands for, if that can be copied and the client may read it; None for another
 * value.  A list that is given such a proxy takes its items, as in Python. */
enum kin__outcome kin__contents(struct kin__call *call, const kin_value *value, kin_value *contents);

/* What iterating over the value gives, as a list. */
enum kin__outcome kin__list_of(struct kin__call *call, const kin_value *value, kin_value *list);

/* An iterator over a list, dict (its keys) or set, as a new object.  With `live` it is over the
 * container itself: it raises RuntimeError when that changes its size. */
enum kin__outcome kin__iterate(struct kin__call *call, const kin_value *container, bool live);

#endif
