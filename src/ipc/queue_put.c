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

/* ---- waiting for room ------------------------------------------------------------------------ */

struct room {
    kin_queue *queue;
    uint64_t charge;
};

static bool may_put(void *context)
{
    struct room *room = context;
    kin_queue *queue = room->queue;
    bool by_bytes = false;
    if (kin__ends_have_room(&queue->stream.ends, room->charge, &by_bytes)) return true;
    /* Said before the last look: whoever makes room after that wakes all. */
    if (by_bytes && atomic_load_explicit(&queue->by_bytes, memory_order_relaxed) == 0) {
        atomic_store(&queue->by_bytes, 1);
        if (kin__ends_have_room(&queue->stream.ends, room->charge, &by_bytes)) return true;
    }
    return atomic_load(&queue->ended) != 0;
}

/* Waits until a message of `charge` bytes may fit: 0, or KIN_FULL at the deadline. */
static int wait_for_room(kin_queue *queue, uint64_t charge, kin_deadline deadline)
{
    struct room room = {queue, charge};
    if (deadline <= 0) return KIN_FULL;
    if (kin__watch_for(may_put, &room)) {
        unsigned lag = kin__linger();
        struct kin__ends *ends = &queue->stream.ends;
        if (lag > 0) kin__linger_learn(lag, ends->max_items - kin__ends_items(ends));
        return 0;
    }
    int rc = kin__event_sleep_for(&queue->space, may_put, &room, deadline);
    return rc == -ETIMEDOUT ? KIN_FULL : rc;
}

/* ---- putting -------------------------------------------------------------------------------- */

/* One attempt under the tail's latch; `*spare` says whether a segment has been allocated. */
static int try_append(kin_queue *queue, const struct kin__record *record, bool *spare, kin_deadline deadline)
{
    int rc = kin__stream_lock_tail(&queue->stream, deadline);
    if (rc < 0) return rc;
    enum kin__append appended = KIN__NO_ROOM;
    if (atomic_load_explicit(&queue->ended, memory_order_relaxed) != 0) {
        rc = KIN_ECLOSED;
    } else {
        struct kin__end *tail = &queue->stream.ends.tail;
        struct kin__cursor cursor = kin__cursor_at(tail);
        rc = 0;
        appended = kin__stream_write(&queue->stream, &cursor, record, queue);
        if (appended == KIN__NO_SEGMENT && *spare) {
            *spare = !kin__stream_install(&queue->stream);
            appended = kin__stream_write(&queue->stream, &cursor, record, queue);
        }
        kin__cursor_commit(tail, &cursor);
    }
    kin__latch_release(&queue->stream.ends.tail.latch);
    return rc < 0 ? rc : (int)appended;
}

static int append(kin_queue *queue, const struct kin__record *record, kin_deadline deadline)
{
    bool spare = false;
    int rc;
    for (;;) {
        rc = try_append(queue, record, &spare, deadline);
        if (rc <= KIN__APPENDED) break;
        if (rc == KIN__NO_SEGMENT && !spare) {
            spare = kin__allocate(KIN__SEGMENT_SIZE, &rc) != NULL;
            if (!spare) break;
            continue;
        }
        /* Meanwhile this thread may allocate other things. */
        if (spare) kin__allocate_cancel();
        spare = false;
        rc = wait_for_room(queue, kin__record_charge(record), deadline);
        if (rc < 0) break;
    }
    if (spare) kin__allocate_cancel();
    if (rc == 0)
        kin__queue_tell_items(queue);
    else if (rc != KIN_FULL && rc != KIN_ECLOSED)
        kin__queue_tell_space(queue); /* we may have been woken for room that we did not use */
    return rc;
}

static int put_message(kin_queue *queue, struct kin__message *message, kin_deadline deadline)
{
    struct kin__record record = {.kind = KIN__RECORD_MESSAGE, .size = message->size, .message = message};
    uint32_t held = message->held;
    int rc = append(queue, &record, deadline);
    /* CRASH: in the queue and in our table: the reaper finds it in the queue. */
    if (rc == 0) kin__message_let_go(held);
    return rc;
}

static int put_large(kin_queue *queue, const void *bytes, size_t size, kin_deadline deadline)
{
    struct kin__message *message = NULL;
    int rc = kin__message_make(&message, size);
    if (rc < 0) return rc;
    memcpy(kin__message_bytes(message), bytes, size);
    rc = put_message(queue, message, deadline);
    if (rc < 0) kin__message_free(message);
    return rc;
}

int kin_queue_put(kin_queue *queue, const void *message, size_t size, kin_deadline deadline)
{
    int rc = kin__queue_enter(queue);
    if (__builtin_expect(rc < 0, 0)) return rc;
    if (message == NULL && size > 0) return -EINVAL;
    void *outer = kin__touch(queue);
    if (size <= KIN__INLINE_MOST) {
        struct kin__record record = {.kind = KIN__RECORD_INLINE, .bytes = message, .size = size};
        rc = append(queue, &record, deadline);
    } else {
        rc = put_large(queue, message, size, deadline);
    }
    kin__untouch(outer);
    return rc;
}

int kin_queue_reserve(kin_queue *queue, void **message, size_t size)
{
    struct kin__message *made = NULL;
    int rc = kin__queue_enter(queue);
    if (rc < 0) return rc;
    if (message == NULL) return -EINVAL;
    if (atomic_load(&queue->ended) != 0) return KIN_ECLOSED;
    rc = kin__message_make(&made, size);
    if (rc == 0) *message = kin__message_bytes(made);
    return rc;
}

int kin_queue_commit(kin_queue *queue, void *message, kin_deadline deadline)
{
    struct kin__message *found = NULL;
    int rc = kin__queue_enter(queue);
    if (rc < 0) return rc;
    if (message == NULL) return -EINVAL;
    rc = kin__message_find(message, &found);
    if (rc < 0) return rc == KIN_EFOREIGN ? -EINVAL : rc;
    void *outer = kin__touch(queue);
    rc = put_message(queue, found, deadline);
    kin__untouch(outer);
    return rc;
}

int kin_queue_release(void *message)
{
    struct kin__message *found = NULL;
    if (message == NULL) return 0;
    int rc = kin__enter();
    if (rc == 0) rc = kin__message_find(message, &found);
    return rc < 0 ? rc : kin__message_free(found);
}
