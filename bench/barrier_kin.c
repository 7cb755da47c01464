/* barrier_kin.c: kin's row of the barrier benchmark. */
#include <kin.h>

#include "meet.h"

/* It joins the family. */
static int prepare(int index, void *context)
{
    (void)index;
    (void)context;
    return kin_family_open(NULL) < 0;
}

static int work(int index, void *context)
{
    (void)index;
    struct meet_arena *arena = context;
    kin_barrier *barrier = *(kin_barrier **)arena->place;
    for (long i = 0; i < arena->rounds; i++)
        if (kin_barrier_wait(barrier, KIN_FOREVER) < 0) return 1;
    arena->passed += arena->rounds;
    return 0;
}

double bench_kin_barrier(const struct bench_case *test, long count)
{
    const struct meet_shape *shape = test->shape;
    struct meet_arena *arena = bench_shared(sizeof *arena);
    int rc = kin_barrier_open((kin_barrier **)arena->place, (unsigned)shape->processes, NULL);
    if (rc < 0) return bench_fail("kin_barrier_open: %s", kin_strerror(rc));
    return meet_measure(test, count, arena, prepare, work);
}
