/* event.c: one process sets an event, 1 or 8 or 63 others wait for it, and the last of them to wake
 * answers by another event.
 *
 * The peer of C is a flag under a mutex and a condition variable, as everybody writes it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "meet.h"

struct place {
    pthread_mutex_t mutex;
    pthread_cond_t go, back;
    long set; /* how often, under the mutex */
    long woken;
};

static int lead(struct meet_arena *arena, struct place *place)
{
    for (long i = 1; i <= arena->rounds; i++) {
        pthread_mutex_lock(&place->mutex);
        place->set = i;
        pthread_cond_broadcast(&place->go);
        while (place->woken < i * (arena->processes - 1)) pthread_cond_wait(&place->back, &place->mutex);
        pthread_mutex_unlock(&place->mutex);
    }
    return 0;
}

static int follow(struct meet_arena *arena, struct place *place)
{
    for (long i = 1; i <= arena->rounds; i++) {
        pthread_mutex_lock(&place->mutex);
        while (place->set < i) pthread_cond_wait(&place->go, &place->mutex);
        if (++place->woken == i * (arena->processes - 1)) pthread_cond_signal(&place->back);
        pthread_mutex_unlock(&place->mutex);
    }
    return 0;
}

static int condition_work(int index, void *context)
{
    struct meet_arena *arena = context;
    struct place *place = (struct place *)arena->place;
    int rc = index == 0 ? lead(arena, place) : follow(arena, place);
    arena->passed += arena->rounds;
    return rc;
}

static double condition_run(const struct bench_case *test, long count)
{
    const struct meet_shape *shape = test->shape;
    int sharing = shape->threads ? PTHREAD_PROCESS_PRIVATE : PTHREAD_PROCESS_SHARED;
    struct meet_arena *arena = bench_shared(sizeof *arena);
    struct place *place = (struct place *)arena->place;
    pthread_mutexattr_t for_mutex;
    pthread_condattr_t for_condition;
    pthread_mutexattr_init(&for_mutex);
    pthread_mutexattr_setpshared(&for_mutex, sharing);
    pthread_condattr_init(&for_condition);
    pthread_condattr_setpshared(&for_condition, sharing);
    int rc = pthread_mutex_init(&place->mutex, &for_mutex);
    if (!rc) rc = pthread_cond_init(&place->go, &for_condition);
    if (!rc) rc = pthread_cond_init(&place->back, &for_condition);
    if (rc) return bench_fail("pthread_cond_init: %s", strerror(rc));
    return meet_measure(test, count, arena, NULL, condition_work);
}

static double python_run(const struct bench_case *test, long count)
{
    const struct meet_shape *shape = test->shape;
    char processes[16], number[24];
    snprintf(processes, sizeof processes, "%d", shape->processes);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "event", processes,
                                             number, NULL});
}

static const struct bench_contender contenders[] = {
    {BENCH_PEER, "pthread condition variable", condition_run, NULL},
    {BENCH_KIN, "kin_event", bench_kin_event, "built without libkin"},
    {BENCH_PEER, "Python multiprocessing Event", python_run, "python3"},
    {0},
};

/* Python's is left out between threads: it has another one for them. */
static const struct bench_contender for_threads[] = {
    {BENCH_PEER, "pthread condition variable", condition_run, NULL},
    {BENCH_KIN, "kin_event", bench_kin_event, "built without libkin"},
    {0},
};

static const struct bench_target targets[] = {{"pthread condition variable", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"pthread condition variable", 0.9}, {0}};

#define EVENT_CASE(label, count, of_threads, whose, wanted) \
    { \
        .name = label, .what = "set, all wake, answer", .unit = BENCH_PER_SECOND, .contenders = whose, \
        .targets = wanted, .shape = &(struct meet_shape){count, of_threads}, .first_count = 200 \
    }

static const struct bench_case cases[] = {
    EVENT_CASE("1 waiter", 2, false, contenders, targets),
    EVENT_CASE("8 waiters", 9, false, contenders, targets),
    EVENT_CASE("63 waiters", 64, false, contenders, targets),
    EVENT_CASE("1 waiting thread", 2, true, for_threads, between_threads),
    EVENT_CASE("63 waiting threads", 64, true, for_threads, between_threads),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "event", cases, sizeof cases / sizeof *cases);
}
