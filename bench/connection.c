/* connection.c: messages per second through a pipe and a stream, and connecting
 * with authentication over loopback TCP.
 *
 * The limits are bare sockets: of packets for a pipe, and a stream on which every message has four
 * bytes of size before it, as on a connection.  A socket of packets that also tells what a packet is, and has room
 * for a descriptor, is a pipe's own limit: the kernel takes longer over those. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "connection.h"

static double asked(const char *what, long first, long second)
{
    char numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%ld", first);
    snprintf(numbers[1], sizeof numbers[1], "%ld", second);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), what, numbers[0],
                                             second > 0 ? numbers[1] : NULL, NULL});
}

/* ---- bare sockets ------------------------------------------------------------------------------ */

QUEUE_INLINE int packet_put(void *pair, const void *message, size_t size)
{
    return send(((int *)pair)[1], message, size, 0) == (ssize_t)size ? 0 : -1;
}

QUEUE_INLINE int packet_get(void *pair, void *message, size_t size)
{
    return recv(((int *)pair)[0], message, size, 0) == (ssize_t)size ? 1 : -1;
}

QUEUE_WORK(packet_work, packet_put, packet_get)

QUEUE_INLINE int kind_put(void *pair, const void *message, size_t size)
{
    char kind = 1;
    struct iovec parts[2] = {{&kind, sizeof kind}, {(void *)(uintptr_t)message, size}};
    return writev(((int *)pair)[1], parts, 2) == (ssize_t)size + 1 ? 0 : -1;
}

QUEUE_INLINE int kind_get(void *pair, void *message, size_t size)
{
    char kind, room[CMSG_SPACE(sizeof(int))];
    struct iovec parts[2] = {{&kind, sizeof kind}, {message, size}};
    struct msghdr header = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = room, .msg_controllen = sizeof room};
    return recvmsg(((int *)pair)[0], &header, 0) == (ssize_t)size + 1 && kind == 1 ? 1 : -1;
}

QUEUE_WORK(kind_work, kind_put, kind_get)

static int write_all(int descriptor, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(descriptor, bytes + done, size - done);
        if (n < 0) return -1;
        done += (size_t)n;
    }
    return 0;
}

static int read_all(int descriptor, char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(descriptor, bytes + done, size - done);
        if (n <= 0) return -1;
        done += (size_t)n;
    }
    return 0;
}

QUEUE_INLINE int stream_put(void *pair, const void *message, size_t size)
{
    uint32_t header = htonl((uint32_t)size);
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)message, size}};
    ssize_t n = writev(((int *)pair)[1], parts, 2);
    if (n < (ssize_t)sizeof header) return -1;
    size_t done = (size_t)n - sizeof header;
    return write_all(((int *)pair)[1], (const char *)message + done, size - done);
}

QUEUE_INLINE int stream_get(void *pair, void *message, size_t size)
{
    uint32_t header;
    if (read_all(((int *)pair)[0], (char *)&header, sizeof header) || ntohl(header) != size) return -1;
    return read_all(((int *)pair)[0], message, size) == 0 ? 1 : -1;
}

QUEUE_WORK(stream_work, stream_put, stream_get)

static double bare(const struct bench_case *test, long count, int type, int (*work)(int, void *))
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    int ends[2];
    if (socketpair(AF_UNIX, type, 0, ends)) return bench_fail("socketpair: %s", strerror(errno));
    traffic->transport = ends;
    return queue_measure(traffic, &(struct bench_team){.work = work});
}

static double packet_run(const struct bench_case *test, long count)
{
    return bare(test, count, SOCK_SEQPACKET, packet_work);
}

static double kind_run(const struct bench_case *test, long count)
{
    return bare(test, count, SOCK_SEQPACKET, kind_work);
}

static double stream_run(const struct bench_case *test, long count)
{
    return bare(test, count, SOCK_STREAM, stream_work);
}

static double python_run(const struct bench_case *test, long count)
{
    const struct queue_shape *shape = test->shape;
    return asked("pipe", (long)shape->size, count);
}

static double python_connect(const struct bench_case *test, long count)
{
    (void)test;
    return asked("connect", count, 0);
}

/* ---- the cases ----------------------------------------------------------------------------------- */

#define PACKETS "bare socket of packets"
#define KINDS   "packets with kind, room for a descriptor"
#define STREAM  "bare stream with sizes"
#define PYTHON  "Python multiprocessing Pipe"
#define NO_KIN  "built without libkin"

#define PIPE_ROWS \
    {BENCH_KIN, "kin_connection, pipe", bench_kin_pipe, NO_KIN}, \
        {BENCH_PEER, PYTHON, python_run, "python3"}, \
    { \
        0 \
    }

static const struct bench_contender pipes[] = {
    {BENCH_LIMIT, PACKETS, packet_run, NULL}, {BENCH_LIMIT, KINDS, kind_run, NULL}, PIPE_ROWS};

/* One packet cannot be so large. */
static const struct bench_contender large_pipes[] = {{BENCH_LIMIT, STREAM, stream_run, NULL}, PIPE_ROWS};

static const struct bench_contender streams[] = {
    {BENCH_LIMIT, STREAM, stream_run, NULL},
    {BENCH_KIN, "kin_connection, stream", bench_kin_stream, NO_KIN},
    {BENCH_PEER, PYTHON, python_run, "python3"},
    {0},
};

static const struct bench_contender connect_to[] = {
    {BENCH_KIN, "kin_client_open", bench_kin_connect, NO_KIN},
    {BENCH_PEER, "Python Client", python_connect, "python3"},
    {0},
};

static const struct bench_target of_pipe[] = {{KINDS, 0.95}, {PYTHON, 3}, {0}};
static const struct bench_target of_large_pipe[] = {{STREAM, 0.95}, {PYTHON, 3}, {0}};
static const struct bench_target of_stream[] = {{STREAM, 0.95}, {0}};
/* Here the copying is what costs: a bare socket is less than three times as fast as Python. */
static const struct bench_target of_copying_pipe[] = {{KINDS, 0.95}, {PYTHON, 1}, {0}};
static const struct bench_target in_two_ms[] = {{NULL, 2000}, {0}};

#define MESSAGES(label, bytes, who, goal) \
    { \
        .name = label, .what = "messages", .unit = BENCH_PER_SECOND, .contenders = who, .targets = goal, \
        .shape = &(struct queue_shape){bytes, 1, 1}, .first_count = 64 \
    }

static const struct bench_case cases[] = {
    MESSAGES("pipe, 8 B", 8, pipes, of_pipe),
    MESSAGES("pipe, 1 KiB", 1024, pipes, of_pipe),
    MESSAGES("pipe, 64 KiB", 65536, pipes, of_copying_pipe),
    MESSAGES("pipe, 1 MiB", 1 << 20, large_pipes, of_large_pipe),
    MESSAGES("stream, 8 B", 8, streams, of_stream),
    MESSAGES("stream, 1 KiB", 1024, streams, of_stream),
    MESSAGES("stream, 64 KiB", 65536, streams, of_stream),
    MESSAGES("stream, 1 MiB", 1 << 20, streams, of_stream),
    {.name = "connect, authenticate, close, TCP",
     .what = "connections",
     .unit = BENCH_MICROSECONDS,
     .contenders = connect_to,
     .targets = in_two_ms,
     .first_count = 8},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "connection", cases, sizeof cases / sizeof *cases);
}
