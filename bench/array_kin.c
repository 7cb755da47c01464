/* array_kin.c: kin's rows of the array benchmark. */
#include <kin.h>

#include "array.h"

static struct array_arena *make_arena(void)
{
    struct array_arena *arena = bench_shared(sizeof *arena);
    kin_cell *cell = NULL;
    int rc = kin_cell_open(&cell, 'l', NULL);
    if (rc < 0) {
        bench_fail("kin_cell_open: %s", kin_strerror(rc));
        return NULL;
    }
    arena->object = cell;
    arena->cell = kin_cell_data(cell);
    return arena;
}

static int locked_work(int index, void *context)
{
    (void)index;
    struct array_arena *arena = context;
    kin_lock *lock = kin_cell_lock(arena->object);
    volatile long *cell = arena->cell;
    for (long i = 0; i < arena->per_process; i++) {
        if (kin_lock_acquire(lock, KIN_FOREVER) < 0) return 1;
        (*cell)++;
        kin_lock_release(lock);
    }
    return 0;
}

static int added_work(int index, void *context)
{
    (void)index;
    struct array_arena *arena = context;
    for (long i = 0; i < arena->per_process; i++)
        if (kin_cell_add((kin_cell *)arena->object, 1L) < 0) return 1;
    return 0;
}

static int pointer_work(int index, void *context)
{
    (void)index;
    struct array_arena *arena = context;
    long *cell = kin_cell_data(arena->object);
    for (long i = 0; i < arena->per_process; i++) __atomic_fetch_add(cell, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static double cell_run(const struct bench_case *test, long count, int (*work)(int index, void *context))
{
    struct array_arena *arena = make_arena();
    return arena == NULL ? -1 : array_measure(test, count, arena, work);
}

double bench_kin_array_locked(const struct bench_case *test, long count)
{
    return cell_run(test, count, locked_work);
}

double bench_kin_array_added(const struct bench_case *test, long count)
{
    return cell_run(test, count, added_work);
}

double bench_kin_array_pointer(const struct bench_case *test, long count)
{
    return cell_run(test, count, pointer_work);
}

static double sum_run(const struct bench_case *test, long count, bool huge)
{
    const struct array_shape *shape = test->shape;
    kin_array *array = NULL;
    long sum = 0;
    int rc = kin_array_open(&array, 'l', (size_t)shape->items, &(kin_array_options){.huge_pages = huge});
    if (rc < 0) return bench_fail("kin_array_open: %s", kin_strerror(rc));
    long *items = kin_array_data(array);
    array_number(items, shape->items);
    double begin = bench_now();
    for (long i = 0; i < count; i++) sum += array_sum(items, shape->items);
    double seconds = bench_now() - begin;
    if (sum != count * (shape->items * (shape->items - 1) / 2)) return bench_fail("the sum is wrong");
    kin_array_close(array);
    return seconds;
}

double bench_kin_array_summed(const struct bench_case *test, long count)
{
    return sum_run(test, count, false);
}

double bench_kin_array_huge(const struct bench_case *test, long count)
{
    return sum_run(test, count, true);
}
