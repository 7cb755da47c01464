/* queue.c: the public queue: waiting, copying and zero-copy over a stream (stream.h).
 *
 * Invariants:
 *  - A thread inside a queue says so (kin__touch): if it dies, the reaper wakes everybody who
 *    waits there, because the dead one may have committed and not yet told.
 *  - `magic` decides whether a queue can be used; whoever became its `closer` frees what the
 *    queue holds, or, if that thread dies, the reaper does.
 */
#include "ipc/queue.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "ipc/message.h"
#include "ipc/stream.h"
#include "memory/reap.h"
#include "memory/region.h"
#include "memory/waitable.h"

#define BYTES_DEFAULT ((uint64_t)64 << 20)

static void wake_all(kin_queue *queue)
{
    kin__waiters_wake_all(&queue->items.point);
    kin__waiters_wake_all(&queue->space.point);
    if (kin__queue_is_joinable(queue)) kin__waiters_wake_all(&queue->finished.point);
}

/* ---- opening ------------------------------------------------------------------------------- */

static int fill(kin_queue *queue, const kin_queue_options *options)
{
    uint64_t items = options->max_items != 0 ? options->max_items : KIN__ITEMS_MOST;
    uint64_t bytes = options->max_bytes != 0 ? options->max_bytes : BYTES_DEFAULT;
    kin__event_init(&queue->items);
    kin__event_init(&queue->space);
    kin__event_init(&queue->finished);
    atomic_store(&queue->ended, 0);
    atomic_store(&queue->by_bytes, 0);
    atomic_store(&queue->closer, NULL);
    atomic_store(&queue->draining, NULL);
    int rc = options->joinable ? kin__queue_make_joinable(queue) : 0;
    if (rc < 0) return rc;
    rc = kin__stream_open(&queue->stream, items < KIN__ITEMS_MOST ? items : KIN__ITEMS_MOST, bytes);
    if (rc < 0) kin__queue_forget_tasks(queue);
    return rc;
}

static void destroy(kin_queue *queue, _Atomic(void *) *destination);

int kin_queue_open_sized(kin_queue **queue, const kin_queue_options *options, size_t size)
{
    kin_queue_options given = {0};
    uint32_t held = 0;
    if (queue == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc < 0) return rc;
    if (given.max_bytes > kin__family.size) return -EINVAL;
    kin_queue *made = kin__allocate_object(KIN__OBJECT_QUEUE, sizeof *made, &rc);
    if (made == NULL) return rc;
    rc = kin__held_claim(&held);
    if (rc < 0) {
        kin__allocate_cancel();
        return rc;
    }
    /* CRASH: until it is open it is held like a message; the reaper destroys it. */
    __atomic_store_n(&made->magic, KIN__MAGIC_QUEUE_OPENING, __ATOMIC_RELEASE);
    kin__allocate_publish(&kin__self.process->held[held]);
    rc = fill(made, &given);
    if (rc < 0) {
        kin__free(made, &kin__self.process->held[held]);
        return rc;
    }
    *queue = made;
    __atomic_store_n(&made->magic, KIN__MAGIC_QUEUE, __ATOMIC_RELEASE);
    kin__message_let_go(held);
    return 0;
}

/* ---- putting -------------------------------------------------------------------------------- */

static void notify_items(kin_queue *queue)
{
    kin__event_notify(&queue->items, 1);
}

static void notify_space(kin_queue *queue)
{
    bool all = atomic_load_explicit(&queue->by_bytes, memory_order_relaxed) != 0;
    kin__event_notify(&queue->space, all ? INT32_MAX : 1);
}

static bool may_put(kin_queue *queue, uint64_t charge, bool *by_bytes)
{
    return kin__stream_has_room(&queue->stream, charge, by_bytes) || atomic_load(&queue->ended) != 0;
}

/* Waits until a message of `charge` bytes may fit: 0, or KIN_FULL at the deadline. */
static int wait_for_room(kin_queue *queue, uint64_t charge, kin_deadline deadline)
{
    bool by_bytes = false;
    if (deadline <= 0) return KIN_FULL;
    struct kin__watch watch = kin__watch_begin();
    do {
        if (may_put(queue, charge, &by_bytes)) {
            kin__watch_end(&watch, true);
            unsigned lag = kin__linger();
            if (lag > 0) kin__linger_learn(lag, queue->stream.max_items - kin__stream_items(&queue->stream));
            return 0;
        }
    } while (kin__watch_more(&watch));
    kin__watch_end(&watch, false);
    uint32_t seen = kin__event_prepare(&queue->space);
    int rc = 0;
    if (by_bytes) atomic_store(&queue->by_bytes, 1);
    if (!may_put(queue, charge, &by_bytes)) rc = kin__event_sleep(&queue->space, seen, deadline);
    bool room = may_put(queue, charge, &by_bytes);
    if (rc == 1 && room) kin__rescued(&queue->space.point, seen);
    kin__event_done(&queue->space);
    if (rc == -ETIMEDOUT) rc = KIN_FULL;
    return rc < 0 && !room ? rc : 0;
}

/* One attempt under the tail's latch; `*spare` says whether a segment has been allocated. */
static int try_append(kin_queue *queue, const struct kin__record *record, bool *spare, kin_deadline deadline)
{
    int rc = kin__stream_lock_tail(&queue->stream, deadline);
    if (rc < 0) return rc;
    enum kin__append appended = KIN__NO_ROOM;
    if (atomic_load_explicit(&queue->ended, memory_order_relaxed) != 0) {
        rc = KIN_ECLOSED;
    } else {
        rc = 0;
        appended = kin__stream_append(&queue->stream, record, queue);
        if (appended == KIN__NO_SEGMENT && *spare) {
            *spare = !kin__stream_install(&queue->stream);
            appended = kin__stream_append(&queue->stream, record, queue);
        }
    }
    kin__latch_release(&queue->stream.tail.latch);
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
        notify_items(queue);
    else if (rc != KIN_FULL && rc != KIN_ECLOSED)
        notify_space(queue); /* we may have been woken for room that we did not use */
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

/* ---- getting -------------------------------------------------------------------------------- */

static bool may_get(kin_queue *queue)
{
    uint64_t head = atomic_load_explicit(&queue->stream.head.position, memory_order_relaxed);
    uint64_t tail = atomic_load(&queue->stream.tail.position);
    return ((head ^ tail) & KIN__POSITION_MASK) != 0 || atomic_load(&queue->ended) != 0;
}

/* Waits until there may be a message: 0, or KIN_EMPTY at the deadline. */
static int wait_for_item(kin_queue *queue, kin_deadline deadline)
{
    if (deadline <= 0) return KIN_EMPTY;
    struct kin__watch watch = kin__watch_begin();
    do {
        if (may_get(queue)) {
            kin__watch_end(&watch, true);
            unsigned lag = kin__linger();
            if (lag > 0) kin__linger_learn(lag, kin__stream_items(&queue->stream));
            return 0;
        }
    } while (kin__watch_more(&watch));
    kin__watch_end(&watch, false);
    uint32_t seen = kin__event_prepare(&queue->items);
    int rc = may_get(queue) ? 0 : kin__event_sleep(&queue->items, seen, deadline);
    bool item = may_get(queue);
    if (rc == 1 && item) kin__rescued(&queue->items.point, seen);
    kin__event_done(&queue->items);
    if (rc == -ETIMEDOUT) rc = KIN_EMPTY;
    return rc < 0 && !item ? rc : 0;
}

/* What a consumer wants to be done with the oldest message. */
struct taker {
    void *buffer; /* copy there, */
    size_t capacity;
    bool in_place;                /* or hand over the block: */
    struct kin__message *message; /* in: one that an inline message fits in; out: what was taken */
    kin__queue_claim *claim;
    void *context;
};

enum taken { TAKEN, DROPPED, WANTS_BLOCK };

/* Under the head's latch, for a record that lies in the stream. */
static long take_inline(kin_queue *queue, const struct kin__record *record, struct taker *taker)
{
    if (taker->in_place) {
        if (taker->message == NULL || taker->message->size < record->size) return WANTS_BLOCK;
        memcpy(kin__message_bytes(taker->message), record->bytes, record->size);
        taker->message->size = record->size;
    } else {
        if (record->size > taker->capacity) return KIN_ETOOSMALL;
        if (taker->claim != NULL && !taker->claim(record->bytes, record->size, taker->context)) {
            kin__stream_consume(&queue->stream, record);
            return DROPPED;
        }
        if (record->size > 0) memcpy(taker->buffer, record->bytes, record->size);
    }
    kin__queue_take_task(queue);
    kin__stream_consume(&queue->stream, record);
    return TAKEN;
}

/* Under the head's latch, for a message in a block: makes it ours. */
static long take_block(kin_queue *queue, const struct kin__record *record, struct taker *taker)
{
    if (!taker->in_place && record->size > taker->capacity) return KIN_ETOOSMALL;
    if (taker->claim != NULL &&
        !taker->claim(kin__message_bytes(record->message), record->size, taker->context))
        return KIN_EFOREIGN; /* only queues of records have claims that refuse, and those are small */
    int rc = kin__message_hold(record->message);
    if (rc < 0) return rc;
    kin__queue_take_task(queue);
    kin__stream_consume(&queue->stream, record);
    taker->message = record->message;
    return TAKEN;
}

/* One attempt: a value of enum taken, or an error; KIN_EMPTY and KIN_ECLOSED among them. */
static long try_take(kin_queue *queue, struct taker *taker, size_t *size, kin_deadline deadline)
{
    struct kin__record record;
    struct kin__message *spare = taker->message;
    long rc = kin__stream_lock_head(&queue->stream, deadline);
    if (rc < 0) return rc;
    if (!kin__stream_peek(&queue->stream, &record)) {
        rc = atomic_load(&queue->ended) != 0 ? KIN_ECLOSED : KIN_EMPTY;
    } else {
        *size = record.size;
        rc = record.kind == KIN__RECORD_INLINE ? take_inline(queue, &record, taker)
                                               : take_block(queue, &record, taker);
    }
    kin__latch_release(&queue->stream.head.latch);
    if (rc == TAKEN || rc == DROPPED) notify_space(queue);
    if (rc == TAKEN && spare != NULL && taker->message != spare) kin__message_free(spare);
    return rc;
}

static long take(kin_queue *queue, struct taker *taker, kin_deadline deadline)
{
    size_t size = 0;
    for (;;) {
        long rc = try_take(queue, taker, &size, deadline);
        if (rc == TAKEN) return (long)size;
        if (rc == KIN_EMPTY) {
            rc = wait_for_item(queue, deadline);
        } else if (rc == WANTS_BLOCK) {
            if (taker->message != NULL) kin__message_free(taker->message);
            taker->message = NULL;
            rc = kin__message_make(&taker->message, size);
        } else if (rc == KIN_ETOOSMALL) {
            kin__needed_size_set(size);
        }
        if (rc < 0) {
            if (taker->message != NULL) kin__message_free(taker->message);
            /* We may have been woken for a message that we did not take: others wait for it. */
            if (rc != KIN_EMPTY && rc != KIN_ECLOSED) notify_items(queue);
            return rc;
        }
    }
}

long kin__queue_get_claim(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline,
                          kin__queue_claim *claim, void *context)
{
    struct taker taker = {.buffer = buffer, .capacity = capacity, .claim = claim, .context = context};
    long rc = kin__queue_enter(queue);
    if (__builtin_expect(rc < 0, 0)) return rc;
    if (buffer == NULL && capacity > 0) return -EINVAL;
    void *outer = kin__touch(queue);
    rc = take(queue, &taker, deadline);
    if (rc >= 0 && taker.message != NULL) {
        memcpy(buffer, kin__message_bytes(taker.message), (size_t)rc);
        kin__message_free(taker.message);
    }
    kin__untouch(outer);
    return rc;
}

long kin_queue_get(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline)
{
    return kin__queue_get_claim(queue, buffer, capacity, deadline, NULL, NULL);
}

long kin_queue_take(kin_queue *queue, void **message, kin_deadline deadline)
{
    struct taker taker = {.in_place = true};
    long rc = kin__queue_enter(queue);
    if (rc < 0) return rc;
    if (message == NULL) return -EINVAL;
    void *outer = kin__touch(queue);
    rc = take(queue, &taker, deadline);
    if (rc >= 0) *message = kin__message_bytes(taker.message);
    kin__untouch(outer);
    return rc;
}

/* ---- ending and closing ------------------------------------------------------------------------ */

static int end(kin_queue *queue)
{
    int rc = kin__stream_lock_tail(&queue->stream, KIN_FOREVER);
    if (rc < 0) return rc;
    atomic_store(&queue->ended, 1);
    kin__latch_release(&queue->stream.tail.latch);
    wake_all(queue);
    return 0;
}

int kin_queue_end(kin_queue *queue)
{
    int rc = kin__queue_enter(queue);
    return rc < 0 ? rc : end(queue);
}

/* Takes the oldest message out and says in `draining` which block is to be freed; false when
 * there is none.  The closer may hold as many messages as it can, or be a reaper that is no
 * process of the family: the table of held messages is not for this. */
static bool drain_one(kin_queue *queue)
{
    struct kin__record record;
    if (kin__stream_lock_head(&queue->stream, KIN_FOREVER) < 0) return false;
    bool found = kin__stream_peek(&queue->stream, &record);
    if (found && record.message != NULL) {
        /* Nobody's: who put it, and died before it let go, does not free it any more. */
        atomic_store(&record.message->owner, 0);
        atomic_store(&queue->draining, record.message);
    }
    /* CRASH: before it the message is named by both, and destroy drops the name. */
    if (found) kin__stream_consume(&queue->stream, &record);
    kin__latch_release(&queue->stream.head.latch);
    void *message = atomic_load(&queue->draining);
    if (message != NULL) kin__free(message, &queue->draining);
    return found;
}

/* Frees everything; idempotent, so that it can be begun again after a death.  `destination` is what
 * made us the one to do this: a stale one would name the next queue at this place. */
static void destroy(kin_queue *queue, _Atomic(void *) *destination)
{
    if (atomic_load(&queue->stream.directory) != NULL) {
        struct kin__message *left = atomic_load(&queue->draining);
        end(queue);
        if (left != NULL && kin__stream_names(&queue->stream, left))
            atomic_store(&queue->draining, NULL);
        else if (left != NULL)
            kin__free(left, &queue->draining);
        while (drain_one(queue))
            ;
        kin__stream_close(&queue->stream);
    }
    kin__queue_forget_tasks(queue);
    kin__free(queue, destination);
}

int kin_queue_close(kin_queue *queue)
{
    struct kin__member *nobody = NULL;
    if (queue == NULL) return 0;
    int rc = kin__queue_enter(queue);
    if (rc < 0) return rc;
    void *outer = kin__touch(queue);
    /* CRASH: from here the reaper goes on where we died (announce). */
    if (atomic_compare_exchange_strong(&queue->closer, &nobody, kin__self.member)) {
        __atomic_store_n(&queue->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
        destroy(queue, &kin__self.member->touching);
    } else {
        rc = KIN_ECLOSED;
    }
    kin__untouch(outer);
    return rc;
}

/* ---- reading the state ---------------------------------------------------------------------------- */

long kin_queue_qsize(kin_queue *queue)
{
    int rc = kin__queue_enter(queue);
    return rc < 0 ? rc : (long)kin__stream_items(&queue->stream);
}

int kin_queue_empty(kin_queue *queue)
{
    long size = kin_queue_qsize(queue);
    return size < 0 ? (int)size : size == 0;
}

int kin_queue_full(kin_queue *queue)
{
    struct kin__record byte = {.kind = KIN__RECORD_INLINE, .size = 1};
    bool by_bytes;
    int rc = kin__queue_enter(queue);
    return rc < 0 ? rc : !kin__stream_has_room(&queue->stream, kin__record_charge(&byte), &by_bytes);
}

/* ---- after a death ----------------------------------------------------------------------------------- */

static void announce(void *object, struct kin__member *dead)
{
    kin_queue *queue = object;
    if (atomic_load(&queue->closer) == dead) {
        __atomic_store_n(&queue->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
        destroy(queue, &dead->touching);
    } else if (__atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE) {
        wake_all(queue);
    }
}

/* A queue that was being opened. */
static bool settle_queue(void *object, _Atomic(void *) *entry, uint64_t identity)
{
    kin_queue *queue = object;
    (void)identity;
    __atomic_store_n(&queue->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    destroy(queue, entry);
    return true;
}

/* A message that the dead process held is freed, unless it is in a queue or another's. */
static bool settle_message(void *block, _Atomic(void *) *entry, uint64_t identity)
{
    struct kin__message *message = block;
    if (kin__block_size(block) == 0 || message->magic != KIN__MAGIC_MESSAGE ||
        atomic_load(&message->owner) != identity)
        return true;
    kin_queue *queue = message->queue;
    /* One that is being closed may still name the message: asked again when that is over. */
    if (queue != NULL && kin__object_kind_of(queue) == KIN__OBJECT_QUEUE &&
        __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) != KIN__MAGIC_QUEUE)
        return false;
    if (queue != NULL && __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE) {
        if (kin__stream_lock_head(&queue->stream, KIN_FOREVER) < 0) return false;
        bool in_queue = kin__stream_names(&queue->stream, message);
        bool ours = atomic_load(&message->owner) == identity;
        kin__latch_release(&queue->stream.head.latch);
        if (in_queue || !ours) return true;
    }
    kin__free(message, entry);
    return true;
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_QUEUE] = (struct kin__reap_hooks){
        .announce = announce, .held = settle_queue, .forget = kin__queue_settle_tasks};
    kin__reap_hooks[KIN__OBJECT_KINDS] = (struct kin__reap_hooks){.held = settle_message};
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    kin_queue *queue = (kin_queue *)(uintptr_t)item->object;
    int rc = kin__queue_enter(queue);
    return rc < 0 ? rc : may_get(queue);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_queue *)(uintptr_t)item->object)->items;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class queues = {.look = look, .event = event_of};
    kin__waitable_classes[KIN_WAITABLE_QUEUE] = &queues;
}
