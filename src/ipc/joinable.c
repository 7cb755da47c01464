/* joinable.c: queues of tasks: who has taken how many that are not done yet, and waiting until
 * there are none.
 *
 * Invariants:
 *  - A message is unfinished while it is in the queue or taken; it goes from the one to the other
 *    under the head's latch: at no moment is it in neither.
 *  - Tasks are counted, or kept.  Counted: `taken` has a count for each process of the family, raised
 *    before the message leaves.  Those of a process that has ended are dropped by the reaper: its
 *    tasks count as done, and nobody waits for them.
 *  - Kept: a message that is taken stays on the shelf until it is done, and the reaper puts back what
 *    a process had taken that has ended.  It is done by the process that took it and by no other, so
 *    that nobody acknowledges what is handed out again.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/message.h"
#include "ipc/queue.h"
#include "memory/allocator.h"
#include "memory/remote.h"

/* SHARED, in a block of its own, one for each process slot.  Written under the head's latch, by the
 * process or by the reaper; read under it. */
typedef _Atomic uint32_t counts[];

static _Atomic uint32_t *counts_of(kin_queue *queue)
{
    return *(counts *)atomic_load_explicit(&queue->taken, memory_order_relaxed);
}

int kin__queue_make_joinable(kin_queue *queue)
{
    size_t size = kin__family.header->process_limit * sizeof(_Atomic uint32_t);
    int rc = 0;
    void *block = kin__allocate(size, &rc);
    if (block == NULL) return rc;
    memset(block, 0, size);
    kin__allocate_publish(&queue->taken);
    return 0;
}

void kin__queue_forget_tasks(kin_queue *queue)
{
    void *block = atomic_load(&queue->taken);
    if (block != NULL) kin__free(block, &queue->taken);
}

void kin__queue_note_tasks(kin_queue *queue, uint32_t count)
{
    /* CRASH: counted and still in the queue: the reaper drops the count, the message stays. */
    atomic_fetch_add(&counts_of(queue)[kin__self.process_index], count);
}

/* Under the head's latch: the count of a process that has a task, other things being equal of this one, or
 * NULL. */
static _Atomic uint32_t *find_holder(kin_queue *queue)
{
    _Atomic uint32_t *count = counts_of(queue);
    uint32_t high = atomic_load(&kin__family.header->process_high);
    /* Who reaps on its way into a full family is of no process. */
    if (kin__self.process != NULL && atomic_load(&count[kin__self.process_index]) != 0)
        return &count[kin__self.process_index];
    for (uint32_t i = 0; i < high; i++)
        if (atomic_load(&count[i]) != 0) return &count[i];
    return NULL;
}

bool kin__queue_all_done(kin_queue *queue)
{
    bool dropped = kin__queue_ended(queue, kin__queue_life(queue)) == KIN__ENDED_AT_ONCE;
    if (!dropped && kin__ends_items(&queue->ends) != 0) return false;
    return queue->tasks == KIN__TASKS_KEPT ? atomic_load(&queue->shelf.taken) == 0
                                           : find_holder(queue) == NULL;
}

bool kin__queue_may_come_back(kin_queue *queue)
{
    return queue->tasks == KIN__TASKS_KEPT && atomic_load(&queue->shelf.taken) != 0 &&
           !kin__shelf_has_taken(&queue->shelf);
}

bool kin__queue_is_over(kin_queue *queue, uint32_t life)
{
    if (queue->tasks != KIN__TASKS_KEPT || kin__queue_ended(queue, life) != KIN__ENDED_IN_ORDER) return false;
    /* Somebody may be stopped in there: the caller looks again. */
    if (kin__queue_lock_head(queue, KIN_NOW) < 0) return false;
    bool over = kin__queue_life(queue) != life || kin__shelf_has_taken(&queue->shelf);
    kin__latch_release(&queue->ends.head.latch);
    return over;
}

static int enter(kin_queue *queue)
{
    int rc = kin__queue_enter(queue);
    return rc == 0 && !kin__queue_is_joinable(queue) ? -EINVAL : rc;
}

/* Under the head's latch: who closes it frees what is looked at only after it has had the latch as well. */
static bool is_open(kin_queue *queue)
{
    return __atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_QUEUE;
}

/* Under the head's latch. */
static int count_done(kin_queue *queue)
{
    _Atomic uint32_t *holder = find_holder(queue);
    if (holder == NULL) return KIN_ENOTASK;
    /* CRASH: after it the task is done; the reaper tells those who wait (announce in queue.c). */
    atomic_fetch_sub(holder, 1);
    return 0;
}

/* Under the head's latch; `*message` is to be freed after it. */
static int keep_no_more(kin_queue *queue, struct kin__message **message)
{
    struct kin__shelf_slot *slot = NULL;
    int rc = kin__shelf_own(&queue->shelf, &slot);
    if (rc < 0) return rc;
    *message = kin__shelf_record(slot).message;
    /* CRASH: held by us while the shelf names it: it stays there, and is handed out again. */
    rc = *message != NULL ? kin__message_hold(*message) : 0;
    if (rc < 0)
        *message = NULL;
    else
        kin__shelf_done(&queue->shelf, slot);
    return rc;
}

int kin_queue_task_done(kin_queue *queue)
{
    struct kin__message *message = NULL;
    int rc = enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_task_done(queue) : rc;
    void *outer = kin__touch(queue);
    bool kept = queue->tasks == KIN__TASKS_KEPT;
    rc = kin__queue_lock_head(queue, KIN_FOREVER);
    if (rc >= 0) {
        rc = !is_open(queue) ? KIN_ECLOSED : kept ? keep_no_more(queue, &message) : count_done(queue);
        bool finished = rc == 0 && kin__queue_all_done(queue);
        bool none_comes_back = kept && rc == 0 && atomic_load(&queue->shelf.taken) == 0 &&
                               kin__queue_ended(queue, kin__queue_life(queue)) != KIN__OPEN;
        kin__latch_release(&queue->ends.head.latch);
        if (finished) kin__queue_tell_finished(queue);
        if (none_comes_back) kin__queue_tell_items(queue, INT32_MAX);
        /* There may have been no slot. */
        if (kept && rc == 0) kin__queue_tell_space(queue, 1);
    }
    if (message != NULL) kin__message_free(message);
    kin__untouch(outer);
    return rc;
}

struct joining {
    kin_queue *queue;
    uint32_t life;
    kin_deadline deadline;
    int rc; /* 1 or 0: is nothing unfinished?  Or an error. */
};

static bool is_over(void *context)
{
    struct joining *joining = context;
    kin_queue *queue = joining->queue;
    /* It was good: whatever is amiss now, it is closed. */
    int rc = enter(queue) < 0 ? KIN_ECLOSED : kin__queue_lock_head(queue, joining->deadline);
    if (rc >= 0) {
        bool same = is_open(queue) && kin__queue_life(queue) == joining->life;
        rc = same ? kin__queue_all_done(queue) : KIN_ECLOSED;
        kin__latch_release(&queue->ends.head.latch);
    }
    joining->rc = rc;
    return rc != 0;
}

int kin_queue_join(kin_queue *queue, kin_deadline deadline)
{
    struct joining joining = {.queue = queue, .deadline = deadline};
    int rc = enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_join(queue, deadline) : rc;
    joining.life = kin__queue_life(queue);
    if (is_over(&joining)) return joining.rc < 0 ? joining.rc : 0;
    /* Without watching before: each look takes the latch that the workers want. */
    rc = kin__event_sleep_for(&queue->finished, is_over, &joining, deadline);
    return rc < 0 || joining.rc > 0 ? rc : joining.rc;
}

void kin__queue_settle_tasks(void *object, struct kin__process_slot *dead)
{
    kin_queue *queue = object;
    if (__atomic_load_n(&queue->magic, __ATOMIC_ACQUIRE) != KIN__MAGIC_QUEUE ||
        !kin__queue_is_joinable(queue))
        return;
    uint32_t place = (uint32_t)(dead - kin__family.processes);
    if (kin__queue_lock_head(queue, KIN_FOREVER) < 0) return;
    bool open = is_open(queue);
    if (open && queue->tasks == KIN__TASKS_KEPT)
        kin__shelf_put_back(&queue->shelf, place);
    else if (open)
        atomic_store(&counts_of(queue)[place], 0);
    bool finished = open && kin__queue_all_done(queue);
    bool kept = open && queue->tasks == KIN__TASKS_KEPT;
    kin__latch_release(&queue->ends.head.latch);
    if (finished) kin__waiters_wake_all(&queue->finished.point);
    /* For what came back, or because nothing comes any more. */
    if (kept) kin__waiters_wake_all(&queue->items.point);
}
