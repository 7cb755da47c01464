/* coroutine_kinds.h: a coroutine waits for one thing after another: another one of the same thread makes it
 * happen, cancels the wait, or nobody does anything until the deadline.  A wait that kept the thread would keep
 * that other one, and the case would come to no end. */
#ifndef UNIT_COROUTINE_KINDS_H
#define UNIT_COROUTINE_KINDS_H

#include "support/test.h"

#include <kin.h>

struct kind {
    const char *name;
    void (*open)(void);
    int (*wait)(kin_deadline deadline);
    void (*happen)(void);
    void (*close)(void);
    int late; /* what it returns at the deadline */
};

/* The kinds of a program; the last has no name. */
extern const struct kind kinds[];

/* How long `happen` may wait: at the end of a case nobody may be left who does his part. */
static kin_deadline patience;

/* kin_wait and the like: how many are ready. */
static inline int waited(long ready)
{
    return ready > 0 ? 0 : ready == 0 ? -ETIMEDOUT : (int)ready;
}

static inline int wait_for(kin_waitable item, kin_deadline deadline)
{
    return waited(kin_wait(&item, 1, deadline));
}

/* ---- what may come of a wait ------------------------------------------------------------------------------------ */

static bool has_begun, has_ended;
static int milliseconds; /* that one waits; 0: for ever */

static int wait_in_coroutine(void *kind)
{
    has_begun = true;
    int rc = ((const struct kind *)kind)->wait(milliseconds == 0 ? KIN_FOREVER : kin_in_ms(milliseconds));
    has_ended = true;
    return rc;
}

/* Does its part when the other one waits. */
static int happen_in_coroutine(void *kind)
{
    while (!has_begun) CHECK_OK(kin_coroutine_yield());
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    CHECK(!has_ended);
    ((const struct kind *)kind)->happen();
    return 0;
}

static kin_coroutine *begin(const struct kind *kind, int least)
{
    kin_coroutine *waiting = NULL;
    test_context("%s", kind->name);
    has_begun = has_ended = false;
    milliseconds = least;
    patience = KIN_FOREVER;
    kind->open();
    CHECK_OK(kin_coroutine_start(&waiting, wait_in_coroutine, (void *)(uintptr_t)kind, NULL));
    return waiting;
}

static void end(const struct kind *kind, kin_coroutine *waiting, int expected)
{
    int result = 1;
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(waiting, &result));
    CHECK_RC(result, expected);
    CHECK_OK(kin_coroutine_close(waiting));
    patience = KIN_NOW;
    if (expected < 0) kind->happen();
    kind->close();
    CHECK_OK(kin_loop_close());
}

#define EACH(kind) for (const struct kind *kind = kinds; kind->name != NULL; kind++)

TEST(another_coroutine_makes_it_happen)
{
    EACH(kind)
    {
        kin_coroutine *waiting = begin(kind, 0);
        CHECK_OK(kin_coroutine_start(NULL, happen_in_coroutine, (void *)(uintptr_t)kind, NULL));
        end(kind, waiting, 0);
    }
}

TEST(each_wait_can_be_cancelled)
{
    EACH(kind)
    {
        kin_coroutine *waiting = begin(kind, 0);
        while (!has_begun) CHECK_OK(kin_loop_turn(KIN_NOW));
        CHECK_RC(kin_coroutine_join(waiting, kin_in_ms(1)), -ETIMEDOUT);
        CHECK_OK(kin_coroutine_cancel(waiting));
        end(kind, waiting, -ECANCELED);
    }
}

static int count_steps(void *steps)
{
    while (!has_ended) {
        ++*(int *)steps;
        CHECK_OK(kin_coroutine_yield());
    }
    return 0;
}

TEST(each_wait_has_a_deadline)
{
    EACH(kind)
    {
        /* On a slow machine the deadline may have passed before the wait begins. */
        for (int steps = 0, least = 2; steps == 0; least *= 10) {
            CHECK_LT(least, 20000);
            kin_coroutine *waiting = begin(kind, least);
            CHECK_OK(kin_coroutine_start(NULL, count_steps, &steps, NULL));
            end(kind, waiting, kind->late);
        }
    }
}

#endif
