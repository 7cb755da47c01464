/* index.c: see index.h. */
#include "index.h"

#include <stdlib.h>

struct index_entry {
    enum index_kind kind;
    uint32_t place;
    uint64_t key;
};

/* The family has so many entries, at most: a pool is found by three keys, a worker and a thread by two. */
static size_t room_for(const kin_inspected_family *family)
{
    return 3 * family->pools + 2 * family->workers + family->queues + family->locks + 2 * family->threads;
}

static void add(struct index *index, enum index_kind kind, uint64_t key, size_t place)
{
    index->entries[index->count++] = (struct index_entry){kind, (uint32_t)place, key};
}

static void add_all(struct index *index, const kin_inspection *seen, size_t family)
{
    kin_inspected_pool pool;
    kin_inspected_worker worker;
    kin_inspected_queue queue;
    kin_inspected_lock lock;
    kin_inspected_thread thread;
    for (size_t i = 0; kin_inspection_pool(seen, family, i, &pool) == 0; i++) {
        add(index, INDEX_POOL, index_address(pool.pool), i);
        add(index, INDEX_TASKS, index_address(pool.tasks), i);
        if (!pool.threads) add(index, INDEX_SUPERVISED, (uint64_t)pool.status.supervisor_pid, i);
    }
    for (size_t i = 0; kin_inspection_worker(seen, family, i, &worker) == 0; i++) {
        add(index, INDEX_CREW, index_address(worker.pool), i);
        if (worker.thread == worker.pid) add(index, INDEX_WORKER, (uint64_t)worker.pid, i);
    }
    for (size_t i = 0; kin_inspection_queue(seen, family, i, &queue) == 0; i++)
        add(index, INDEX_QUEUE, index_address(queue.queue), i);
    for (size_t i = 0; kin_inspection_lock(seen, family, i, &lock) == 0; i++)
        add(index, INDEX_LOCK, index_address(lock.lock), i);
    for (size_t i = 0; kin_inspection_thread(seen, family, i, &thread) == 0; i++) {
        if (thread.waits == KIN_WAITS_NOT) continue;
        add(index, INDEX_THREAD, (uint64_t)thread.pid, i);
        if (thread.waits_for != NULL) add(index, INDEX_WAITER, index_address(thread.waits_for), i);
    }
}

/* By kind and key alone. */
static int compare_keys(const struct index_entry *a, const struct index_entry *b)
{
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static int compare(const void *left, const void *right)
{
    const struct index_entry *a = left, *b = right;
    int keys = compare_keys(a, b);
    return keys != 0 ? keys : (a->place > b->place) - (a->place < b->place);
}

void index_make(struct index *index, const kin_inspection *seen, size_t family)
{
    kin_inspected_family about;
    *index = (struct index){0};
    if (kin_inspection_family(seen, family, &about) < 0 || room_for(&about) == 0) return;
    index->entries = calloc(room_for(&about), sizeof *index->entries);
    if (index->entries == NULL) return;
    add_all(index, seen, family);
    qsort(index->entries, index->count, sizeof *index->entries, compare);
}

void index_free(struct index *index)
{
    free(index->entries);
    *index = (struct index){0};
}

/* How many entries come before the first that is `wanted`, or, with `after`, greater. */
static size_t count_before(const struct index *index, const struct index_entry *wanted, bool after)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(&index->entries[middle], wanted);
        if (order < 0 || (after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct index_walk index_find(const struct index *index, enum index_kind kind, uint64_t key)
{
    const struct index_entry wanted = {.kind = kind, .key = key};
    if (index->entries == NULL) return (struct index_walk){NULL, NULL};
    return (struct index_walk){index->entries + count_before(index, &wanted, false),
                               index->entries + count_before(index, &wanted, true)};
}

bool index_next(struct index_walk *walk, size_t *place)
{
    if (walk->next == walk->end) return false;
    *place = walk->next->place;
    walk->next++;
    return true;
}
