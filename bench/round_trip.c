/* round_trip.c: microseconds from a question of 8 bytes to its answer, with one processor for
 * each of the two processes and with one for both. */
#include "round_trip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "raw_ring.h"

#define TRIP_INLINE static inline __attribute__((always_inline))

/* ---- limits ---------------------------------------------------------------------------------- */

TRIP_INLINE int spsc_send(void *rings, int direction, uint64_t number)
{
    raw_spsc_put(((struct raw_spsc **)rings)[direction], &number, sizeof number);
    return 0;
}

TRIP_INLINE int spsc_receive(void *rings, int direction, uint64_t *number)
{
    raw_spsc_get(((struct raw_spsc **)rings)[direction], number, sizeof *number);
    return 0;
}

TRIP_INLINE int mpmc_send(void *rings, int direction, uint64_t number)
{
    raw_mpmc_put(((struct raw_mpmc **)rings)[direction], &number, sizeof number);
    return 0;
}

TRIP_INLINE int mpmc_receive(void *rings, int direction, uint64_t *number)
{
    raw_mpmc_get(((struct raw_mpmc **)rings)[direction], number, sizeof *number);
    return 0;
}

TRIP_WORK(spsc_work, spsc_send, spsc_receive)
TRIP_WORK(mpmc_work, mpmc_send, mpmc_receive)

static double spsc(const struct bench_case *test, long count, bool spins)
{
    struct raw_spsc *rings[] = {raw_spsc_new(16, 8, spins), raw_spsc_new(16, 8, spins)};
    return trip_measure(test, &(struct trip){count, rings}, &(struct bench_team){.work = spsc_work});
}

static double spsc_run(const struct bench_case *test, long count)
{
    return spsc(test, count, false);
}

static double spinning_run(const struct bench_case *test, long count)
{
    return spsc(test, count, true);
}

static double mpmc_run(const struct bench_case *test, long count)
{
    struct raw_mpmc *rings[] = {raw_mpmc_new(16, 8), raw_mpmc_new(16, 8)};
    return trip_measure(test, &(struct trip){count, rings}, &(struct bench_team){.work = mpmc_work});
}

/* ---- peers in the kernel --------------------------------------------------------------------- */

/* Descriptors by direction: to write to and to read from. */
struct wires {
    int write[2], read[2];
};

static int wire_send(void *context, int direction, uint64_t number)
{
    return write(((struct wires *)context)->write[direction], &number, sizeof number) == sizeof number ? 0
                                                                                                       : -1;
}

static int wire_receive(void *context, int direction, uint64_t *number)
{
    return read(((struct wires *)context)->read[direction], number, sizeof *number) == sizeof *number ? 0
                                                                                                      : -1;
}

TRIP_WORK(wire_work, wire_send, wire_receive)

/* An eventfd cannot carry 0, and adds what is written. */
static int event_send(void *context, int direction, uint64_t number)
{
    return wire_send(context, direction, number + 1);
}

static int event_receive(void *context, int direction, uint64_t *number)
{
    int rc = wire_receive(context, direction, number);
    *number -= 1;
    return rc;
}

TRIP_WORK(event_work, event_send, event_receive)

static double event_run(const struct bench_case *test, long count)
{
    struct wires wires;
    for (int i = 0; i < 2; i++) {
        wires.read[i] = wires.write[i] = eventfd(0, 0);
        if (wires.read[i] < 0) return bench_fail("eventfd: %s", strerror(errno));
    }
    return trip_measure(test, &(struct trip){count, &wires}, &(struct bench_team){.work = event_work});
}

static double pipe_run(const struct bench_case *test, long count)
{
    struct wires wires;
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (pipe(ends)) return bench_fail("pipe: %s", strerror(errno));
        wires.read[i] = ends[0];
        wires.write[i] = ends[1];
    }
    return trip_measure(test, &(struct trip){count, &wires}, &(struct bench_team){.work = wire_work});
}

/* ---- peers that are other programs ----------------------------------------------------------- */

static double python(const struct bench_case *test, long count, const char *by)
{
    const struct trip_shape *shape = test->shape;
    char number[24], cpus[2][16];
    snprintf(number, sizeof number, "%ld", count);
    snprintf(cpus[0], sizeof cpus[0], "%d", bench_cpu(0));
    snprintf(cpus[1], sizeof cpus[1], "%d", bench_cpu(shape->one_core ? 0 : 1));
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), "trip", by,
                                             cpus[0], cpus[1], number, NULL});
}

static double python_queue_run(const struct bench_case *test, long count)
{
    return python(test, count, "queue");
}

static double python_pipe_run(const struct bench_case *test, long count)
{
    return python(test, count, "pipe");
}

static double mpi_run(const struct bench_case *test, long count)
{
    (void)test;
    char number[24];
    snprintf(number, sizeof number, "%ld", count);
    const char *program = bench_beside(0, "peer_mpi");
    if (access(program, X_OK)) return bench_missing();
    return bench_asked((const char *const[]){BENCH_MPIRUN("core", "2"), program, "trip", number, NULL});
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define MPMC "raw MPMC ring, futex after a short spin"

#define COMMON \
    {BENCH_LIMIT, MPMC, mpmc_run, NULL}, \
        {BENCH_LIMIT, "raw SPSC ring, futex after a short spin", spsc_run, NULL}, \
        {BENCH_PEER, "eventfd", event_run, NULL}, \
        {BENCH_KIN, "kin_queue", bench_kin_trip, "built without libkin"}, \
        {BENCH_PEER, "pipe", pipe_run, NULL}, \
        {BENCH_PEER, "Boost.Interprocess message_queue", peer_boost_trip, "libboost-dev"}, \
        {BENCH_PEER, "ZeroMQ ipc", peer_zeromq_trip, "libzmq3-dev"}, \
        {BENCH_PEER, "nng ipc", peer_nng_trip, "libnng-dev"}, \
        {BENCH_PEER, "Python multiprocessing Queue", python_queue_run, "python3"}, \
    { \
        BENCH_PEER, "Python multiprocessing Pipe", python_pipe_run, "python3" \
    }

static const struct bench_contender one_core_each[] = {
    COMMON,
    {BENCH_LIMIT, "raw SPSC ring, spinning", spinning_run, NULL},
    {BENCH_PEER, "Open MPI, shared memory (spins)", mpi_run, "libopenmpi-dev openmpi-bin"},
    {0},
};

/* Two that spin on one processor would only wait for each other's time slice. */
static const struct bench_contender one_core[] = {COMMON, {0}};

static const struct bench_target each[] = {{MPMC, 1.5}, {0}};
static const struct bench_target together[] = {{"eventfd", 1.3}, {0}};

static const struct bench_case cases[] = {
    {.name = "8 B, one processor each",
     .what = "round trips",
     .unit = BENCH_MICROSECONDS,
     .contenders = one_core_each,
     .targets = each,
     .shape = &(struct trip_shape){false}},
    {.name = "8 B, both on one processor",
     .what = "round trips",
     .unit = BENCH_MICROSECONDS,
     .contenders = one_core,
     .targets = together,
     .shape = &(struct trip_shape){true}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "round_trip", cases, sizeof cases / sizeof *cases);
}
