/* seen.h: what was seen of a family, and who looks at which part of it. */
#ifndef KIN_INSPECT_SEEN_H
#define KIN_INSPECT_SEEN_H

#include <kin/inspect.h>

#include "inspect/view.h"

/* So many of one kind are shown; beyond them a family is seen in part. */
#define KIN__SEEN_MOST 65536

enum kin__seen_kind {
    KIN__SEEN_PROCESSES,
    KIN__SEEN_THREADS,
    KIN__SEEN_POOLS,
    KIN__SEEN_WORKERS,
    KIN__SEEN_QUEUES,
    KIN__SEEN_LOCKS,
    KIN__SEEN_NAMES,
    KIN__SEEN_KINDS
};

struct kin__seen_name {
    uint64_t object;
    char text[KIN_NAME_SIZE];
};

struct kin__seen_list {
    void *items;
    size_t count;
};

/* Private.  The lists' items are the kin_inspected_… of the public header, and names.  Sorted, so that
 * what is in a family cannot make the look at it take for ever: threads by their ids, pools by their task
 * queues, names by the addresses of what they name. */
struct kin__seen {
    kin_inspected_family about;
    struct kin__seen_list list[KIN__SEEN_KINDS];
};

struct kin_inspection {
    struct kin__seen *families;
    size_t count;
};

/* Room for one more in a list, all zero; NULL, with *rc = -ENOMEM, or with *rc as it is when there are
 * enough: then it is noted that there is more. */
void *kin__seen_add(struct kin__seen *seen, enum kin__seen_kind kind, int *rc);
/* Sorts a list, and finds in a sorted one what is equal to *wanted; NULL: there is none. */
void kin__seen_sort(struct kin__seen *seen, enum kin__seen_kind kind,
                    int (*compare)(const void *, const void *));
void *kin__seen_find(const struct kin__seen *seen, enum kin__seen_kind kind, const void *wanted,
                     int (*compare)(const void *, const void *));
/* The name by which an object was published, or "". */
void kin__seen_name_of(const struct kin__seen *seen, uint64_t object, char name[KIN_NAME_SIZE]);
/* The pid of a thread of the family, 0 if it is none's; once its members have been seen. */
int kin__seen_pid(const struct kin__seen *seen, int thread);
/* The pool that has the queue at that address for its tasks, or NULL; once pools have been seen. */
const void *kin__seen_pool_of(const struct kin__seen *seen, uint64_t tasks);

/* What is in a family's memory file: 0; -EBADF: it is none; -ENOMEM.  `seen` has to be freed in any case. */
int kin__seen_family(struct kin__seen *seen, int descriptor, int pid);
void kin__seen_free(struct kin__seen *seen);

/* Each looks at its part: 0, KIN_ELAYOUT (it is not laid out as here), -ENOMEM.  In this order. */
int kin__see_members(struct kin__view *view, struct kin__seen *seen);
int kin__see_names(struct kin__view *view, struct kin__seen *seen);
int kin__see_pools(struct kin__view *view, struct kin__seen *seen);
int kin__see_queues(struct kin__view *view, struct kin__seen *seen);
int kin__see_locks(struct kin__view *view, struct kin__seen *seen);

/* How many messages are in the queue at that address; 0 if it is none. */
size_t kin__seen_queued(const struct kin__view *view, uint64_t address);

#endif
