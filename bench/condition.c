/* condition.c: waiting on a condition and notifying: two in turns, and a crowd at once.
 *
 * The limit is a number on a futex without a lock, which promises nothing. */
#include "condition.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the limit ------------------------------------------------------------------------------ */

static void futex_until_changed(_Atomic uint32_t *word, uint32_t seen)
{
    while (atomic_load(word) == seen) syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static int futex_work(int index, void *context)
{
    struct condition_arena *arena = context;
    _Atomic uint32_t *turn = (_Atomic uint32_t *)arena->condition;
    _Atomic int *arrived = (_Atomic int *)arena->lock;
    for (long round = 0; round < arena->rounds; round++) {
        uint32_t seen = atomic_load(turn);
        if (arena->processes == 2) {
            while ((int)(seen % 2) != index) {
                futex_until_changed(turn, seen);
                seen = atomic_load(turn);
            }
            arena->number++;
        } else if (atomic_fetch_add(arrived, 1) + 1 < arena->processes) {
            futex_until_changed(turn, (uint32_t)round);
            continue;
        } else {
            atomic_store(arrived, 0);
            arena->number++;
        }
        atomic_fetch_add(turn, 1);
        syscall(SYS_futex, turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    return 0;
}

static double futex_run(const struct bench_case *test, long count)
{
    return condition_measure(test, count, bench_shared(sizeof(struct condition_arena)), NULL, futex_work);
}

/* ---- libc ------------------------------------------------------------------------------------ */

static int libc_lock(struct condition_arena *arena)
{
    return pthread_mutex_lock((pthread_mutex_t *)arena->lock);
}

static int libc_unlock(struct condition_arena *arena)
{
    return pthread_mutex_unlock((pthread_mutex_t *)arena->lock);
}

static int libc_wait(struct condition_arena *arena)
{
    return pthread_cond_wait((pthread_cond_t *)arena->condition, (pthread_mutex_t *)arena->lock);
}

static int libc_notify(struct condition_arena *arena)
{
    return arena->processes == 2 ? pthread_cond_signal((pthread_cond_t *)arena->condition)
                                 : pthread_cond_broadcast((pthread_cond_t *)arena->condition);
}

static int libc_work(int index, void *context)
{
    return condition_loop(context, index, libc_lock, libc_unlock, libc_wait, libc_notify);
}

static double libc_run(const struct bench_case *test, long count)
{
    const struct condition_shape *shape = test->shape;
    int sharing = shape->threads ? PTHREAD_PROCESS_PRIVATE : PTHREAD_PROCESS_SHARED;
    struct condition_arena *arena = bench_shared(sizeof *arena);
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, sharing);
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, sharing);
    int rc = pthread_mutex_init((pthread_mutex_t *)arena->lock, &mutex);
    if (rc == 0) rc = pthread_cond_init((pthread_cond_t *)arena->condition, &condition);
    if (rc != 0) return bench_fail("pthread: %s", strerror(rc));
    return condition_measure(test, count, arena, NULL, libc_work);
}

static double python_run(const struct bench_case *test, long count)
{
    const struct condition_shape *shape = test->shape;
    char processes[16], number[24];
    snprintf(processes, sizeof processes, "%d", shape->processes);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "condition",
                                             processes, number, NULL});
}

/* ---- the cases ------------------------------------------------------------------------------- */

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "futex without a lock", futex_run, NULL},
    {BENCH_PEER, "pthread condition", libc_run, NULL},
    {BENCH_KIN, "kin_condition", bench_kin_condition, "built without libkin"},
    {BENCH_PEER, "nsync, threads", peer_nsync_condition, "libnsync-dev"},
    {BENCH_PEER, "Python multiprocessing Condition", python_run, "python3"},
    {0},
};

static const struct bench_contender for_threads[] = {
    {BENCH_LIMIT, "futex without a lock", futex_run, NULL},
    {BENCH_PEER, "pthread condition", libc_run, NULL},
    {BENCH_KIN, "kin_condition", bench_kin_condition, "built without libkin"},
    {BENCH_PEER, "nsync", peer_nsync_condition, "libnsync-dev"},
    {0},
};

static const struct bench_target targets[] = {{"pthread condition", 1.0}, {0}};
static const struct bench_target between_threads[] = {{"pthread condition", 0.9}, {0}};

static const struct bench_case cases[] = {
    {.name = "in turns",
     .what = "rounds of two",
     .unit = BENCH_PER_SECOND,
     .contenders = contenders,
     .targets = targets,
     .shape = &(struct condition_shape){2, false},
     .first_count = 1000},
    {.name = "64 at once",
     .what = "rounds of all",
     .unit = BENCH_PER_SECOND,
     .contenders = contenders,
     .targets = targets,
     .shape = &(struct condition_shape){CROWD_MOST, false},
     .first_count = 10},
    {.name = "threads in turns",
     .what = "rounds of two",
     .unit = BENCH_PER_SECOND,
     .contenders = for_threads,
     .targets = between_threads,
     .shape = &(struct condition_shape){2, true},
     .first_count = 1000},
    {.name = "64 threads at once",
     .what = "rounds of all",
     .unit = BENCH_PER_SECOND,
     .contenders = for_threads,
     .targets = between_threads,
     .shape = &(struct condition_shape){CROWD_MOST, true},
     .first_count = 10},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "condition", cases, sizeof cases / sizeof *cases);
}
