/* array_sum.c: what is measured of an array's memory; the compiler must not see who calls. */
#include "array.h"

void array_number(long *items, long count)
{
    for (long i = 0; i < count; i++) items[i] = i;
}

long array_sum(const long *items, long count)
{
    long sum = 0;
    for (long i = 0; i < count; i++) sum += items[i];
    return sum;
}

double array_measure(const struct bench_case *test, long count, struct array_arena *arena,
                     int (*work)(int index, void *arena))
{
    const struct array_shape *shape = test->shape;
    arena->per_process = (count + shape->processes - 1) / shape->processes;
    struct bench_team team = {.processes = shape->processes, .work = work, .context = arena};
    double seconds = bench_together(&team);
    long expected = arena->per_process * shape->processes;
    if (seconds > 0 && *arena->cell != expected)
        return bench_fail("%ld increments were lost", expected - *arena->cell);
    return seconds;
}
