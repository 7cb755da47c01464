/* wait_kin.c: kin's rows of the benchmark of waiting for many things. */
#include <kin.h>

#include "wait.h"

static double told_another(void)
{
    return bench_fail("another thing was told");
}

/* ---- descriptors ----------------------------------------------------------------------------------- */

double bench_kin_waiter_descriptors(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    int descriptors[WAIT_MOST];
    kin_waiter *waiter = NULL;
    kin_waitable ready;
    if (wait_open(shape, descriptors) < 0 || kin_waiter_open(&waiter) < 0)
        return bench_fail("no descriptor is left");
    for (int i = 0; i < shape->things; i++) {
        kin_waitable item = kin_on_descriptor(descriptors[i]);
        if (kin_waiter_add(waiter, &item) < 0) return bench_fail("kin_waiter_add");
    }
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        int one = descriptors[wait_turn(shape, turn)];
        wait_make_ready(one);
        if (kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER) != 1 || ready.descriptor != one)
            return told_another();
        wait_take(one);
    }
    return bench_now() - begin;
}

double bench_kin_wait_descriptors(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    int descriptors[WAIT_MOST];
    static kin_waitable items[WAIT_MOST];
    if (wait_open(shape, descriptors) < 0) return bench_fail("no descriptor is left");
    for (int i = 0; i < shape->things; i++) items[i] = kin_on_descriptor(descriptors[i]);
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        int one = wait_turn(shape, turn);
        wait_make_ready(descriptors[one]);
        if (kin_wait(items, (size_t)shape->things, KIN_FOREVER) != 1 || !items[one].ready)
            return told_another();
        wait_take(descriptors[one]);
    }
    return bench_now() - begin;
}

/* ---- events ------------------------------------------------------------------------------------------ */

static kin_event *events[WAIT_MOST];
static kin_waitable on_events[WAIT_MOST];

static int open_events(const struct wait_shape *shape)
{
    int rc = 0;
    for (int i = 0; i < shape->things && rc == 0; i++) {
        rc = kin_event_open(&events[i], NULL);
        on_events[i] = kin_on_event(events[i]);
    }
    return rc;
}

double bench_kin_waiter_events(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    kin_waiter *waiter = NULL;
    kin_waitable ready;
    int rc = open_events(shape);
    if (rc == 0) rc = kin_waiter_open(&waiter);
    for (int i = 0; i < shape->things && rc == 0; i++) rc = kin_waiter_add(waiter, &on_events[i]);
    if (rc < 0) return bench_fail("%s", kin_strerror(rc));
    kin_waiter_wait(waiter, &ready, 1, KIN_NOW);
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        kin_event *one = events[wait_turn(shape, turn)];
        kin_event_set(one);
        if (kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER) != 1 || ready.object != one)
            return told_another();
        kin_event_clear(one);
        if (kin_waiter_wait(waiter, &ready, 1, KIN_NOW) != 0) return bench_fail("an event was told twice");
    }
    return bench_now() - begin;
}

double bench_kin_wait_events(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    int rc = open_events(shape);
    if (rc < 0) return bench_fail("%s", kin_strerror(rc));
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        int one = wait_turn(shape, turn);
        kin_event_set(events[one]);
        if (kin_wait(on_events, (size_t)shape->things, KIN_FOREVER) != 1 || !on_events[one].ready)
            return told_another();
        kin_event_clear(events[one]);
    }
    return bench_now() - begin;
}

struct sleepers {
    const struct wait_shape *shape;
    long count;
    kin_semaphore *go;
};

static int sleep_or_wake(int index, void *context)
{
    struct sleepers *sleepers = context;
    for (long turn = 0; turn < sleepers->count; turn++) {
        int one = wait_turn(sleepers->shape, turn);
        if (index == 1) {
            if (kin_semaphore_acquire(sleepers->go, KIN_FOREVER) < 0) return -1;
            kin_event_set(events[one]);
            continue;
        }
        kin_semaphore_release(sleepers->go);
        if (kin_wait(on_events, (size_t)sleepers->shape->things, KIN_FOREVER) != 1 || !on_events[one].ready)
            return -1;
        kin_event_clear(events[one]);
    }
    return 0;
}

double bench_kin_wait_asleep(const struct bench_case *test, long count)
{
    struct sleepers sleepers = {.shape = test->shape, .count = count};
    int rc = open_events(test->shape);
    if (rc == 0) rc = kin_semaphore_open(&sleepers.go, 0, &(kin_semaphore_options){.plain = true});
    if (rc < 0) return bench_fail("%s", kin_strerror(rc));
    return bench_together(&(struct bench_team){.processes = 2, .work = sleep_or_wake, .context = &sleepers});
}
