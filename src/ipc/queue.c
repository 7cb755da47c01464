/* queue.c: the public queue: opening, ending, closing, its state, and what a death leaves.
 *
 * Invariants:
 *  - `magic` decides whether a queue can be used; whoever became its `closer` frees what the
 *    queue holds, or, if that thread dies, the reaper does.
 */
#include "ipc/queue.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "ipc/message.h"
#include "memory/reap.h"
#include "memory/region.h"
#include "memory/remote.h"
#include "memory/waitable.h"

#define BYTES_DEFAULT ((uint64_t)64 << 20)

static void wake_all(kin_queue *queue)
{
    kin__waiters_wake_all(&queue->items.point);
    kin__waiters_wake_all(&queue->space.point);
    if (kin__queue_is_joinable(queue)) kin__waiters_wake_all(&queue->finished.point);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Makes the queue another than the one that was here, if there was one, of which somebody may still be on his
 * way out: who is inside when its latches are taken has left when they are ours, and who comes later finds
 * another life before he looks at anything else. */
static int begin_life(kin_queue *queue)
{
    struct kin__latch *latches[] = {&queue->ends.tail.latch, &queue->ends.head.latch};
    atomic_store(&queue->life, kin__queue_life(queue) + KIN__LIFE_ENDED + 1);
    for (int i = 0; i < 2; i++) {
        int rc = kin__latch_acquire(latches[i], KIN_FOREVER);
        if (rc < 0) return rc;
        /* What it protects is made anew. */
        kin__latch_clean(latches[i]);
        kin__latch_release(latches[i]);
    }
    return 0;
}

static int fill(kin_queue *queue, const kin_queue_options *options)
{
    int rc = begin_life(queue);
    if (rc < 0) return rc;
    uint64_t items = options->max_items != 0 ? options->max_items : KIN__ITEMS_MOST;
    uint64_t bytes = options->max_bytes != 0 ? options->max_bytes : BYTES_DEFAULT;
    kin__event_init(&queue->items);
    kin__event_init(&queue->space);
    kin__event_init(&queue->finished);
    atomic_store(&queue->by_bytes, 0);
    atomic_store(&queue->closer, NULL);
    atomic_store(&queue->draining, NULL);
    if (items > KIN__ITEMS_MOST) items = KIN__ITEMS_MOST;
    queue->by_rank = options->order != KIN_FIFO || options->redeliver != 0;
    queue->by_priority = options->order == KIN_PRIORITY;
    queue->redeliver = options->redeliver < 0 ? UINT32_MAX : (uint32_t)options->redeliver;
    queue->tasks = !options->joinable ? KIN__TASKS_NONE
                   : queue->redeliver ? KIN__TASKS_KEPT
                                      : KIN__TASKS_COUNTED;
    rc = queue->tasks == KIN__TASKS_COUNTED ? kin__queue_make_joinable(queue) : 0;
    if (rc < 0) return rc;
    if (queue->by_rank) {
        queue->shelf.last_first = options->order == KIN_LIFO;
        queue->shelf.keeps = queue->tasks == KIN__TASKS_KEPT;
        rc = kin__shelf_open(&queue->shelf, items, bytes);
    } else {
        rc = kin__stream_open(&queue->stream, items, bytes);
    }
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
    const struct kin__place place = {.address = given.address,
                                     .key = given.key,
                                     .key_size = given.key_size,
                                     .name = given.name != NULL ? given.name : "Queue",
                                     .method = "put"};
    if (given.address != NULL) return kin__remote_open((void **)queue, &place);
    if (given.key != NULL || given.key_size != 0 || given.name != NULL) return -EINVAL;
    if (given.max_bytes > kin__family.size || (unsigned)given.order > KIN_PRIORITY ||
        (given.redeliver != 0 && !given.joinable))
        return -EINVAL;
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

/* A queue that is just being opened has nothing to repair yet, and who opens it holds no latch while it makes what
 * there will be: who is late and has the latch keeps off.  Acquire: pairs with the directory's publication, which
 * comes after the sort of the queue and its ends. */
static bool is_made(kin_queue *queue)
{
    return atomic_load_explicit(&queue->stream.directory, memory_order_acquire) != NULL;
}

void kin__queue_repair_head(kin_queue *queue)
{
    if (!is_made(queue)) {
        kin__latch_clean(&queue->ends.head.latch);
        return;
    }
    if (queue->by_rank) {
        kin__shelf_repair(&queue->shelf);
        return;
    }
    /* Nothing else to undo: what was seen of the tail is at worst old. */
    kin__end_recover(&queue->ends.head);
    kin__latch_clean(&queue->ends.head.latch);
}

void kin__queue_repair_tail(kin_queue *queue)
{
    if (!is_made(queue)) {
        kin__latch_clean(&queue->ends.tail.latch);
        return;
    }
    if (queue->by_rank)
        kin__latch_clean(&queue->ends.tail.latch);
    else
        kin__stream_repair_tail(&queue->stream);
}

/* ---- ending and closing ------------------------------------------------------------------------ */

static int end(kin_queue *queue, enum kin__ended how)
{
    struct kin__latch *latch;
    int rc = kin__queue_lock_tail(queue, KIN_FOREVER, &latch);
    if (rc < 0) return rc;
    uint32_t life = kin__queue_life(queue);
    /* CRASH: after it the queue has ended, whatever becomes of the messages in it: nobody gets one that is
     * to be dropped, and at the latest the closing frees it. */
    if (kin__queue_ended(queue, life) < how) atomic_store(&queue->life, life + how);
    kin__latch_release(latch);
    wake_all(queue);
    return 0;
}

/* Frees the first message; false when there is none, or when this process holds as many as it can. */
static bool drop_one(kin_queue *queue)
{
    struct kin__record record = {0};
    if (kin__queue_lock_head(queue, KIN_FOREVER) < 0) return false;
    bool found = kin__queue_peek(queue, &record);
    if (found && record.message != NULL) found = kin__message_hold(record.message) == 0;
    if (found) kin__queue_consume(queue, &record);
    kin__latch_release(&queue->ends.head.latch);
    if (found && record.message != NULL) kin__message_free(record.message);
    return found;
}

int kin_queue_shutdown(kin_queue *queue, int immediate)
{
    int rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_shutdown(queue, immediate != 0) : rc;
    void *outer = kin__touch(queue);
    rc = end(queue, immediate ? KIN__ENDED_AT_ONCE : KIN__ENDED_IN_ORDER);
    while (immediate && rc == 0 && drop_one(queue))
        ;
    kin__untouch(outer);
    return rc;
}

/* Takes the oldest message out and says in `draining` which block is to be freed; false when
 * there is none.  The closer may hold as many messages as it can, or be a reaper that is no
 * process of the family: the table of held messages is not for this. */
static bool drain_one(kin_queue *queue)
{
    struct kin__record record = {0};
    if (kin__queue_lock_head(queue, KIN_FOREVER) < 0) return false;
    bool found = kin__queue_peek(queue, &record);
    struct kin__shelf_slot *kept = found || !queue->by_rank ? NULL : kin__shelf_any_taken(&queue->shelf);
    if (kept != NULL) record = kin__shelf_record(kept);
    bool left = kept != NULL && record.message != NULL && kin__message_leave(record.message);
    if (record.message != NULL && !left) {
        /* Nobody's: who put it, and died before it let go, does not free it any more. */
        atomic_store(&record.message->owner, 0);
        atomic_store(&queue->draining, record.message);
    }
    /* CRASH: before it the message is named by both, and destroy drops the name. */
    if (found) kin__queue_consume(queue, &record);
    if (kept != NULL) kin__shelf_done(&queue->shelf, kept);
    kin__latch_release(&queue->ends.head.latch);
    void *message = atomic_load(&queue->draining);
    if (message != NULL && kin__free(message, &queue->draining) < 0) return false;
    return found || kept != NULL;
}

/* Frees everything; idempotent, so that it can be begun again after a death, or by a reaper that did not get a
 * latch.  `destination` is what
 * made us the one to do this: a stale one would name the next queue at this place. */
static void destroy(kin_queue *queue, _Atomic(void *) *destination)
{
    if (atomic_load(&queue->stream.directory) != NULL) {
        struct kin__message *left = atomic_load(&queue->draining);
        end(queue, KIN__ENDED_IN_ORDER);
        if (left != NULL && kin__queue_names(queue, left))
            atomic_store(&queue->draining, NULL);
        else if (left != NULL)
            kin__free(left, &queue->draining);
        while (!kin__self.reap_missed && drain_one(queue))
            ;
        if (kin__self.reap_missed) return;
        if (queue->by_rank)
            kin__shelf_close(&queue->shelf);
        else
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
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_close(queue) : rc;
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
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_qsize(queue) : rc;
    /* What is dropped and not freed yet is nobody's concern. */
    bool dropped = kin__queue_ended(queue, kin__queue_life(queue)) == KIN__ENDED_AT_ONCE;
    return dropped ? 0 : (long)kin__ends_items(&queue->ends);
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
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_full(queue) : rc;
    return !kin__ends_have_room(&queue->ends, kin__record_charge(&byte), &by_bytes);
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

void kin__queue_destroy(kin_queue *queue, _Atomic(void *) *destination)
{
    __atomic_store_n(&queue->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
    destroy(queue, destination);
}

/* A queue that was being opened. */
static bool settle_queue(void *object, _Atomic(void *) *entry, uint64_t identity)
{
    (void)identity;
    kin__queue_destroy(object, entry);
    return true;
}

/* Who holds a message writes its entry, then the message's number of it. */
static bool is_held_by(const struct kin__message *message, _Atomic(void *) *entry)
{
    size_t slot = (size_t)((char *)entry - (char *)kin__family.processes) / sizeof *kin__family.processes;
    return message->held < KIN__HELD_LIMIT && &kin__family.processes[slot].held[message->held] == entry;
}

/* A message that the dead process held is freed, unless it is in a queue or another's. */
static bool settle_message(void *block, _Atomic(void *) *entry, uint64_t identity)
{
    struct kin__message *message = block;
    if (kin__block_size(block) == 0 || message->magic != KIN__MAGIC_MESSAGE ||
        atomic_load(&message->owner) != identity)
        return true;
    /* Between the putting of a message and the clearing of its entry another thread of the process may have taken
     * and freed it: what is there now may be another's, and still look like it. */
    if (!is_held_by(message, entry)) return true;
    kin_queue *queue = message->queue;
    /* One that is being closed may still name the message: asked again when that is over. */
    if (queue != NULL && kin__object_kind_of(queue) == KIN__OBJECT_QUEUE &&
        __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) != KIN__MAGIC_QUEUE)
        return false;
    if (queue != NULL && __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE) {
        if (kin__queue_lock_head(queue, KIN_FOREVER) < 0) return false;
        /* Who closes it frees what we look at only after it has had the latch as well. */
        bool open = __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE;
        bool in_queue = open && kin__queue_names(queue, message);
        bool ours = atomic_load(&message->owner) == identity;
        /* It copies no more: who closes the queue need not leave it what is in it. */
        if (in_queue && ours) atomic_store(&message->copied, KIN__COPIED);
        kin__latch_release(&queue->ends.head.latch);
        if (!open) return false;
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
    if (rc < 0) return rc;
    uint32_t life = kin__queue_life(queue);
    return kin__queue_may_get(queue, life, false) || kin__queue_is_over(queue, life);
}

static uint32_t life_of(const kin_waitable *item)
{
    kin_queue *queue = (kin_queue *)(uintptr_t)item->object;
    return kin__queue_enter(queue) < 0 ? 0 : kin__queue_life(queue);
}

static struct kin__event *event_of(const kin_waitable *item)
{
    return &((kin_queue *)(uintptr_t)item->object)->items;
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class queues = {.look = look, .life = life_of, .event = event_of};
    kin__waitable_classes[KIN_WAITABLE_QUEUE] = &queues;
}

KIN__LAYOUT_PART(queue, struct kin_queue);
