/* loop.c: see loop.h: the queue of those that can run, the switch from one to the next, the turn. */
#include "coroutine/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "coroutine/descriptors.h"
#include "coroutine/words.h"
#include "os/epoll.h"
#include "os/os.h"
#include "os/suspend.h"

/* So many run before the loop looks at deadlines and descriptors again. */
#define BUDGET 256

_Thread_local struct kin__loop *kin__loop __attribute__((tls_model("initial-exec")));
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t close_key;
static int once_result;
static _Atomic uint64_t numbers;

/* ---- the queue --------------------------------------------------------------------------------------- */

void kin__ready(kin_coroutine *coroutine)
{
    struct kin__loop *loop = coroutine->loop;
    if (coroutine->ready) return;
    coroutine->ready = true;
    coroutine->next_ready = NULL;
    *(loop->last_ready != NULL ? &loop->last_ready->next_ready : &loop->first_ready) = coroutine;
    loop->last_ready = coroutine;
}

static kin_coroutine *take_ready(struct kin__loop *loop)
{
    kin_coroutine *first = loop->first_ready;
    if (first == NULL || loop->budget == 0) return NULL;
    loop->budget--;
    loop->first_ready = first->next_ready;
    if (loop->first_ready == NULL) loop->last_ready = NULL;
    first->ready = false;
    return first;
}

/* ---- switching --------------------------------------------------------------------------------------- */

/* Leaves `from`, whose values are kept in *locals, for a coroutine that can run, or for the loop. */
static void switch_from(struct kin__loop *loop, struct kin__context *from, struct kin__locals **locals)
{
    kin_coroutine *next = take_ready(loop);
    struct kin__context *to = next != NULL ? &next->context : &loop->context;
    if (to == from) {
        loop->current = next;
        return;
    }
    *locals = kin__locals;
    loop->current = next;
    loop->left = from;
    kin__locals = next != NULL ? next->locals : loop->locals;
    kin__context_here(from);
    kin__context_switch(from, to, NULL);
}

int kin__park(struct kin__loop *loop, kin_deadline deadline)
{
    kin_coroutine *self = loop->current;
    if (self->cancelled && self->shielded == 0) return -ECANCELED;
    if (deadline <= 0) return -ETIMEDOUT;
    self->timed_out = false;
    if (deadline != KIN_FOREVER) {
        self->deadline = deadline;
        int rc = kin__heap_add(loop, self);
        if (rc < 0) return rc;
    }
    self->parked = true;
    switch_from(loop, &self->context, &self->locals);
    self->parked = false;
    if (self->heap_index != 0) kin__heap_remove(loop, self);
    if (self->cancelled && self->shielded == 0) return -ECANCELED;
    return self->timed_out ? -ETIMEDOUT : 0;
}

int kin__give_way(struct kin__loop *loop)
{
    kin_coroutine *self = loop->current;
    if (self->cancelled && self->shielded == 0) return -ECANCELED;
    kin__ready(self);
    switch_from(loop, &self->context, &self->locals);
    return self->cancelled && self->shielded == 0 ? -ECANCELED : 0;
}

void kin__leave(struct kin__loop *loop)
{
    kin_coroutine *self = loop->current;
    /* Its stack can be given back only by somebody who runs on another one. */
    loop->gone = self;
    loop->current = NULL;
    kin__locals = loop->locals;
    kin__context_finish(&self->context, &loop->context);
}

static void bury(struct kin__loop *loop)
{
    kin_coroutine *gone = loop->gone;
    if (gone == NULL) return;
    loop->gone = NULL;
    kin__context_discard(&gone->context);
    kin__stack_give(&gone->stack);
    gone->loop = NULL;
    if (gone->detached) kin__os_free(gone);
}

static int poll(struct kin__poll *items, size_t count, kin_deadline deadline)
{
    return kin__descriptors_wait(kin__loop, items, count, deadline);
}

static void shield(int change)
{
    kin__loop->current->shielded = (uint8_t)(kin__loop->current->shielded + change);
}

/* What blocks a thread elsewhere, lets another coroutine run here. */
static const struct kin__suspender suspender = {.poll = poll,
                                                .sleep = kin__words_sleep,
                                                .sleep_private = kin__words_sleep_private,
                                                .shield = shield,
                                                .chore = kin__chore_run};

/* Runs those that can, from the loop's own context. */
static void run_ready(struct kin__loop *loop)
{
    loop->budget = BUDGET;
    while (loop->first_ready != NULL && loop->budget > 0 && !loop->orphan) {
        kin__suspender = &suspender;
        switch_from(loop, &loop->context, &loop->locals);
        kin__suspender = NULL;
        bury(loop);
    }
}

/* ---- lists of those who wait ---------------------------------------------------------------------------- */

void kin__waiters_add(struct kin__waiters *list, struct kin__waiter *waiter)
{
    waiter->list = list;
    waiter->next = NULL;
    waiter->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = waiter;
    list->last = waiter;
}

void kin__waiter_remove(struct kin__waiter *waiter)
{
    struct kin__waiters *list = waiter->list;
    if (list == NULL) return;
    *(waiter->previous != NULL ? &waiter->previous->next : &list->first) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->previous : &list->last) = waiter->previous;
    waiter->list = NULL;
}

struct kin__waiter *kin__waiters_wake_first(struct kin__waiters *list)
{
    struct kin__waiter *waiter = list->first;
    if (waiter == NULL) return NULL;
    kin__waiter_remove(waiter);
    waiter->woken = true;
    if (waiter->who != NULL) kin__ready(waiter->who);
    return waiter;
}

void kin__waiters_wake_them(struct kin__waiters *list)
{
    while (kin__waiters_wake_first(list) != NULL)
        ;
}

static int wait_outside(struct kin__loop *loop, struct kin__waiter *waiter, kin_deadline deadline)
{
    while (!waiter->woken) {
        int rc = kin__turn(loop, deadline, &waiter->woken);
        if (waiter->woken) break;
        if (rc < 0) return rc;
        if (deadline != KIN_FOREVER && kin__os_clock() >= deadline) return -ETIMEDOUT;
    }
    return 0;
}

static int wait_inside(struct kin__loop *loop, struct kin__waiter *waiter, kin_deadline deadline)
{
    while (!waiter->woken) {
        int rc = kin__park(loop, deadline);
        if (rc < 0) return rc;
    }
    return 0;
}

int kin__wait_as(struct kin__loop *loop, struct kin__waiters *list, struct kin__waiter *waiter,
                 kin_deadline deadline)
{
    waiter->who = loop->current;
    kin__waiters_add(list, waiter);
    int rc = waiter->who != NULL ? wait_inside(loop, waiter, deadline) : wait_outside(loop, waiter, deadline);
    kin__waiter_remove(waiter);
    /* Woken and cancelled, or late: what it was woken for must not be lost. */
    return waiter->woken ? 0 : rc;
}

int kin__wait_in(struct kin__loop *loop, struct kin__waiters *list, kin_deadline deadline)
{
    struct kin__waiter waiter = {0};
    return kin__wait_as(loop, list, &waiter, deadline);
}

/* ---- a turn ------------------------------------------------------------------------------------------- */

static bool may_be_woken(const struct kin__loop *loop)
{
    return loop->heap_count > 0 || loop->descriptors_waited > 0 || kin__foreign_pending(loop) > 0 ||
           kin__words_waited(loop) > 0;
}

/* The first of `deadline` and those that coroutines wait for. */
static kin_deadline next_moment(struct kin__loop *loop, kin_deadline deadline)
{
    if (loop->heap_count > 0 && loop->heap[0]->deadline < deadline) deadline = loop->heap[0]->deadline;
    if (kin__words_waited(loop) == 0 || deadline <= 0) return deadline;
    kin_deadline look = kin__words_next(loop);
    return look < deadline ? look : deadline;
}

int kin__turn(struct kin__loop *loop, kin_deadline deadline, const bool *over)
{
    run_ready(loop);
    if (loop->orphan) return -ECHILD;
    if (over != NULL ? *over : loop->alive_count == 0) return 0;
    if (loop->heap_count > 0) kin__heap_expire(loop);
    if (kin__words_waited(loop) > 0) kin__words_look(loop);
    if (loop->first_ready != NULL) {
        deadline = KIN_NOW;
        if (loop->descriptors_waited == 0 && loop->foreign == NULL) return 0;
    } else {
        if (deadline == KIN_FOREVER && !may_be_woken(loop)) return -EDEADLK;
        deadline = next_moment(loop, deadline);
    }
    int rc = kin__descriptors_poll(loop, deadline);
    if (loop->heap_count > 0) kin__heap_expire(loop);
    return rc;
}

int kin_loop_run(kin_deadline deadline)
{
    struct kin__loop *loop = kin__loop;
    if (loop == NULL) return 0;
    if (loop->current != NULL) return -EDEADLK;
    while (loop->alive_count > 0) {
        int rc = kin__turn(loop, deadline, NULL);
        if (rc < 0) return rc;
        if (loop->alive_count > 0 && deadline != KIN_FOREVER && kin__os_clock() >= deadline)
            return -ETIMEDOUT;
    }
    return 0;
}

/* For the foreign loop that waits for our descriptor: when is there something to do? */
static int set_timer(struct kin__loop *loop)
{
    kin_deadline when = loop->first_ready != NULL ? 1 : next_moment(loop, KIN_FOREVER);
    if (loop->timer < 0 || when == loop->timer_set) return 0;
    loop->timer_set = when;
    int rc = kin__os_alarm_set(loop->timer, when);
    return rc < 0 ? rc : kin__os_epoll_arm(loop->epoll, loop->timer, KIN__READABLE, &loop->timer_armed);
}

int kin_loop_turn(kin_deadline deadline)
{
    struct kin__loop *loop = kin__loop;
    if (loop == NULL) return 0;
    if (loop->current != NULL) return -EDEADLK;
    int rc = kin__turn(loop, deadline, NULL);
    if (rc == 0) run_ready(loop);
    if (loop->orphan) return -ECHILD;
    if (rc == 0 || rc == -EDEADLK) rc = set_timer(loop);
    return rc < 0 ? rc : (int)loop->alive_count;
}

int kin_loop_descriptor(void)
{
    struct kin__loop *loop = NULL;
    int rc = kin__loop_open(&loop);
    if (rc < 0) return rc;
    if (loop->timer < 0) {
        loop->timer = kin__os_alarm_make();
        if (loop->timer < 0) return loop->timer;
        loop->timer_set = KIN_FOREVER;
    }
    rc = set_timer(loop);
    return rc < 0 ? rc : loop->epoll;
}

/* ---- its life ----------------------------------------------------------------------------------------- */

static void destroy(struct kin__loop *loop)
{
    /* What a thread of its pool is at work on may lie on a stack that goes next. */
    kin__foreign_close(loop);
    /* Those that are still alive vanish with their stacks. */
    for (kin_coroutine *coroutine = loop->alive, *next; coroutine != NULL; coroutine = next) {
        next = coroutine->alive.next;
        loop->gone = coroutine;
        coroutine->ended = true;
        coroutine->result = -ECANCELED;
        kin__os_free(coroutine->locals);
        bury(loop);
    }
    kin__words_close(loop);
    kin__context_discard(&loop->context);
    if (loop->timer >= 0) kin__os_close(loop->timer);
    kin__os_close(loop->epoll);
    kin__os_free(loop->heap);
    kin__os_free(loop->descriptors);
    kin__os_free(loop);
}

int kin_loop_close(void)
{
    struct kin__loop *loop = kin__loop;
    if (loop == NULL) return 0;
    if (loop->current != NULL || loop->alive_count > 0) return -EBUSY;
    kin__loop = NULL;
    destroy(loop);
    return 0;
}

static void close_at_end(void *unused)
{
    (void)unused;
    struct kin__loop *loop = kin__loop;
    kin__loop = NULL;
    if (loop != NULL) destroy(loop);
}

/* A child has a copy of the loop that must not be run: what it waits for is its parent's. */
static void forget_in_child(void)
{
    if (kin__loop != NULL) {
        kin__loop->orphan = true;
        kin__words_forget(kin__loop);
        if (kin__loop->timer >= 0) kin__os_close(kin__loop->timer);
        kin__os_close(kin__loop->epoll);
    }
    kin__loop = NULL;
    kin__suspender = NULL;
}

static void set_up(void)
{
    static const struct kin__fork_watch watch = {.child = forget_in_child};
    once_result = -pthread_key_create(&close_key, close_at_end);
    if (once_result == 0) once_result = kin__os_watch_forks(KIN__FORK_LOOP, &watch);
}

int kin__loop_open(struct kin__loop **loop)
{
    *loop = kin__loop;
    if (kin__loop != NULL) return 0;
    pthread_once(&once, set_up);
    if (once_result < 0) return once_result;
    struct kin__loop *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->timer = -1;
    made->epoll = kin__os_epoll_make();
    int rc = made->epoll < 0 ? made->epoll : kin__context_adopt(&made->context);
    if (rc == 0 && (rc = -pthread_setspecific(close_key, made)) < 0) kin__context_discard(&made->context);
    if (rc < 0) {
        if (made->epoll >= 0) kin__os_close(made->epoll);
        kin__os_free(made);
        return rc;
    }
    made->number = atomic_fetch_add(&numbers, 1) + 1;
    *loop = kin__loop = made;
    return 0;
}
