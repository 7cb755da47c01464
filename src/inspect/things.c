/* things.c: the queues and the locks of a family that is looked at, and the names they have. */
#include <errno.h>
#include <string.h>

#include "inspect/seen.h"
#include "ipc/queue.h"
#include "shared/registry.h"
#include "sync/mutex.h"
#include "sync/rwlock.h"
#include "sync/semaphore.h"

/* ---- names ------------------------------------------------------------------------------------------ */

/* Blocks of names are never taken away: more than these can only be a list that goes round. */
#define NAME_BLOCKS (KIN__SEEN_MOST / KIN__NAMES_IN_BLOCK)

int kin__see_names(struct kin__view *view, struct kin__seen *seen)
{
    struct kin__names names;
    uint64_t next = (uintptr_t)view->header.registry.first;
    int rc = 0;
    for (int i = 0; i < NAME_BLOCKS && next != 0 && rc == 0; i++) {
        if (!kin__view_read(view, next, &names, sizeof names)) break;
        for (int j = 0; j < KIN__NAMES_IN_BLOCK && rc == 0; j++) {
            if (names.names[j].object == NULL) continue;
            struct kin__seen_name *name = kin__seen_add(seen, KIN__SEEN_NAMES, &rc);
            if (name == NULL) break;
            name->object = (uintptr_t)names.names[j].object;
            memcpy(name->text, names.names[j].text, sizeof name->text - 1);
        }
        next = (uintptr_t)names.next;
    }
    return rc;
}

/* ---- queues ----------------------------------------------------------------------------------------- */

static uint32_t waiters_of(const struct kin__wait_point *point)
{
    return kin__waiters_count(point->waiters);
}

#define LOOKS 4

/* Looks at a queue's ends until what is found in them belongs together.  Of one that changes all the time
 * the parts are some messages apart: each is one that it had. */
static void read_ends(const struct kin__view *view, uint64_t address, struct kin__ends *ends)
{
    uint64_t head = ends->head.position, tail = ends->tail.position;
    for (int i = 0; i < LOOKS; i++) {
        /* Bytes belong to a word if the word stood before and stands after they were read. */
        struct kin__ends again;
        if (!kin__view_read(view, address, ends, sizeof *ends) ||
            !kin__view_read(view, address, &again, sizeof again))
            return;
        bool before = ends->head.position == head && ends->tail.position == tail;
        head = again.head.position;
        tail = again.tail.position;
        if (before && ends->head.position == head && ends->tail.position == tail) return;
    }
}

static uint64_t bytes_of(const struct kin__end *end)
{
    return end->bytes[kin__items_of(end->position) & 1];
}

static void fill_counts(kin_inspected_queue *queue, const struct kin__ends *ends)
{
    queue->put = kin__end_total(ends->tail.position, ends->tail.halves);
    queue->got = kin__end_total(ends->head.position, ends->head.halves);
    queue->bytes_put = bytes_of(&ends->tail);
    queue->bytes_got = bytes_of(&ends->head);
    queue->max_items = ends->max_items;
    queue->max_bytes = ends->max_bytes;
    /* One that is busy may seem to have been emptied further than it was filled. */
    queue->items = queue->put > queue->got ? queue->put - queue->got : 0;
    if (queue->items > queue->max_items) queue->items = queue->max_items;
    queue->bytes = queue->bytes_put > queue->bytes_got ? queue->bytes_put - queue->bytes_got : 0;
}

static int see_queue(struct kin__view *view, uint64_t address, void *memory, void *context)
{
    struct kin_queue *copy = memory;
    struct kin__seen *seen = context;
    int rc = 0;
    if (copy->magic != KIN__MAGIC_QUEUE) return 0;
    kin_inspected_queue *queue = kin__seen_add(seen, KIN__SEEN_QUEUES, &rc);
    if (queue == NULL) return rc;
    queue->queue = (const void *)(uintptr_t)address;
    kin__seen_name_of(seen, address, queue->name);
    queue->pool = kin__seen_pool_of(seen, address);
    queue->consumers = waiters_of(&copy->items.point);
    queue->producers = waiters_of(&copy->space.point);
    queue->joinable = copy->tasks != KIN__TASKS_NONE;
    if (kin__view_flag(&copy->by_rank)) queue->taken = copy->shelf.taken;
    queue->ended = (copy->life & KIN__LIFE_ENDED) != KIN__OPEN;
    read_ends(view, address + offsetof(struct kin_queue, ends), &copy->ends);
    fill_counts(queue, &copy->ends);
    return 0;
}

size_t kin__seen_queued(const struct kin__view *view, uint64_t address)
{
    struct kin_queue copy;
    kin_inspected_queue queue = {0};
    if (!kin__view_read(view, address, &copy, sizeof copy) || copy.magic != KIN__MAGIC_QUEUE) return 0;
    read_ends(view, address + offsetof(struct kin_queue, ends), &copy.ends);
    fill_counts(&queue, &copy.ends);
    return queue.items;
}

int kin__see_queues(struct kin__view *view, struct kin__seen *seen)
{
    return kin__view_objects(view, KIN__OBJECT_QUEUE, sizeof(struct kin_queue), see_queue, seen);
}

/* ---- locks ------------------------------------------------------------------------------------------ */

static kin_inspected_lock *add_lock(struct kin__seen *seen, uint64_t address, enum kin_inspected_kind kind,
                                    int *rc)
{
    kin_inspected_lock *lock = kin__seen_add(seen, KIN__SEEN_LOCKS, rc);
    if (lock == NULL) return NULL;
    lock->lock = (const void *)(uintptr_t)address;
    lock->kind = kind;
    kin__seen_name_of(seen, address, lock->name);
    return lock;
}

static void see_holder(const struct kin__seen *seen, kin_inspected_lock *lock, const struct kin__mutex *mutex)
{
    uint32_t word = mutex->robust.point.word, thread = word & KIN__WORD_OWNER;
    uint64_t owner = mutex->owner;
    lock->died = (word & KIN__WORD_DIED) != 0;
    lock->waiters += waiters_of(&mutex->robust.point);
    if (thread == 0) return;
    lock->depth = (uint32_t)mutex->special + 1;
    lock->holder_thread = (int)thread;
    /* `owner` is written after the word: until then it is that of the one before. */
    lock->holder_pid =
        (uint32_t)owner == thread ? kin__identity_pid(owner) : kin__seen_pid(seen, (int)thread);
}

static int see_mutex(struct kin__view *view, uint64_t address, void *memory, void *context)
{
    const struct kin__mutex *copy = memory;
    struct kin__seen *seen = context;
    int rc = 0;
    (void)view;
    if (copy->robust.magic != KIN__MAGIC_LOCK && copy->robust.magic != KIN__MAGIC_RLOCK) return 0;
    enum kin_inspected_kind kind = copy->robust.magic == KIN__MAGIC_LOCK ? KIN_KIND_LOCK : KIN_KIND_RLOCK;
    kin_inspected_lock *lock = add_lock(seen, address, kind, &rc);
    if (lock != NULL) see_holder(seen, lock, copy);
    return rc;
}

static unsigned count_readers(const struct kin__reader *readers, uint32_t count)
{
    unsigned reading = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = readers[i].hold.point.word;
        reading += (word & KIN__WORD_OWNER) != 0 && (word & KIN__WORD_DIED) == 0;
    }
    return reading;
}

static int see_rwlock(struct kin__view *view, uint64_t address, void *memory, void *context)
{
    const struct kin_rwlock *copy = memory;
    struct kin__seen *seen = context;
    int rc = 0;
    if (copy->head.magic != KIN__MAGIC_RWLOCK) return 0;
    kin_inspected_lock *lock = add_lock(seen, address, KIN_KIND_RWLOCK, &rc);
    if (lock == NULL) return rc;
    see_holder(seen, lock, &copy->gate);
    lock->waiters += waiters_of(&copy->waiting.point) + waiters_of(&copy->turn.robust.point);
    lock->readers = count_readers(copy->first, KIN__READERS_FIRST);
    for (int i = 0; i < KIN__READER_SEGMENTS && copy->segment[i] != NULL; i++) {
        struct kin__reader segment[KIN__READER_SEGMENT];
        if (kin__view_read(view, (uintptr_t)copy->segment[i], segment, sizeof segment))
            lock->readers += count_readers(segment, KIN__READER_SEGMENT);
    }
    return 0;
}

static void count_permits(kin_inspected_lock *lock, const _Atomic uint64_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = words[i];
        for (int cell = 0; cell < KIN__CELLS; cell++, word >>= KIN__CELL_BITS) {
            lock->free += (word & KIN__CELL_MASK) == KIN__CELL_FREE;
            lock->held += (word & KIN__CELL_MASK) >= KIN__CELL_HOLDER;
        }
    }
}

static void see_permits(const struct kin__view *view, kin_inspected_lock *lock,
                        const struct kin__permits *permits)
{
    uint32_t used = permits->used;
    count_permits(lock, permits->word, used < KIN__PERMIT_WORDS ? used : KIN__PERMIT_WORDS);
    used -= used < KIN__PERMIT_WORDS ? used : KIN__PERMIT_WORDS;
    for (int i = 0; i < KIN__PERMIT_CHUNKS && used > 0; i++) {
        struct kin__permit_chunk chunk;
        uint32_t here = used < KIN__PERMIT_CHUNK ? used : KIN__PERMIT_CHUNK;
        if (kin__view_read(view, (uintptr_t)permits->chunk[i], &chunk, sizeof chunk))
            count_permits(lock, chunk.word, here);
        used -= here;
    }
}

static int see_semaphore(struct kin__view *view, uint64_t address, void *memory, void *context)
{
    const kin_semaphore *copy = memory;
    struct kin__seen *seen = context;
    int rc = 0;
    if (copy->head.magic != KIN__MAGIC_SEMAPHORE) return 0;
    kin_inspected_lock *lock = add_lock(seen, address, KIN_KIND_SEMAPHORE, &rc);
    if (lock == NULL) return rc;
    lock->waiters = waiters_of(&copy->released.point);
    if (kin__view_flag((const void *)&copy->plain))
        lock->free = copy->count;
    else
        see_permits(view, lock, &copy->permits);
    return 0;
}

int kin__see_locks(struct kin__view *view, struct kin__seen *seen)
{
    int rc = kin__view_objects(view, KIN__OBJECT_LOCK, sizeof(struct kin__mutex), see_mutex, seen);
    if (rc == 0)
        rc = kin__view_objects(view, KIN__OBJECT_RWLOCK, sizeof(struct kin_rwlock), see_rwlock, seen);
    if (rc == 0)
        rc = kin__view_objects(view, KIN__OBJECT_SEMAPHORE, sizeof(kin_semaphore), see_semaphore, seen);
    return rc;
}
