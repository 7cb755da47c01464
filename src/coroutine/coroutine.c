/* coroutine.c: coroutines and their handles; how they begin, end, and are waited for. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coroutine/group.h"
#include "coroutine/loop.h"
#include "os/os.h"

/* ---- from beginning to end --------------------------------------------------------------------------- */

static void delist_alive(struct kin__loop *loop, kin_coroutine *coroutine)
{
    struct kin__links *links = &coroutine->alive;
    *(links->previous != NULL ? &links->previous->alive.next : &loop->alive) = links->next;
    if (links->next != NULL) links->next->alive.previous = links->previous;
    loop->alive_count--;
}

static void enlist_alive(struct kin__loop *loop, kin_coroutine *coroutine)
{
    coroutine->alive.next = loop->alive;
    if (loop->alive != NULL) loop->alive->alive.previous = coroutine;
    loop->alive = coroutine;
    loop->alive_count++;
}

static void begin(void *argument)
{
    kin_coroutine *self = argument;
    struct kin__loop *loop = self->loop;
    kin__context_begun(loop->left);
    self->begun = true;
    self->result = self->cancelled ? -ECANCELED : self->target(self->argument);
    kin__locals_end();
    self->ended = true;
    delist_alive(loop, self);
    kin__waiters_wake_them(&self->joiners);
    if (self->group != NULL) kin__group_left(self->group, self);
    kin__leave(loop);
}

static int make(kin_coroutine **made, struct kin__loop *loop, const kin_coroutine_options *options)
{
    size_t length = options->name != NULL ? strnlen(options->name, sizeof(*made)->name) : 0;
    if (length == sizeof(*made)->name) return -EINVAL;
    int rc = options->group != NULL ? kin__group_may_enter(options->group, loop) : 0;
    if (rc < 0) return rc;
    kin_coroutine *coroutine = kin__os_calloc(1, sizeof *coroutine);
    if (coroutine == NULL) return -ENOMEM;
    rc = kin__stack_take(&coroutine->stack, options->stack_size);
    if (rc == 0) {
        rc = kin__context_make(&coroutine->context, coroutine->stack.bottom, coroutine->stack.size, begin,
                               coroutine);
        if (rc < 0) kin__stack_give(&coroutine->stack);
    }
    if (rc < 0) {
        kin__os_free(coroutine);
        return rc;
    }
    if (length > 0)
        memcpy(coroutine->name, options->name, length);
    else
        snprintf(coroutine->name, sizeof coroutine->name, "Coroutine-%u", ++loop->started);
    coroutine->loop = loop;
    coroutine->group = options->group;
    *made = coroutine;
    return 0;
}

int kin_coroutine_start_sized(kin_coroutine **coroutine, kin_coroutine_function *target, void *argument,
                              const kin_coroutine_options *options, size_t size)
{
    kin_coroutine_options given = {0};
    struct kin__loop *loop = NULL;
    kin_coroutine *made = NULL;
    if (target == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__loop_open(&loop);
    if (rc == 0) rc = make(&made, loop, &given);
    if (rc < 0) return rc;
    made->target = target;
    made->argument = argument;
    made->detached = coroutine == NULL;
    enlist_alive(loop, made);
    if (made->group != NULL) kin__group_enter(made->group, made);
    kin__ready(made);
    if (coroutine != NULL) *coroutine = made;
    return 0;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

int kin_coroutine_join(kin_coroutine *coroutine, kin_deadline deadline)
{
    if (coroutine == NULL) return -EINVAL;
    if (coroutine->ended) return 0;
    if (coroutine->loop != kin__loop) return -EPERM;
    if (coroutine == kin__loop->current) return -EDEADLK;
    return kin__wait_in(kin__loop, &coroutine->joiners, deadline);
}

int kin_coroutine_yield(void)
{
    struct kin__loop *loop = kin__loop;
    if (loop == NULL) return 0;
    if (loop->current != NULL) return kin__give_way(loop);
    int rc = kin__turn(loop, KIN_NOW, NULL);
    return rc == -EDEADLK ? 0 : rc;
}

int kin_coroutine_sleep(kin_deadline until)
{
    struct kin__waiters nobody = {0};
    struct kin__loop *loop = NULL;
    int rc = kin__loop_open(&loop);
    if (rc < 0) return rc;
    /* Even a moment that has passed lets the others run. */
    if (until <= kin__os_clock()) return kin_coroutine_yield();
    rc = kin__wait_in(loop, &nobody, until);
    return rc == -ETIMEDOUT ? 0 : rc;
}

int kin_coroutine_cancel(kin_coroutine *coroutine)
{
    if (coroutine == NULL) return -EINVAL;
    if (coroutine->ended) return 0;
    if (coroutine->loop != kin__loop) return -EPERM;
    coroutine->cancelled = true;
    if (coroutine->parked && coroutine->shielded == 0) kin__ready(coroutine);
    return 0;
}

int kin_coroutine_cancelled(void)
{
    kin_coroutine *self = kin__running();
    return self != NULL && self->cancelled;
}

/* ---- handles --------------------------------------------------------------------------------------------- */

int kin_coroutine_is_alive(const kin_coroutine *coroutine)
{
    return coroutine != NULL ? !coroutine->ended : -EINVAL;
}

int kin_coroutine_result(const kin_coroutine *coroutine, int *result)
{
    if (coroutine == NULL || result == NULL) return -EINVAL;
    if (!coroutine->ended) return -EBUSY;
    *result = coroutine->result;
    return 0;
}

kin_coroutine *kin_coroutine_current(void)
{
    return kin__running();
}

const char *kin_coroutine_name(const kin_coroutine *coroutine)
{
    return coroutine != NULL ? coroutine->name : NULL;
}

int kin_coroutine_overflowed(const void *address)
{
    return kin__stack_guards(address);
}

int kin_coroutine_close(kin_coroutine *coroutine)
{
    if (coroutine == NULL) return 0;
    if (coroutine->loop != NULL && coroutine->loop != kin__loop) return -EPERM;
    if (!coroutine->ended) return -EBUSY;
    /* It is freed with its stack where that has not been given back yet. */
    if (coroutine->loop != NULL)
        coroutine->detached = true;
    else
        kin__os_free(coroutine);
    return 0;
}
