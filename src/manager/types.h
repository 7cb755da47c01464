/* types.h: the types of objects that a manager has: Python's, and the user's own. */
#ifndef KIN_MANAGER_TYPES_H
#define KIN_MANAGER_TYPES_H

#include "manager/server.h"

/* The type of that name: the user's come before Python's.  NULL: there is none. */
const struct kin__type *kin__types_find(struct kin__server *server, const char *name);
/* Does a pattern of permissions fit the name of any of them? */
bool kin__types_fit(const struct kin__server *server, const char *pattern);
/* Where the one object of a type stands that everybody shares; NULL: each create makes one. */
struct kin__managed **kin__types_shared(struct kin__server *server, const struct kin__type *type);

/* Makes the user's types known.  Errors: -EINVAL, with words (process/words.h), -ENOMEM. */
int kin__types_register(struct kin__server *server, const kin_manager_type *types, size_t count);
void kin__types_drop(struct kin__server *server);
/* Can the functions be called?  -EINVAL. */
int kin__types_check_tasks(const kin_manager_task *tasks, size_t count);

/* The exception that stands for a negative code of a function of the user's, which may have left one in
 * `result`; that is used up. */
kin_value kin__exception_of(int rc, kin_value result);

/* type_pool.c: the workers may have room: those who have tasks hand them out, in turn. */
void kin__pools_hand_out(struct kin__server *server);

extern const struct kin__type kin__type_queue, kin__type_joinable_queue, kin__type_task_queue;
extern const struct kin__type kin__type_lock, kin__type_rlock, kin__type_semaphore,
    kin__type_bounded_semaphore;
extern const struct kin__type kin__type_condition, kin__type_event, kin__type_barrier;
extern const struct kin__type kin__type_list, kin__type_dict, kin__type_set, kin__type_iterator;
extern const struct kin__type kin__type_pool, kin__type_async_result, kin__type_pool_iterator;
extern const struct kin__type kin__type_value, kin__type_array, kin__type_namespace;

#endif
