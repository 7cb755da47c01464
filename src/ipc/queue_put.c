/* queue_put.c: putting messages into a queue: waiting for room, copying, reserving and committing.
 *
 * Invariants:
 *  - A thread inside a queue says so (kin__touch): if it dies, the reaper wakes everybody who
 *    waits there, because the dead one may have committed and not yet told.
 *  - A segment that is being allocated is the thread's one allocation: it is installed or given back
 *    before the thread may allocate anything else.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/message.h"
#include "ipc/queue.h"
#include "memory/allocator.h"
#include "memory/region.h"
#include "memory/remote.h"

/* ---- waiting for room ------------------------------------------------------------------------ */

struct room {
    kin_queue *queue;
    uint32_t life;
    uint64_t charge;
};

static bool has_room(kin_queue *queue, uint64_t charge, bool *by_bytes)
{
    if (queue->by_rank && atomic_load(&queue->shelf.has_slot) == 0) return false;
    return kin__ends_have_room(&queue->ends, charge, by_bytes);
}

static bool may_put(void *context)
{
    struct room *room = context;
    kin_queue *queue = room->queue;
    bool by_bytes = false;
    if (kin__queue_ended(queue, room->life) != KIN__OPEN || has_room(queue, room->charge, &by_bytes))
        return true;
    /* Said before the last look: whoever makes room after that wakes all. */
    if (by_bytes && atomic_load_explicit(&queue->by_bytes, memory_order_relaxed) == 0) {
        atomic_store(&queue->by_bytes, 1);
        if (has_room(queue, room->charge, &by_bytes)) return true;
    }
    return kin__queue_ended(queue, room->life) != KIN__OPEN;
}

/* Waits until a message of `charge` bytes may fit: 0, or KIN_FULL at the deadline. */
static int wait_for_room(kin_queue *queue, uint32_t life, uint64_t charge, kin_deadline deadline)
{
    struct room room = {queue, life, charge};
    if (deadline <= 0) return KIN_FULL;
    if (kin__watch_for(may_put, &room)) {
        unsigned lag = kin__linger();
        struct kin__ends *ends = &queue->ends;
        if (lag > 0) kin__linger_learn(lag, ends->max_items - kin__ends_items(ends));
        return 0;
    }
    int rc = kin__event_sleep_for(&queue->space, may_put, &room, deadline);
    return rc == -ETIMEDOUT ? KIN_FULL : rc;
}

/* ---- putting -------------------------------------------------------------------------------- */

/* What is to be put: a block, or so many messages that are copied; how many of them have been; and into the queue
 * of which life. */
struct load {
    struct kin__message *block;
    const kin_message *messages;
    int64_t priority;
    size_t count;
    size_t done;
    uint32_t life;
};

static struct kin__record record_of(const struct load *load, size_t number)
{
    struct kin__record record = {.kind = KIN__RECORD_INLINE, .priority = load->priority};
    if (load->block != NULL) {
        record.kind = KIN__RECORD_MESSAGE;
        record.size = load->block->size;
        record.message = load->block;
    } else {
        record.bytes = load->messages[number].data;
        record.size = load->messages[number].size;
    }
    return record;
}

/* Under the tail's latch: puts a single message, whose cursor need not be in memory. */
static enum kin__append write_single(kin_queue *queue, struct load *load, bool *spare)
{
    struct kin__record record = record_of(load, load->done);
    enum kin__append appended = kin__stream_append(&queue->stream, &record, queue);
    if (appended == KIN__NO_SEGMENT && *spare) {
        *spare = !kin__stream_install(&queue->stream);
        appended = kin__stream_append(&queue->stream, &record, queue);
    }
    load->done += appended == KIN__APPENDED;
    return appended;
}

/* Under the tail's latch: puts as many as there is room for, and not so many that others wait long. */
static enum kin__append write_load(kin_queue *queue, struct load *load, bool *spare)
{
    struct kin__end *tail = &queue->ends.tail;
    struct kin__cursor cursor = kin__cursor_at(tail);
    uint64_t enough = cursor.bytes + KIN__RUN_BYTES;
    enum kin__append appended;
    size_t done = load->done;
    do {
        struct kin__record record = record_of(load, done);
        appended = kin__stream_write(&queue->stream, &cursor, &record, queue);
        if (appended == KIN__NO_SEGMENT && *spare) {
            *spare = !kin__stream_install(&queue->stream);
            appended = kin__stream_write(&queue->stream, &cursor, &record, queue);
        }
    } while (appended == KIN__APPENDED && ++done < load->count && cursor.bytes < enough);
    kin__cursor_commit(tail, &cursor);
    load->done = done;
    return appended;
}

/* The same for a queue by rank: each of them commits by itself. */
static enum kin__append shelve_load(kin_queue *queue, struct load *load, bool *spare)
{
    enum kin__append appended;
    do {
        struct kin__record record = record_of(load, load->done);
        appended = kin__shelf_put(&queue->shelf, &record, queue);
        if (appended == KIN__NO_SEGMENT && *spare) {
            *spare = !kin__shelf_install(&queue->shelf);
            appended = kin__shelf_put(&queue->shelf, &record, queue);
        }
    } while (appended == KIN__APPENDED && ++load->done < load->count);
    return appended;
}

/* One attempt; `*spare` says whether a segment has been allocated. */
static int try_append(kin_queue *queue, struct load *load, bool *spare, kin_deadline deadline)
{
    struct kin__latch *latch;
    int rc = kin__queue_lock_tail(queue, deadline, &latch);
    if (rc < 0) return rc;
    size_t before = load->done;
    if (kin__queue_ended(queue, load->life) != KIN__OPEN)
        rc = KIN_ECLOSED;
    else if (queue->by_rank)
        rc = (int)shelve_load(queue, load, spare);
    else
        rc = (int)(load->count == 1 ? write_single(queue, load, spare) : write_load(queue, load, spare));
    kin__latch_release(latch);
    if (load->done > before) kin__queue_tell_items(queue, load->done - before);
    return rc;
}

static bool allocate_segment(kin_queue *queue, kin_deadline deadline, int *rc)
{
    _Static_assert(KIN__SHELF_SEGMENT == KIN__SEGMENT_SIZE, "one size for both");
    void *segment = kin__allocate_until(KIN__SEGMENT_SIZE, deadline, rc);
    if (segment != NULL && queue->by_rank) memset(segment, 0, KIN__SEGMENT_SIZE);
    return segment != NULL;
}

static int append(kin_queue *queue, struct load *load, kin_deadline deadline)
{
    bool spare = false;
    int rc;
    for (;;) {
        rc = try_append(queue, load, &spare, deadline);
        if (rc < 0 || load->done == load->count) break;
        if (rc == KIN__APPENDED) continue;
        if (rc == KIN__NO_SEGMENT && !spare) {
            spare = allocate_segment(queue, deadline, &rc);
            if (!spare) break;
            continue;
        }
        /* Meanwhile this thread may allocate other things. */
        if (spare) kin__allocate_cancel();
        spare = false;
        struct kin__record next = record_of(load, load->done);
        rc = wait_for_room(queue, load->life, kin__record_charge(&next), deadline);
        if (rc < 0) break;
    }
    if (spare) kin__allocate_cancel();
    /* We may have been woken for room that we did not use. */
    if (rc < 0 && rc != KIN_FULL && rc != KIN_ECLOSED) kin__queue_tell_space(queue, 1);
    return rc;
}

static int put_message(kin_queue *queue, uint32_t life, struct kin__message *message, int64_t priority,
                       kin_deadline deadline)
{
    struct load load = {.life = life, .block = message, .priority = priority, .count = 1};
    uint32_t held = message->held;
    int rc = append(queue, &load, deadline);
    /* CRASH: in the queue and in our table: the reaper finds it in the queue. */
    if (rc == 0) kin__message_let_go(held);
    return rc;
}

static int put_large(kin_queue *queue, uint32_t life, const kin_message *copied, int64_t priority,
                     kin_deadline deadline)
{
    struct kin__message *message = NULL;
    int rc = kin__message_make(&message, copied->size, deadline);
    if (rc < 0) return rc;
    memcpy(kin__message_bytes(message), copied->data, copied->size);
    rc = put_message(queue, life, message, priority, deadline);
    if (rc < 0) kin__message_free(message);
    return rc;
}

/* Larger ones lie in a block. */
static size_t inline_most(const kin_queue *queue)
{
    return queue->by_rank ? KIN__SHELF_INLINE_MOST : KIN__INLINE_MOST;
}

static int put(kin_queue *queue, const kin_message *message, int64_t priority, kin_deadline deadline)
{
    struct load load = {
        .life = kin__queue_life(queue), .messages = message, .priority = priority, .count = 1};
    if (message->data == NULL && message->size > 0) return -EINVAL;
    void *outer = kin__touch(queue);
    int rc = message->size <= inline_most(queue) ? append(queue, &load, deadline)
                                                 : put_large(queue, load.life, message, priority, deadline);
    kin__untouch(outer);
    return rc;
}

int kin_queue_put(kin_queue *queue, const void *message, size_t size, kin_deadline deadline)
{
    int rc = kin__queue_enter(queue);
    if (__builtin_expect(rc < 0, 0))
        return kin__is_remote(queue) ? kin__remote_put(queue, message, size, deadline) : rc;
    return put(queue, &(kin_message){message, size}, 0, deadline);
}

/* In a queue of a manager priorities are in the values. */
static int enter_by_priority(kin_queue *queue)
{
    int rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? -EINVAL : rc;
    return queue->by_priority ? 0 : -EINVAL;
}

int kin_queue_put_priority(kin_queue *queue, const void *message, size_t size, int64_t priority,
                           kin_deadline deadline)
{
    int rc = enter_by_priority(queue);
    return rc < 0 ? rc : put(queue, &(kin_message){message, size}, priority, deadline);
}

/* How many of the messages need no block, up to the first that does. */
static size_t count_small(const kin_queue *queue, const kin_message *messages, size_t count)
{
    size_t small = 0, most = inline_most(queue);
    while (small < count && messages[small].size <= most) small++;
    return small;
}

long kin_queue_put_many(kin_queue *queue, const kin_message *messages, size_t count, kin_deadline deadline)
{
    int rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_put_many(queue, messages, count, deadline) : rc;
    if (messages == NULL && count > 0) return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (messages[i].data == NULL && messages[i].size > 0) return -EINVAL;
    void *outer = kin__touch(queue);
    uint32_t life = kin__queue_life(queue);
    size_t put = 0;
    while (rc == 0 && put < count) {
        const kin_message *next = &messages[put];
        struct load load = {.life = life, .messages = next, .count = count_small(queue, next, count - put)};
        if (load.count > 0)
            rc = append(queue, &load, deadline);
        else if ((rc = put_large(queue, life, next, 0, deadline)) == 0)
            load.done = 1;
        put += load.done;
    }
    kin__untouch(outer);
    return put > 0 || rc == 0 ? (long)put : rc;
}

int kin_queue_reserve(kin_queue *queue, void **message, size_t size)
{
    struct kin__message *made = NULL;
    int rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_reserve(queue, message, size) : rc;
    if (message == NULL) return -EINVAL;
    if (kin__queue_ended(queue, kin__queue_life(queue)) != KIN__OPEN) return KIN_ECLOSED;
    rc = kin__message_make(&made, size, KIN_FOREVER);
    if (rc == 0) *message = kin__message_bytes(made);
    return rc;
}

static int commit(kin_queue *queue, void *message, int64_t priority, kin_deadline deadline)
{
    struct kin__message *found = NULL;
    if (message == NULL) return -EINVAL;
    int rc = kin__message_find(message, &found);
    if (rc < 0) return rc == KIN_EFOREIGN ? -EINVAL : rc;
    void *outer = kin__touch(queue);
    rc = put_message(queue, kin__queue_life(queue), found, priority, deadline);
    kin__untouch(outer);
    return rc;
}

int kin_queue_commit(kin_queue *queue, void *message, kin_deadline deadline)
{
    int rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_commit(queue, message, deadline) : rc;
    return commit(queue, message, 0, deadline);
}

int kin_queue_commit_priority(kin_queue *queue, void *message, int64_t priority, kin_deadline deadline)
{
    int rc = enter_by_priority(queue);
    return rc < 0 ? rc : commit(queue, message, priority, deadline);
}

int kin_queue_release(void *message)
{
    struct kin__message *found = NULL;
    if (message == NULL) return 0;
    int rc = kin__enter();
    if (rc == 0) rc = kin__message_find(message, &found);
    return rc < 0 ? rc : kin__message_free(found);
}
