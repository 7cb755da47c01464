/* timer.c: a thread that waits before it runs a function.
 *
 * Invariant: `state` goes from WAITING to RUN or to CANCELLED, once, by an exchange; whoever made
 * that change decides whether the function is run.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <kin/thread.h>

#include "os/os.h"
#include "os/suspend.h"

enum { WAITING, RUN, CANCELLED };

struct kin_timer {
    _Atomic uint32_t state;
    kin_deadline when;
    kin_thread *thread;
    kin_thread_function *target;
    void *argument;
};

static int wait_and_run(void *argument)
{
    kin_timer *timer = argument;
    uint32_t seen = WAITING;
    while (atomic_load(&timer->state) == WAITING && kin__os_clock() < timer->when)
        kin__os_futex_wait(&timer->state, WAITING, timer->when);
    if (!atomic_compare_exchange_strong(&timer->state, &seen, RUN)) return 0;
    return timer->target(timer->argument);
}

int kin_timer_start_sized(kin_timer **timer, kin_deadline when, kin_thread_function *target, void *argument,
                          const kin_thread_options *options, size_t size)
{
    if (timer == NULL || target == NULL) return -EINVAL;
    kin_timer *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->when = when;
    made->target = target;
    made->argument = argument;
    int rc = kin_thread_start_sized(&made->thread, wait_and_run, made, options, size);
    if (rc < 0)
        kin__os_free(made);
    else
        *timer = made;
    return rc;
}

int kin_timer_cancel(kin_timer *timer)
{
    uint32_t seen = WAITING;
    if (timer == NULL) return -EINVAL;
    if (!atomic_compare_exchange_strong(&timer->state, &seen, CANCELLED))
        return seen == CANCELLED ? 0 : -EALREADY;
    kin__os_futex_wake(&timer->state, INT32_MAX);
    return 0;
}

int kin_timer_join(kin_timer *timer, kin_deadline deadline)
{
    return timer != NULL ? kin_thread_join(timer->thread, deadline) : -EINVAL;
}

int kin_timer_close(kin_timer *timer)
{
    if (timer == NULL) return 0;
    kin_timer_cancel(timer);
    kin__shield(1);
    int rc = kin_timer_join(timer, KIN_FOREVER);
    kin__shield(-1);
    if (rc < 0) return rc;
    kin_thread_close(timer->thread);
    kin__os_free(timer);
    return 0;
}
