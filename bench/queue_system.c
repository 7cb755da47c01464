/* queue_system.c: the queue benchmark's peers in the kernel: pipe, socket, POSIX and System V message queue. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue.h"

/* ---- pipe ------------------------------------------------------------------------------------ */

QUEUE_INLINE int pipe_put(void *pipe, const void *message, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(((int *)pipe)[1], (const char *)message + done, size - done);
        if (n < 0) return -1;
        done += (size_t)n;
    }
    return 0;
}

QUEUE_INLINE int pipe_get(void *pipe, void *message, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(((int *)pipe)[0], (char *)message + done, size - done);
        if (n <= 0) return -1;
        done += (size_t)n;
    }
    return 1;
}

QUEUE_WORK(pipe_work, pipe_put, pipe_get)

double queue_pipe(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    int ends[2];
    if (traffic->producers > 1 && traffic->size > PIPE_BUF)
        return bench_unable("writers of more than PIPE_BUF bytes would mix their messages");
    if (pipe(ends)) return bench_fail("pipe: %s", strerror(errno));
    traffic->transport = ends;
    return queue_measure(traffic, &(struct bench_team){.work = pipe_work});
}

/* ---- Unix socket ----------------------------------------------------------------------------- */

QUEUE_INLINE int socket_put(void *pair, const void *message, size_t size)
{
    return send(((int *)pair)[1], message, size, 0) == (ssize_t)size ? 0 : -1;
}

QUEUE_INLINE int socket_get(void *pair, void *message, size_t size)
{
    return recv(((int *)pair)[0], message, size, 0) == (ssize_t)size ? 1 : -1;
}

QUEUE_WORK(socket_work, socket_put, socket_get)

double queue_socket(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends)) return bench_fail("socketpair: %s", strerror(errno));
    /* A message must fit into the buffer; beyond wmem_max only root may have that. */
    int wanted = 4 << 20;
    if (traffic->size > 64 * 1024 && setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted))
        return bench_unable("messages of that size need a larger buffer than this user may set");
    traffic->transport = ends;
    return queue_measure(traffic, &(struct bench_team){.work = socket_work});
}

/* ---- POSIX message queue --------------------------------------------------------------------- */

QUEUE_INLINE int posix_put(void *queue, const void *message, size_t size)
{
    return mq_send(*(mqd_t *)queue, message, size, 0);
}

QUEUE_INLINE int posix_get(void *queue, void *message, size_t size)
{
    return mq_receive(*(mqd_t *)queue, message, size, NULL) == (ssize_t)size ? 1 : -1;
}

QUEUE_WORK(posix_work, posix_put, posix_get)

double queue_posix(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    char name[64];
    snprintf(name, sizeof name, "/kin-bench-%ld", (long)getpid());
    /* As deep as this user may have it. */
    struct mq_attr attributes = {.mq_maxmsg = traffic->depth, .mq_msgsize = (long)traffic->size};
    mqd_t queue = -1;
    while (queue < 0 && attributes.mq_maxmsg > 0) {
        queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
        attributes.mq_maxmsg /= 2;
    }
    if (queue < 0 && errno == EINVAL)
        return bench_unable("messages of that size are above fs.mqueue.msgsize_max");
    if (queue < 0) return bench_fail("mq_open for messages of %zu bytes: %s", traffic->size, strerror(errno));
    mq_unlink(name);
    traffic->transport = &queue;
    return queue_measure(traffic, &(struct bench_team){.work = posix_work});
}

/* ---- System V message queue ------------------------------------------------------------------ */

enum { SYSTEM_V_MOST = 8192 }; /* kernel.msgmax, unless somebody has raised it */

struct system_v_message {
    long type;
    char bytes[SYSTEM_V_MOST];
};

QUEUE_INLINE int system_v_put(void *queue, const void *message, size_t size)
{
    static struct system_v_message out = {.type = 1};
    memcpy(out.bytes, message, size);
    return msgsnd(*(int *)queue, &out, size, 0);
}

QUEUE_INLINE int system_v_get(void *queue, void *message, size_t size)
{
    static struct system_v_message in;
    if (msgrcv(*(int *)queue, &in, sizeof in.bytes, 0, 0) != (ssize_t)size) return -1;
    memcpy(message, in.bytes, size);
    return 1;
}

QUEUE_WORK(system_v_work, system_v_put, system_v_get)

double queue_system_v(const struct bench_case *test, long count)
{
    struct queue_traffic *traffic = queue_traffic_new(test, count);
    if (traffic->size > SYSTEM_V_MOST) return bench_unable("messages of that size are above kernel.msgmax");
    /* Where it may be, in a namespace that goes with the run, whatever ends it. */
    if (unshare(CLONE_NEWIPC)) errno = 0;
    int queue = msgget(IPC_PRIVATE, 0600);
    if (queue < 0) return bench_fail("msgget: %s", strerror(errno));
    traffic->transport = &queue;
    double seconds = queue_measure(traffic, &(struct bench_team){.work = system_v_work});
    msgctl(queue, IPC_RMID, NULL);
    return seconds;
}
