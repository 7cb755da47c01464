/* peer_nng.c: nng over ipc: push and pull for the queue, pair for the round trip.
 *
 * nng has threads: every process opens its sockets after the fork.  Addresses are abstract, so
 * that no file is left. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdio.h>
#include <unistd.h>

#include "queue.h"
#include "round_trip.h"

enum { PATIENCE_MS = 20 };

static nng_socket own; /* of this process */

static int noted(int rc, const char *what)
{
    if (rc) bench_fail("%s: %s", what, nng_strerror(rc));
    return rc ? -1 : 0;
}

static int attach(bool listens, pid_t run, int number)
{
    char address[64];
    snprintf(address, sizeof address, "abstract://kin-bench-%ld-%d", (long)run, number);
    return noted(listens ? nng_listen(own, address, NULL, 0) : nng_dial(own, address, NULL, 0), address);
}

static int finish(int index, void *team)
{
    (void)index;
    (void)team;
    nng_close(own);
    return 0;
}

/* ---- queue: producers listen, consumers dial all of them ------------------------------------- */

static int prepare(int index, void *team)
{
    struct queue_traffic *traffic = team;
    bool produces = index < traffic->producers;
    if (noted(produces ? nng_push0_open(&own) : nng_pull0_open(&own), "nng_open")) return -1;
    if (produces) return attach(true, getppid(), index);
    nng_socket_set_size(own, NNG_OPT_RECVMAXSZ, 0);
    if (noted(nng_socket_set_ms(own, NNG_OPT_RECVTIMEO, PATIENCE_MS), "nng_socket_set_ms")) return -1;
    for (int i = 0; i < traffic->producers; i++)
        if (attach(false, getppid(), i)) return -1;
    return 0;
}

static int put(void *transport, const void *message, size_t size)
{
    (void)transport;
    return noted(nng_send(own, (void *)message, size, 0), "nng_send");
}

static int get(void *transport, void *message, size_t size)
{
    (void)transport;
    size_t got = size;
    int rc = nng_recv(own, message, &got, 0);
    if (rc == NNG_ETIMEDOUT) return 0;
    return rc == 0 && got == size ? 1 : -1;
}

static int work(int index, void *team)
{
    struct queue_traffic *traffic = team;
    if (index < traffic->producers) return queue_produce(traffic, index, put);
    return queue_consume_shared(traffic, index - traffic->producers, get, PATIENCE_MS * 1e-3);
}

double peer_nng_queue(const struct bench_case *test, long count)
{
    struct bench_team team = {.prepare = prepare, .work = work, .finish = finish};
    return queue_measure(queue_traffic_new(test, count), &team);
}

/* ---- round trip ------------------------------------------------------------------------------ */

static int prepare_trip(int index, void *trip)
{
    (void)trip;
    if (noted(nng_pair0_open(&own), "nng_open")) return -1;
    return attach(index == 0, getppid(), 0);
}

static int send_number(void *transport, int direction, uint64_t number)
{
    (void)direction;
    return put(transport, &number, sizeof number);
}

static int receive_number(void *transport, int direction, uint64_t *number)
{
    (void)direction;
    return get(transport, number, sizeof *number) == 1 ? 0 : -1;
}

TRIP_WORK(trip_work, send_number, receive_number)

double peer_nng_trip(const struct bench_case *test, long count)
{
    struct bench_team team = {.prepare = prepare_trip, .work = trip_work, .finish = finish};
    return trip_measure(test, &(struct trip){count, NULL}, &team);
}
