/* connection_kin.c: kin's rows of the connection benchmark. */
#include <errno.h>
#include <sys/socket.h>

#include <kin.h>

#include "connection.h"

/* ---- messages ------------------------------------------------------------------------------------ */

QUEUE_INLINE int put(void *ends, const void *message, size_t size)
{
    return kin_connection_send(((kin_connection **)ends)[1], message, size, KIN_FOREVER);
}

QUEUE_INLINE int get(void *ends, void *message, size_t size)
{
    return kin_connection_recv(((kin_connection **)ends)[0], message, size, KIN_FOREVER) == (long)size ? 1
                                                                                                       : -1;
}

QUEUE_WORK(work, put, get)

static double measure(const struct bench_case *test, long count, kin_connection *ends[2])
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    traffic->transport = ends;
    return queue_measure(traffic, &(struct bench_team){.work = work});
}

double bench_kin_pipe(const struct bench_case *test, long count)
{
    kin_connection *ends[2] = {NULL, NULL};
    int rc = kin_pipe_open(&ends[0], &ends[1], NULL);
    if (rc < 0) return bench_fail("kin_pipe_open: %s", kin_strerror(rc));
    return measure(test, count, ends);
}

double bench_kin_stream(const struct bench_case *test, long count)
{
    kin_connection *ends[2] = {NULL, NULL};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return bench_fail("socketpair: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        int rc = kin_connection_open(&ends[i], pair[i]);
        if (rc < 0) return bench_fail("kin_connection_open: %s", kin_strerror(rc));
    }
    return measure(test, count, ends);
}

/* ---- connecting ------------------------------------------------------------------------------------ */

struct meeting {
    kin_listener *listener;
    long count;
};

static int meet(int index, void *context)
{
    struct meeting *meeting = context;
    kin_client_options options = {.key = "correct horse", .key_size = 13};
    for (long i = 0; i < meeting->count; i++) {
        kin_connection *connection = NULL;
        int rc = index == 0 ? kin_listener_accept(meeting->listener, &connection, KIN_FOREVER)
                            : kin_client_open(&connection, kin_listener_address(meeting->listener), &options,
                                              KIN_FOREVER);
        if (rc < 0) return rc;
        kin_connection_close(connection);
    }
    return 0;
}

double bench_kin_connect(const struct bench_case *test, long count)
{
    struct meeting meeting = {.count = count};
    (void)test;
    int rc = kin_listener_open(&meeting.listener, "tcp://127.0.0.1:0",
                               &(kin_listener_options){.key = "correct horse", .key_size = 13});
    if (rc < 0) return bench_fail("kin_listener_open: %s", kin_strerror(rc));
    return bench_together(&(struct bench_team){.processes = 2, .work = meet, .context = &meeting});
}
