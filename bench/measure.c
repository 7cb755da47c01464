/* measure.c: how a lock, a queue and a round trip are measured, whoever's they are.
 *
 * Apart from the programs, because the files of the peers need it in each of them.  Every
 * measurement checks that the work was done: no increment lost, every message come. */
#include <stdlib.h>
#include <unistd.h>

#include "condition.h"
#include "lock.h"
#include "meet.h"
#include "queue.h"
#include "round_trip.h"
#include "rwlock.h"

/* ---- lock ------------------------------------------------------------------------------------ */

double lock_measure(const struct bench_case *test, long count, struct lock_arena *arena,
                    int (*work)(int index, void *arena))
{
    const struct lock_shape *shape = test->shape;
    arena->counter = 0;
    arena->per_process = (count + shape->processes - 1) / shape->processes;
    struct bench_team team = {.processes = shape->processes,
                              .threads = shape->threads || arena->threads,
                              .work = work,
                              .context = arena};
    double seconds = bench_together(&team);
    long expected = arena->per_process * shape->processes;
    if (seconds > 0 && arena->counter != expected)
        return bench_fail("%ld increments were lost", expected - arena->counter);
    return seconds;
}

/* ---- condition and read-write lock ------------------------------------------------------------ */

double condition_measure(const struct bench_case *test, long count, struct condition_arena *arena,
                         int (*prepare)(int index, void *arena), int (*work)(int index, void *arena))
{
    const struct condition_shape *shape = test->shape;
    arena->processes = shape->processes;
    arena->rounds = count;
    double seconds = bench_together(&(struct bench_team){.processes = shape->processes,
                                                         .threads = shape->threads || arena->threads,
                                                         .prepare = prepare,
                                                         .work = work,
                                                         .context = arena});
    if (seconds < 0) return seconds;
    long expected = shape->processes == 2 ? 2 * count : count;
    return arena->number == expected ? seconds
                                     : bench_fail("%ld steps instead of %ld", arena->number, expected);
}

double rwlock_measure(const struct bench_case *test, long count, struct rwlock_arena *arena,
                      int (*work)(int index, void *arena))
{
    const struct rwlock_shape *shape = test->shape;
    arena->per_process = (count + shape->processes - 1) / shape->processes;
    arena->share = shape->share;
    return bench_together(&(struct bench_team){.processes = shape->processes,
                                               .threads = shape->threads || arena->threads,
                                               .work = work,
                                               .context = arena});
}

/* ---- barrier and event ----------------------------------------------------------------------- */

double meet_measure(const struct bench_case *test, long count, struct meet_arena *arena,
                    int (*prepare)(int index, void *arena), int (*work)(int index, void *arena))
{
    const struct meet_shape *shape = test->shape;
    arena->rounds = count;
    arena->processes = shape->processes;
    arena->passed = 0;
    struct bench_team team = {.processes = shape->processes,
                              .threads = shape->threads,
                              .prepare = prepare,
                              .work = work,
                              .context = arena};
    double seconds = bench_together(&team);
    if (seconds > 0 && arena->passed != count * shape->processes)
        return bench_fail("%ld passed of %ld", (long)arena->passed, count * shape->processes);
    return seconds;
}

/* ---- queue ----------------------------------------------------------------------------------- */

void *queue_buffer(size_t size)
{
    void *buffer = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!buffer) {
        bench_fail("no memory");
        _exit(1);
    }
    memset(buffer, 1, size);
    return buffer;
}

struct queue_traffic *queue_traffic_new(const struct bench_case *test, long count)
{
    const struct queue_shape *shape = test->shape;
    struct queue_traffic *traffic = bench_shared(sizeof *traffic);
    long step = (long)shape->producers * shape->consumers;
    traffic->size = shape->size;
    traffic->producers = shape->producers;
    traffic->consumers = shape->consumers;
    traffic->messages = (count + step - 1) / step * step;
    traffic->depth = (4L << 20) / (long)shape->size;
    traffic->depth = traffic->depth < 4 ? 4 : traffic->depth > 4096 ? 4096 : traffic->depth;
    return traffic;
}

double queue_measure(struct queue_traffic *traffic, const struct bench_team *how)
{
    struct bench_team team = *how;
    team.processes = traffic->producers + traffic->consumers;
    team.context = traffic;
    double seconds = bench_together(&team);
    if (seconds <= 0) return seconds;
    struct queue_tally all = {0, 0, 0};
    for (int i = 0; i < traffic->consumers; i++) {
        all.sum += traffic->tallies[i].sum;
        all.count += traffic->tallies[i].count;
    }
    uint64_t expected = (uint64_t)traffic->messages * (uint64_t)(traffic->messages - 1) / 2;
    if (all.count != traffic->messages || all.sum != expected)
        return bench_fail("of %ld messages %ld came; their numbers are %s", traffic->messages, all.count,
                          all.sum == expected ? "right" : "wrong");
    return seconds;
}

static long all_received(const struct queue_traffic *traffic)
{
    long sum = 0;
    for (int i = 0; i < traffic->consumers; i++)
        sum += __atomic_load_n(&traffic->tallies[i].count, __ATOMIC_ACQUIRE);
    return sum;
}

int queue_consume_shared(struct queue_traffic *traffic, int index, queue_get *get, double patience)
{
    void *message = queue_buffer(traffic->size);
    struct queue_tally *tally = &traffic->tallies[index];
    while (tally->count < traffic->messages) {
        int got = get(traffic->transport, message, traffic->size);
        if (got < 0) return -1;
        if (got == 0 && all_received(traffic) == traffic->messages) {
            bench_ended_at(bench_now() - patience);
            return 0;
        }
        if (got == 0) continue;
        uint64_t number;
        memcpy(&number, message, sizeof number);
        tally->sum += number;
        __atomic_store_n(&tally->count, tally->count + 1, __ATOMIC_RELEASE);
    }
    return 0;
}

/* ---- round trip ------------------------------------------------------------------------------ */

double trip_measure(const struct bench_case *test, struct trip *trip, const struct bench_team *how)
{
    const struct trip_shape *shape = test->shape;
    const int cpus[] = {bench_cpu(0), bench_cpu(shape->one_core ? 0 : 1)};
    if (!shape->one_core && cpus[0] == cpus[1])
        return bench_unable("this process may use one processor only");
    struct bench_team team = *how;
    team.processes = 2;
    team.context = trip;
    team.cpus = cpus;
    return bench_together(&team);
}
