/* queue.c: messages per second through a queue between processes.
 *
 * Copied: the sender has the message in a buffer of its own and the receiver gets it in one.
 * In batches: the same, 64 messages to a call; the ring has no batches.
 * In place: the sender writes every byte and the receiver reads every byte, once, where the
 * queue keeps it.  Blocks: a megabyte changes hands and nobody touches it. */
#include "queue.h"

#include <stdio.h>
#include <unistd.h>

/* ---- peers that are other programs ----------------------------------------------------------- */

static double asked(const struct bench_case *test, long count, const char *const *before, int words)
{
    const struct queue_shape *shape = test->shape;
    const char *argv[32];
    char numbers[4][24];
    snprintf(numbers[0], sizeof numbers[0], "%zu", shape->size);
    snprintf(numbers[1], sizeof numbers[1], "%d", shape->producers);
    snprintf(numbers[2], sizeof numbers[2], "%d", shape->consumers);
    snprintf(numbers[3], sizeof numbers[3], "%ld", count);
    for (int i = 0; i < words; i++) argv[i] = before[i];
    for (int i = 0; i < 4; i++) argv[words + i] = numbers[i];
    argv[words + 4] = NULL;
    return bench_asked(argv);
}

static double python_run(const struct bench_case *test, long count)
{
    return asked(test, count, (const char *const[]){"python3", bench_beside(0, "peer_python.py"), "queue"},
                 3);
}

static double mpi_run(const struct bench_case *test, long count)
{
    const struct queue_shape *shape = test->shape;
    char processes[16];
    snprintf(processes, sizeof processes, "%d", shape->producers + shape->consumers);
    const char *program = bench_beside(0, "peer_mpi");
    if (access(program, X_OK)) return bench_missing();
    const char *const before[] = {BENCH_MPIRUN("none", processes), program, "queue"};
    return asked(test, count, before, sizeof before / sizeof *before);
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define MPMC         "raw MPMC ring, futex"
#define SPSC         "raw SPSC ring, futex"
#define TOUCHED      "raw MPMC ring, copied, filled and read"
#define RAW_IN_PLACE "raw MPMC ring, in place"

#define PEERS \
    {BENCH_PEER, "Open MPI, shared memory", mpi_run, "libopenmpi-dev openmpi-bin"}, \
        {BENCH_PEER, "Boost.Interprocess message_queue", peer_boost_queue, "libboost-dev"}, \
        {BENCH_PEER, "ZeroMQ ipc", peer_zeromq_queue, "libzmq3-dev"}, \
        {BENCH_PEER, "pipe", queue_pipe, NULL}, {BENCH_PEER, "POSIX message queue", queue_posix, NULL}, \
        {BENCH_PEER, "System V message queue", queue_system_v, NULL}, \
        {BENCH_PEER, "Unix socket, seqpacket", queue_socket, NULL}, \
        {BENCH_PEER, "nng ipc", peer_nng_queue, "libnng-dev"}, \
    { \
        BENCH_PEER, "Python multiprocessing Queue", python_run, "python3" \
    }

#define KIN_COPIED \
    { \
        BENCH_KIN, "kin_queue, put and get", bench_kin_queue, "built without libkin" \
    }

static const struct bench_contender pair[] = {
    {BENCH_LIMIT, MPMC, queue_raw_mpmc, NULL},
    {BENCH_LIMIT, SPSC, queue_raw_spsc, NULL},
    {BENCH_LIMIT, "raw SPSC ring, spinning", queue_raw_spsc_spinning, NULL},
    KIN_COPIED,
    PEERS,
    {0},
};

static const struct bench_contender crowd[] = {
    {BENCH_LIMIT, MPMC, queue_raw_mpmc, NULL},
    KIN_COPIED,
    PEERS,
    {0},
};

/* The queues that have priorities; each message has the same one. */
static const struct bench_contender by_priority[] = {
    {BENCH_LIMIT, MPMC, queue_raw_mpmc, NULL},
    {BENCH_KIN, "kin_queue by priority", bench_kin_queue_by_priority, "built without libkin"},
    {BENCH_PEER, "Boost.Interprocess message_queue", peer_boost_queue, "libboost-dev"},
    {BENCH_PEER, "POSIX message queue", queue_posix, NULL},
    {BENCH_PEER, "System V message queue", queue_system_v, NULL},
    {0},
};

static const struct bench_contender batches[] = {
    {BENCH_LIMIT, SPSC, queue_raw_spsc, NULL},
    {BENCH_KIN, "kin_queue, put_many and get_many", bench_kin_queue_batches, "built without libkin"},
    {0},
};

static const struct bench_contender in_place[] = {
    {BENCH_LIMIT, MPMC, queue_raw_mpmc, NULL},
    {BENCH_LIMIT, TOUCHED, queue_raw_touched, NULL},
    {BENCH_LIMIT, RAW_IN_PLACE, queue_raw_in_place, NULL},
    {BENCH_KIN, "kin_queue, reserve ... release", bench_kin_queue_in_place, "built without libkin"},
    {0},
};

static const struct bench_contender blocks[] = {
    {BENCH_LIMIT, "raw MPMC rings of block numbers", queue_raw_blocks, NULL},
    {BENCH_KIN, "kin_queue, reserve ... release", bench_kin_queue_blocks, "built without libkin"},
    {0},
};

static const struct bench_target small[] = {
    {MPMC, 0.45}, {BENCH_EVERY_PEER, 1.0}, {"Python multiprocessing Queue", 80}, {0}};
static const struct bench_target middle[] = {{MPMC, 0.7}, {0}};
static const struct bench_target large[] = {{MPMC, 0.95}, {0}};
static const struct bench_target many[] = {{MPMC, 0.7}, {BENCH_EVERY_PEER, 1.0}, {0}};
static const struct bench_target before_peers[] = {{BENCH_EVERY_PEER, 1.0}, {0}};
static const struct bench_target in_batches[] = {{SPSC, 1.0}, {0}};
static const struct bench_target without_copy[] = {{TOUCHED, 1.0}, {RAW_IN_PLACE, 0.95}, {0}};
static const struct bench_target untouched[] = {{NULL, 2e6}, {0}};

#define QUEUE_CASE(label, bytes, from, to, who, goal) \
    { \
        .name = label, .what = "messages", .unit = BENCH_PER_SECOND, .contenders = who, .targets = goal, \
        .shape = &(struct queue_shape){bytes, from, to}, .first_count = 64 \
    }

static const struct bench_case cases[] = {
    QUEUE_CASE("8 B, 1 to 1, copied", 8, 1, 1, pair, small),
    QUEUE_CASE("64 B, 1 to 1, copied", 64, 1, 1, pair, small),
    QUEUE_CASE("1 KiB, 1 to 1, copied", 1024, 1, 1, pair, middle),
    QUEUE_CASE("64 KiB, 1 to 1, copied", 65536, 1, 1, pair, large),
    QUEUE_CASE("1 MiB, 1 to 1, copied", 1 << 20, 1, 1, pair, large),
    QUEUE_CASE("8 B, 4 to 4, copied", 8, 4, 4, crowd, many),
    QUEUE_CASE("64 B, 4 to 4, copied", 64, 4, 4, crowd, many),
    QUEUE_CASE("1 KiB, 4 to 4, copied", 1024, 4, 4, crowd, many),
    QUEUE_CASE("64 KiB, 4 to 4, copied", 65536, 4, 4, crowd, many),
    QUEUE_CASE("1 MiB, 4 to 4, copied", 1 << 20, 4, 4, crowd, many),
    QUEUE_CASE("8 B, 1 to 1, batches of 64", 8, 1, 1, batches, in_batches),
    QUEUE_CASE("64 B, 1 to 1, batches of 64", 64, 1, 1, batches, in_batches),
    QUEUE_CASE("1 KiB, 1 to 1, batches of 64", 1024, 1, 1, batches, in_batches),
    QUEUE_CASE("64 B, 1 to 1, by priority", 64, 1, 1, by_priority, before_peers),
    QUEUE_CASE("64 KiB, 1 to 1, in place, every byte written and read", 65536, 1, 1, in_place, without_copy),
    QUEUE_CASE("1 MiB, 1 to 1, in place, every byte written and read", 1 << 20, 1, 1, in_place, without_copy),
    QUEUE_CASE("1 MiB, 1 to 1, block handed over untouched", 1 << 20, 1, 1, blocks, untouched),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "queue", cases, sizeof cases / sizeof *cases);
}
