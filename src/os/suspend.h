/* suspend.h: what a thread does instead of waiting, while it runs coroutines. */
#ifndef KIN_OS_SUSPEND_H
#define KIN_OS_SUSPEND_H

#include <stddef.h>
#include <stdint.h>

#include "os/os.h"

struct kin__wait_point;

/* Something that blocks, in memory of its own. */
struct kin__chore {
    void (*run)(struct kin__chore *chore);
    void (*drop)(struct kin__chore *chore); /* frees it */
};

/* Each lets others run until it has happened, and returns what the function named would, or
 * -ECANCELED: the wait was given up, and each further one will be. */
struct kin__suspender {
    int (*poll)(struct kin__poll *items, size_t count, kin_deadline deadline); /* kin__os_poll */
    /* kin__sleep, and kin__sleep_private for a word that only this process knows. */
    int (*sleep)(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline);
    int (*sleep_private)(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline);
    /* Has another thread run the chore.  0: it has run.  -ETIMEDOUT, -ECANCELED, -ENOMEM, -EMFILE, -EAGAIN: it
     * is dropped, as soon as it has ended. */
    int (*chore)(struct kin__chore *chore, kin_deadline deadline);
    /* With 1, until -1: waits are not given up. */
    void (*shield)(int change);
};

/* NULL while the thread runs no coroutine. */
extern _Thread_local const struct kin__suspender *kin__suspender __attribute__((tls_model("initial-exec")));

/* Around what must not be left half done: between 1 and -1 even one who was told to give up waits. */
static inline void kin__shield(int change)
{
    if (kin__suspender != NULL) kin__suspender->shield(change);
}

/* kin__os_sleep_until, for what is not given up: in a coroutine the others run meanwhile. */
static inline void kin__os_pause_until(kin_deadline deadline)
{
    if (kin__suspender == NULL) {
        kin__os_sleep_until(deadline);
        return;
    }
    kin__shield(1);
    kin__suspender->poll(NULL, 0, deadline);
    kin__shield(-1);
}

#endif
