/* test_coroutine_kinds.c: coroutines wait for what lies in family memory, and for threads: queues, events,
 * semaphores, conditions, barriers, locks, names. */
#include "coroutine_kinds.h"

/* What the kinds wait for; each opens what it needs. */
static struct {
    kin_queue *queue;
    kin_event *event;
    kin_event *let_go;
    kin_event *held;
    kin_semaphore *semaphore;
    kin_condition *condition;
    kin_barrier *barrier;
    kin_lock *lock;
    kin_rwlock *rwlock;
    kin_array *array;
    kin_thread *thread;
    kin_timer *timer;
    kin_waiter *waiter;
} at;

/* ---- queues ---------------------------------------------------------------------------------------------- */

static void queue_open(void)
{
    CHECK_OK(kin_queue_open(&at.queue, &(kin_queue_options){.max_items = 1, .joinable = true}));
}
static int queue_get(kin_deadline deadline)
{
    char byte;
    int rc = (int)kin_queue_get(at.queue, &byte, 1, deadline);
    return rc == 1 ? kin_queue_task_done(at.queue) : rc;
}
static int queue_wait(kin_deadline deadline)
{
    return wait_for(kin_on_queue(at.queue), deadline);
}
static void queue_fill(void)
{
    kin_queue_put(at.queue, "x", 1, patience);
}
static void queue_close(void)
{
    CHECK_OK(kin_queue_close(at.queue));
}

static void full_queue_open(void)
{
    queue_open();
    CHECK_OK(kin_queue_put(at.queue, "x", 1, KIN_NOW));
}
static int queue_put(kin_deadline deadline)
{
    return kin_queue_put(at.queue, "x", 1, deadline);
}
static int queue_join(kin_deadline deadline)
{
    return kin_queue_join(at.queue, deadline);
}
static void queue_drain(void)
{
    queue_get(patience);
}

static int queue_take(kin_deadline deadline)
{
    void *message;
    long rc = kin_queue_take(at.queue, &message, deadline);
    return rc >= 0 ? kin_queue_release(message) : (int)rc;
}
static int queue_get_many(kin_deadline deadline)
{
    kin_message message;
    char byte;
    return waited(kin_queue_get_many(at.queue, &message, 1, &byte, 1, deadline));
}
static int queue_get_value(kin_deadline deadline)
{
    kin_value value;
    int rc = kin_queue_get_value(at.queue, &value, deadline);
    kin_value_clear(&value);
    return rc;
}
static void queue_fill_value(void)
{
    const kin_value value = kin_value_int(7);
    kin_queue_put_value(at.queue, &value, patience);
}
static int queue_put_many(kin_deadline deadline)
{
    const kin_message message = {"x", 1};
    return waited(kin_queue_put_many(at.queue, &message, 1, deadline));
}
static int queue_put_value(kin_deadline deadline)
{
    const kin_value value = kin_value_int(7);
    return kin_queue_put_value(at.queue, &value, deadline);
}
static int queue_commit(kin_deadline deadline)
{
    void *message;
    CHECK_OK(kin_queue_reserve(at.queue, &message, 1));
    int rc = kin_queue_commit(at.queue, message, deadline);
    if (rc < 0) CHECK_OK(kin_queue_release(message));
    return rc;
}

static void full_order_open(void)
{
    CHECK_OK(kin_queue_open(&at.queue, &(kin_queue_options){.max_items = 1, .order = KIN_PRIORITY}));
    CHECK_OK(kin_queue_put(at.queue, "x", 1, KIN_NOW));
}
static int queue_put_priority(kin_deadline deadline)
{
    return kin_queue_put_priority(at.queue, "x", 1, -1, deadline);
}
static int queue_commit_priority(kin_deadline deadline)
{
    void *message;
    CHECK_OK(kin_queue_reserve(at.queue, &message, 1));
    int rc = kin_queue_commit_priority(at.queue, message, -1, deadline);
    if (rc < 0) CHECK_OK(kin_queue_release(message));
    return rc;
}
static void order_drain(void)
{
    queue_take(patience);
}

/* ---- synchronisation ----------------------------------------------------------------------------------------- */

static void event_open(void)
{
    CHECK_OK(kin_event_open(&at.event, NULL));
}
static int event_await(kin_deadline deadline)
{
    return kin_event_wait(at.event, deadline);
}
static int event_wait(kin_deadline deadline)
{
    return wait_for(kin_on_event(at.event), deadline);
}
static void event_set(void)
{
    CHECK_OK(kin_event_set(at.event));
}
static void event_close(void)
{
    CHECK_OK(kin_event_close(at.event));
}

static void waiter_open(void)
{
    event_open();
    CHECK_OK(kin_waiter_open(&at.waiter));
    kin_waitable item = kin_on_event(at.event);
    CHECK_OK(kin_waiter_add(at.waiter, &item));
}
static int waiter_wait(kin_deadline deadline)
{
    kin_waitable ready;
    return waited(kin_waiter_wait(at.waiter, &ready, 1, deadline));
}
static void waiter_close(void)
{
    CHECK_OK(kin_waiter_close(at.waiter));
    event_close();
}

static void semaphore_open(void)
{
    CHECK_OK(kin_semaphore_open(&at.semaphore, 0, NULL));
}
static int semaphore_acquire(kin_deadline deadline)
{
    return kin_semaphore_acquire(at.semaphore, deadline);
}
static void semaphore_release(void)
{
    CHECK_OK(kin_semaphore_release(at.semaphore));
}
static void semaphore_close(void)
{
    CHECK_OK(kin_semaphore_close(at.semaphore));
}

static bool told;
static void condition_open(void)
{
    told = false;
    CHECK_OK(kin_condition_open(&at.condition, NULL));
}
static int condition_wait(kin_deadline deadline)
{
    CHECK_OK(kin_condition_acquire(at.condition, KIN_FOREVER));
    int rc = kin_condition_wait(at.condition, deadline);
    CHECK_OK(kin_condition_release(at.condition));
    return rc;
}
static bool is_told(void *unused)
{
    (void)unused;
    return told;
}
static int condition_wait_for(kin_deadline deadline)
{
    CHECK_OK(kin_condition_acquire(at.condition, KIN_FOREVER));
    int rc = kin_condition_wait_for(at.condition, is_told, NULL, deadline);
    CHECK_OK(kin_condition_release(at.condition));
    return rc;
}
static void condition_notify(void)
{
    CHECK_OK(kin_condition_acquire(at.condition, KIN_FOREVER));
    told = true;
    CHECK_OK(kin_condition_notify(at.condition, 1));
    CHECK_OK(kin_condition_release(at.condition));
}
static void condition_close(void)
{
    CHECK_OK(kin_condition_close(at.condition));
}

static void barrier_open(void)
{
    CHECK_OK(kin_barrier_open(&at.barrier, 2, NULL));
}
static int barrier_wait(kin_deadline deadline)
{
    int rc = kin_barrier_wait(at.barrier, deadline);
    return rc > 0 ? 0 : rc;
}
static void barrier_meet(void)
{
    kin_barrier_wait(at.barrier, patience);
}
static void barrier_close(void)
{
    CHECK_OK(kin_barrier_close(at.barrier));
}

/* Locks are the thread's: another one holds them. */
static int hold_lock(void *unused)
{
    (void)unused;
    CHECK_OK(kin_lock_acquire(at.lock, KIN_FOREVER));
    CHECK_OK(kin_rwlock_acquire_write(at.rwlock, KIN_FOREVER));
    CHECK_OK(kin_condition_acquire(at.condition, KIN_FOREVER));
    CHECK_OK(kin_lock_acquire(kin_array_lock(at.array), KIN_FOREVER));
    CHECK_OK(kin_event_set(at.held));
    CHECK_OK(kin_event_wait(at.let_go, KIN_FOREVER));
    CHECK_OK(kin_lock_release(kin_array_lock(at.array)));
    CHECK_OK(kin_condition_release(at.condition));
    CHECK_OK(kin_rwlock_release(at.rwlock));
    return kin_lock_release(at.lock);
}

static void lock_open(void)
{
    CHECK_OK(kin_lock_open(&at.lock));
    CHECK_OK(kin_rwlock_open(&at.rwlock, NULL));
    CHECK_OK(kin_condition_open(&at.condition, NULL));
    CHECK_OK(kin_array_open(&at.array, 'i', 3, NULL));
    CHECK_OK(kin_event_open(&at.held, NULL));
    CHECK_OK(kin_event_open(&at.let_go, NULL));
    CHECK_OK(kin_thread_start(&at.thread, hold_lock, NULL, NULL));
    CHECK_OK(kin_event_wait(at.held, KIN_FOREVER));
}
static int lock_acquire(kin_deadline deadline)
{
    int rc = kin_lock_acquire(at.lock, deadline);
    return rc == 0 ? kin_lock_release(at.lock) : rc;
}
static int lock_read(kin_deadline deadline)
{
    int rc = kin_rwlock_acquire_read(at.rwlock, deadline);
    return rc == 0 ? kin_rwlock_release(at.rwlock) : rc;
}
static int lock_write(kin_deadline deadline)
{
    int rc = kin_rwlock_acquire_write(at.rwlock, deadline);
    return rc == 0 ? kin_rwlock_release(at.rwlock) : rc;
}
static int condition_acquire(kin_deadline deadline)
{
    int rc = kin_condition_acquire(at.condition, deadline);
    return rc == 0 ? kin_condition_release(at.condition) : rc;
}
static int array_read(kin_deadline deadline)
{
    int items[3];
    return kin_array_read(at.array, 0, 3, items, deadline);
}
static int array_write(kin_deadline deadline)
{
    const int items[3] = {1, 2, 3};
    return kin_array_write(at.array, 0, 3, items, deadline);
}
static int thread_join(kin_deadline deadline)
{
    return kin_thread_join(at.thread, deadline);
}
static void lock_let_go(void)
{
    CHECK_OK(kin_event_set(at.let_go));
}
static void lock_close(void)
{
    CHECK_OK(kin_thread_join(at.thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(at.thread));
    CHECK_OK(kin_lock_close(at.lock));
    CHECK_OK(kin_rwlock_close(at.rwlock));
    CHECK_OK(kin_condition_close(at.condition));
    CHECK_OK(kin_array_close(at.array));
    CHECK_OK(kin_event_close(at.held));
    CHECK_OK(kin_event_close(at.let_go));
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}
static void timer_open(void)
{
    CHECK_OK(kin_timer_start(&at.timer, KIN_FOREVER, nothing, NULL, NULL));
}
static int timer_join(kin_deadline deadline)
{
    return kin_timer_join(at.timer, deadline);
}
static void timer_cancel(void)
{
    CHECK_OK(kin_timer_cancel(at.timer));
}
static void timer_close(void)
{
    CHECK_OK(kin_timer_close(at.timer));
}

/* ---- names --------------------------------------------------------------------------------------------------- */

static int find(kin_deadline deadline)
{
    void *found = kin_find("kind", deadline);
    return found == at.event ? 0 : found != NULL ? -EIO : -errno;
}
static void publish(void)
{
    CHECK_OK(kin_publish("kind", at.event));
}
static void published_close(void)
{
    CHECK_OK(kin_unpublish("kind"));
    event_close();
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

const struct kind kinds[] = {
    {"queue, get", queue_open, queue_get, queue_fill, queue_close, KIN_EMPTY},
    {"queue, wait", queue_open, queue_wait, queue_fill, queue_close, -ETIMEDOUT},
    {"queue, put", full_queue_open, queue_put, queue_drain, queue_close, KIN_FULL},
    {"queue, take", queue_open, queue_take, queue_fill, queue_close, KIN_EMPTY},
    {"queue, get_many", queue_open, queue_get_many, queue_fill, queue_close, KIN_EMPTY},
    {"queue, get_value", queue_open, queue_get_value, queue_fill_value, queue_close, KIN_EMPTY},
    {"queue, put_many", full_queue_open, queue_put_many, queue_drain, queue_close, KIN_FULL},
    {"queue, put_value", full_queue_open, queue_put_value, queue_drain, queue_close, KIN_FULL},
    {"queue, commit", full_queue_open, queue_commit, queue_drain, queue_close, KIN_FULL},
    {"queue, put_priority", full_order_open, queue_put_priority, order_drain, queue_close, KIN_FULL},
    {"queue, commit_priority", full_order_open, queue_commit_priority, order_drain, queue_close, KIN_FULL},
    {"queue, join", full_queue_open, queue_join, queue_drain, queue_close, -ETIMEDOUT},
    {"event", event_open, event_await, event_set, event_close, -ETIMEDOUT},
    {"event, wait", event_open, event_wait, event_set, event_close, -ETIMEDOUT},
    {"waiter", waiter_open, waiter_wait, event_set, waiter_close, -ETIMEDOUT},
    {"semaphore", semaphore_open, semaphore_acquire, semaphore_release, semaphore_close, -ETIMEDOUT},
    {"condition", condition_open, condition_wait, condition_notify, condition_close, -ETIMEDOUT},
    {"condition, wait_for", condition_open, condition_wait_for, condition_notify, condition_close,
     -ETIMEDOUT},
    {"condition, acquire", lock_open, condition_acquire, lock_let_go, lock_close, -ETIMEDOUT},
    {"array, read", lock_open, array_read, lock_let_go, lock_close, -ETIMEDOUT},
    {"array, write", lock_open, array_write, lock_let_go, lock_close, -ETIMEDOUT},
    {"barrier", barrier_open, barrier_wait, barrier_meet, barrier_close, -ETIMEDOUT},
    {"lock", lock_open, lock_acquire, lock_let_go, lock_close, -ETIMEDOUT},
    {"rwlock, read", lock_open, lock_read, lock_let_go, lock_close, -ETIMEDOUT},
    {"rwlock, write", lock_open, lock_write, lock_let_go, lock_close, -ETIMEDOUT},
    {"name", event_open, find, publish, published_close, -ENOENT},
    {"thread", lock_open, thread_join, lock_let_go, lock_close, -ETIMEDOUT},
    {"timer", timer_open, timer_join, timer_cancel, timer_close, -ETIMEDOUT},
    {NULL, NULL, NULL, NULL, NULL, 0},
};
