/* peer_zeromq.c: ZeroMQ over ipc: PUSH and PULL for the queue, PAIR for the round trip.
 *
 * Every process makes its own context; the addresses are abstract, so that no file is left. */
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

#include "queue.h"
#include "round_trip.h"

enum { PATIENCE_MS = 20 };

static void *own_context; /* of this process */
static void *own;         /* its socket */

static int prepare_socket(int type)
{
    own_context = zmq_ctx_new();
    own = own_context ? zmq_socket(own_context, type) : NULL;
    if (!own) bench_fail("zmq_socket: %s", zmq_strerror(zmq_errno()));
    return own ? 0 : -1;
}

static int attach(int (*how)(void *, const char *), pid_t run, int number)
{
    char address[64];
    snprintf(address, sizeof address, "ipc://@kin-bench-%ld-%d", (long)run, number);
    if (how(own, address)) {
        bench_fail("%s: %s", address, zmq_strerror(zmq_errno()));
        return -1;
    }
    return 0;
}

static int finish(int index, void *traffic)
{
    (void)index;
    (void)traffic;
    zmq_close(own);
    zmq_ctx_term(own_context);
    return 0;
}

/* ---- queue: producers bind, consumers connect to all of them --------------------------------- */

static int prepare(int index, void *team)
{
    struct queue_traffic *traffic = team;
    bool produces = index < traffic->producers;
    if (prepare_socket(produces ? ZMQ_PUSH : ZMQ_PULL)) return -1;
    if (produces) return attach(zmq_bind, getppid(), index);
    int patience = PATIENCE_MS;
    zmq_setsockopt(own, ZMQ_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < traffic->producers; i++)
        if (attach(zmq_connect, getppid(), i)) return -1;
    return 0;
}

static inline int put(void *transport, const void *message, size_t size)
{
    (void)transport;
    return zmq_send(own, message, size, 0) == (int)size ? 0 : -1;
}

static int get(void *transport, void *message, size_t size)
{
    (void)transport;
    int got = zmq_recv(own, message, size, 0);
    if (got < 0) return zmq_errno() == EAGAIN || zmq_errno() == EINTR ? 0 : -1;
    return got == (int)size ? 1 : -1;
}

static int work(int index, void *team)
{
    struct queue_traffic *traffic = team;
    if (index < traffic->producers) return queue_produce(traffic, index, put);
    return queue_consume_shared(traffic, index - traffic->producers, get, PATIENCE_MS * 1e-3);
}

double peer_zeromq_queue(const struct bench_case *test, long count)
{
    struct bench_team team = {.prepare = prepare, .work = work, .finish = finish};
    return queue_measure(queue_traffic_new(test, count), &team);
}

/* ---- round trip ------------------------------------------------------------------------------ */

static int prepare_trip(int index, void *trip)
{
    (void)trip;
    if (prepare_socket(ZMQ_PAIR)) return -1;
    return attach(index == 0 ? zmq_bind : zmq_connect, getppid(), 0);
}

static inline int send_number(void *transport, int direction, uint64_t number)
{
    (void)direction;
    return put(transport, &number, sizeof number);
}

static inline int receive_number(void *transport, int direction, uint64_t *number)
{
    (void)direction;
    return get(transport, number, sizeof *number) == 1 ? 0 : -1;
}

TRIP_WORK(trip_work, send_number, receive_number)

double peer_zeromq_trip(const struct bench_case *test, long count)
{
    struct bench_team team = {.prepare = prepare_trip, .work = trip_work, .finish = finish};
    return trip_measure(test, &(struct trip){count, NULL}, &team);
}
