/* queue.h: the traffic of the queue benchmark and the loops every transport is measured in.
 *
 * The messages of a run are numbered; a message begins with its number, producers send them
 * in turns, and the sum of the numbers that arrived is checked. */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <stdlib.h>
#include <string.h>

#include "support.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { QUEUE_MOST_CONSUMERS = 16 };

struct queue_shape {
    size_t size; /* of a message */
    int producers;
    int consumers;
};

struct queue_tally {
    uint64_t sum __attribute__((aligned(64))); /* of the numbers that came */
    long count;
    uint64_t read; /* what bench_sum gave, so that it is not left out */
};

/* On their way at a time, where blocks are handed over. */
#define QUEUE_BLOCKS 64

/* In shared memory; written before the processes begin, except the tallies. */
struct queue_traffic {
    size_t size;
    int producers;
    int consumers;
    long messages; /* fits both numbers of processes */
    long depth;    /* messages that a queue should hold */
    void *transport;
    struct queue_tally tallies[QUEUE_MOST_CONSUMERS];
};

struct queue_traffic *queue_traffic_new(const struct bench_case *test, long count);

/* queue_measure runs a team whose first members are the producers. */
double queue_measure(struct queue_traffic *traffic, const struct bench_team *how);

/* A buffer of the message's size, all of its pages touched. */
void *queue_buffer(size_t size);

/* put returns 0; get returns 1, or 0 when nothing came for a while, else negative. */
typedef int queue_put(void *transport, const void *message, size_t size);
typedef int queue_get(void *transport, void *message, size_t size);

/* Inlined with the transport's functions, so that the loop costs every transport the same. */
#define QUEUE_INLINE static inline __attribute__((always_inline))

QUEUE_INLINE int queue_produce(struct queue_traffic *traffic, int index, queue_put *put)
{
    char *message = (char *)queue_buffer(traffic->size);
    for (long i = index; i < traffic->messages; i += traffic->producers) {
        memcpy(message, &i, sizeof i);
        if (put(traffic->transport, message, traffic->size)) return -1;
    }
    return 0;
}

/* For transports whose consumers share one queue: each takes its part. */
QUEUE_INLINE int queue_consume(struct queue_traffic *traffic, int index, queue_get *get)
{
    char *message = (char *)queue_buffer(traffic->size);
    struct queue_tally tally = {0, traffic->messages / traffic->consumers, 0};
    for (long i = 0; i < tally.count; i++) {
        if (get(traffic->transport, message, traffic->size) <= 0) return -1;
        uint64_t number;
        memcpy(&number, message, sizeof number);
        tally.sum += number;
    }
    traffic->tallies[index] = tally;
    return 0;
}

/* For transports that deal messages out as they like: consumers end when together they have
 * all.  `get` returns 0 after `patience` seconds without a message. */
int queue_consume_shared(struct queue_traffic *traffic, int index, queue_get *get, double patience);

#define QUEUE_WORK(name, put, get) \
    static int name(int index, void *context) \
    { \
        struct queue_traffic *traffic = (struct queue_traffic *)context; \
        if (index < traffic->producers) return queue_produce(traffic, index, put); \
        return queue_consume(traffic, index - traffic->producers, get); \
    }

/* Transports that have files of their own. */
bench_run queue_raw_spsc_spinning, queue_raw_spsc, queue_raw_mpmc, queue_raw_in_place, queue_raw_touched,
    queue_raw_blocks;
bench_run queue_pipe, queue_socket, queue_posix, queue_system_v;
bench_run bench_kin_queue __attribute__((weak));
bench_run bench_kin_queue_by_priority __attribute__((weak));
bench_run bench_kin_queue_batches __attribute__((weak));
bench_run bench_kin_queue_in_place __attribute__((weak));
bench_run bench_kin_queue_blocks __attribute__((weak));
bench_run peer_boost_queue __attribute__((weak));
bench_run peer_zeromq_queue __attribute__((weak));
bench_run peer_nng_queue __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
