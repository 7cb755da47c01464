/* peer_libuv_echo.c: a server of libuv's own making, in the coroutine benchmark; and one that waits with uv_poll_t for
 * one message after the other, as a scheduler of coroutines around libuv would (docs/design/032). */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "coroutine.h"

struct connection {
    uv_tcp_t handle;
    uv_write_t write;
    char message[ECHO_SIZE];
};

static int connections_left;

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    (void)size;
    *buffer = uv_buf_init(((struct connection *)handle)->message, ECHO_SIZE);
}

static void on_written(uv_write_t *write, int status)
{
    (void)write;
    (void)status;
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *connection = (struct connection *)stream;
    if (length < 0) {
        connections_left--;
        uv_close((uv_handle_t *)stream, on_close);
        return;
    }
    uv_buf_t answer = uv_buf_init(buffer->base, (unsigned)length);
    /* As a good program of libuv does it: at once, and queued only if that does not work. */
    if (uv_try_write(stream, &answer, 1) != length)
        uv_write(&connection->write, stream, &answer, 1, on_written);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (status < 0 || connection == NULL) return;
    uv_tcp_init(listener->loop, &connection->handle);
    if (uv_accept(listener, (uv_stream_t *)&connection->handle) == 0)
        uv_read_start((uv_stream_t *)&connection->handle, on_alloc, on_read);
}

static int serve(int listener, int connections)
{
    uv_tcp_t handle;
    uv_loop_t *loop = uv_default_loop();
    connections_left = connections;
    uv_tcp_init(loop, &handle);
    if (uv_tcp_open(&handle, listener) < 0 || uv_listen((uv_stream_t *)&handle, 4096, on_connection) < 0)
        return 1;
    while (connections_left > 0) uv_run(loop, UV_RUN_ONCE);
    return 0;
}

double peer_libuv_echo(const struct bench_case *test, long count)
{
    return echo_measure(test, count, serve);
}

/* ---- wait by wait --------------------------------------------------------------------------------------- */

struct waiter {
    uv_poll_t handle;
    int descriptor;
};

/* The coroutine's wait is over; it answers, and waits anew. */
static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct waiter *waiter = (struct waiter *)handle;
    char message[ECHO_SIZE];
    (void)events;
    uv_poll_stop(handle);
    ssize_t length = status < 0 ? -1 : recv(waiter->descriptor, message, sizeof message, MSG_DONTWAIT);
    if (length > 0 && send(waiter->descriptor, message, (size_t)length, MSG_NOSIGNAL) == length) {
        uv_poll_start(handle, UV_READABLE, on_readable);
        return;
    }
    connections_left--;
    close(waiter->descriptor);
    uv_close((uv_handle_t *)handle, on_close);
}

static void on_acceptable(uv_poll_t *listener, int status, int events)
{
    int descriptor = accept4(((struct waiter *)listener)->descriptor, NULL, NULL, SOCK_CLOEXEC);
    struct waiter *waiter = calloc(1, sizeof *waiter);
    (void)events;
    if (status < 0 || descriptor < 0 || waiter == NULL) abort();
    waiter->descriptor = descriptor;
    uv_poll_init(listener->loop, &waiter->handle, descriptor);
    uv_poll_start(&waiter->handle, UV_READABLE, on_readable);
}

static int serve_by_poll(int listener, int connections)
{
    static struct waiter waiter;
    uv_loop_t *loop = uv_default_loop();
    connections_left = connections;
    waiter.descriptor = listener;
    if (uv_poll_init(loop, &waiter.handle, listener) < 0 ||
        uv_poll_start(&waiter.handle, UV_READABLE, on_acceptable) < 0)
        return 1;
    while (connections_left > 0) uv_run(loop, UV_RUN_ONCE);
    return 0;
}

double peer_libuv_poll(const struct bench_case *test, long count)
{
    return echo_measure(test, count, serve_by_poll);
}
