/* index.h: the things of one family, found by what others say of them: a family may have many thousands of
 * each, and whoever looks at one of a kind for each of another would never come to an end. */
#ifndef INDEX_H
#define INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/inspect.h>

/* What is found, by which key. */
enum index_kind {
    INDEX_SUPERVISED, /* pools, by the pid of their supervisor */
    INDEX_POOL,       /* by its address */
    INDEX_TASKS,      /* pools, by the address of their task queue */
    INDEX_WORKER,     /* that is a process, by its pid */
    INDEX_CREW,       /* workers, by the address of their pool */
    INDEX_QUEUE,      /* by its address */
    INDEX_LOCK,       /* by its address */
    INDEX_THREAD,     /* that waits, by its pid */
    INDEX_WAITER      /* threads, by the address of what they wait for */
};

/* All zero: nothing is found. */
struct index {
    struct index_entry *entries;
    size_t count;
};

/* Where there is no memory for it, nothing is found.  `seen` stays as it is as long as it is used. */
void index_make(struct index *index, const kin_inspection *seen, size_t family);
void index_free(struct index *index);

/* A walk through what has that key, in the order it was seen:
 *
 *     struct index_walk walk = index_find(&index, INDEX_WORKER, (uint64_t)pid);
 *     for (size_t place; index_next(&walk, &place);) …the worker `place` of the family… */
struct index_walk {
    const struct index_entry *next, *end;
};
struct index_walk index_find(const struct index *index, enum index_kind kind, uint64_t key);
bool index_next(struct index_walk *walk, size_t *place);

/* The first of them; false: there is none. */
static inline bool index_first(const struct index *index, enum index_kind kind, uint64_t key, size_t *place)
{
    struct index_walk walk = index_find(index, kind, key);
    return index_next(&walk, place);
}

static inline uint64_t index_address(const void *object)
{
    return (uint64_t)(uintptr_t)object;
}

#endif
