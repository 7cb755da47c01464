/* condition_kin.c: kin's rows of the condition benchmark. */
#include <kin.h>

#include "condition.h"

static inline kin_condition *condition_of(struct condition_arena *arena)
{
    return *(kin_condition **)arena->condition;
}

static int take(struct condition_arena *arena)
{
    return kin_condition_acquire(condition_of(arena), KIN_FOREVER);
}

static int give_back(struct condition_arena *arena)
{
    return kin_condition_release(condition_of(arena));
}

static int await(struct condition_arena *arena)
{
    return kin_condition_wait(condition_of(arena), KIN_FOREVER);
}

static int notify(struct condition_arena *arena)
{
    return arena->processes == 2 ? kin_condition_notify(condition_of(arena), 1)
                                 : kin_condition_notify_all(condition_of(arena));
}

/* It joins the family. */
static int prepare(int index, void *context)
{
    (void)index;
    (void)context;
    return kin_family_open(NULL) < 0;
}

static int work(int index, void *context)
{
    return condition_loop(context, index, take, give_back, await, notify);
}

double bench_kin_condition(const struct bench_case *test, long count)
{
    struct condition_arena *arena = bench_shared(sizeof *arena);
    int rc = kin_condition_open((kin_condition **)arena->condition, NULL);
    if (rc < 0) return bench_fail("kin_condition_open: %s", kin_strerror(rc));
    return condition_measure(test, count, arena, prepare, work);
}
