/* socket.c: sockets: pairs, sending and receiving with descriptors, waiting.  See socket.h. */
#define _GNU_SOURCE
#include "os/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/suspend.h"

_Static_assert(sizeof(struct kin__part) == sizeof(struct iovec) &&
                   offsetof(struct kin__part, bytes) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct kin__part, size) == offsetof(struct iovec, iov_len),
               "a part is an iovec");

int kin__os_socket_pair(enum kin__socket_kind kind, int ends[2])
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int type = kind == KIN__SOCKET_PACKETS ? SOCK_SEQPACKET : SOCK_STREAM;
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

int kin__os_socket_describe(int socket, enum kin__socket_kind *kind, bool *local)
{
    int type = 0, domain = 0;
    socklen_t size = sizeof type;
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -errno;
    size = sizeof domain;
    if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return -errno;
    *kind = type == SOCK_STREAM ? KIN__SOCKET_STREAM : KIN__SOCKET_PACKETS;
    *local = domain == AF_UNIX;
    return type == SOCK_STREAM || (type == SOCK_SEQPACKET && *local) ? 0 : -EPROTOTYPE;
}

int kin__os_socket_end_sending(int socket)
{
    return shutdown(socket, SHUT_WR) < 0 ? -errno : 0;
}

void kin__os_socket_end(int socket)
{
    shutdown(socket, SHUT_RDWR);
}

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

long kin__os_send(int socket, const struct kin__part *parts, size_t count, int descriptor, bool wait)
{
    union control control;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
    for (;;) {
        /* For one piece the kernel is spared the reading of a header and a list. */
        ssize_t sent = descriptor < 0 && count == 1 ? send(socket, parts->bytes, parts->size, flags)
                                                    : sendmsg(socket, &message, flags);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

static void take_descriptor(struct msghdr *message, struct kin__received *received)
{
    received->lost = (message->msg_flags & MSG_CTRUNC) != 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return;
    memcpy(&received->descriptor, CMSG_DATA(header), sizeof received->descriptor);
    received->lost = false;
}

long kin__os_receive(int socket, const struct kin__part *parts, size_t count, struct kin__received *received,
                     bool wait)
{
    union control control;
    struct msghdr message;
    int flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
    for (;;) {
        message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
        if (received != NULL) {
            message.msg_control = &control;
            /* The padding has room for a second one: the kernel shall keep that. */
            message.msg_controllen = CMSG_LEN(sizeof received->descriptor);
            *received = (struct kin__received){.descriptor = -1};
        }
        ssize_t got = received == NULL && count == 1 ? recv(socket, parts->bytes, parts->size, flags)
                                                     : recvmsg(socket, &message, flags);
        if (got >= 0) {
            if (received != NULL && (message.msg_controllen > 0 || (message.msg_flags & MSG_CTRUNC) != 0))
                take_descriptor(&message, received);
            return got;
        }
        if (errno != EINTR) return -errno;
    }
}

/* In a coroutine, where another one may have something to do. */
static int wait_suspended(int descriptor, int wanted, kin_deadline deadline)
{
    struct kin__poll item = {.descriptor = descriptor, .write = wanted == KIN__WRITABLE};
    int rc;
    do rc = kin__os_poll(&item, 1, deadline);
    while (rc == -EINTR);
    return rc > 0 ? 0 : rc == 0 ? -ETIMEDOUT : rc;
}

int kin__os_wait_ready(int descriptor, int wanted, kin_deadline deadline)
{
    if (__builtin_expect(kin__suspender != NULL, 0)) return wait_suspended(descriptor, wanted, deadline);
    struct pollfd polled = {
        .fd = descriptor,
        .events = (short)((wanted & KIN__READABLE ? POLLIN : 0) | (wanted & KIN__WRITABLE ? POLLOUT : 0))};
    for (;;) {
        struct timespec left = {0};
        int64_t nanoseconds = deadline > 0 ? deadline - kin__os_clock() : 0;
        if (nanoseconds > 0) {
            left.tv_sec = nanoseconds / 1000000000;
            left.tv_nsec = nanoseconds % 1000000000;
        }
        int rc = ppoll(&polled, 1, deadline == KIN_FOREVER ? NULL : &left, NULL);
        if (rc > 0) return (polled.revents & POLLNVAL) != 0 ? -EBADF : 0;
        if (rc == 0) return -ETIMEDOUT;
        if (errno != EINTR) return -errno;
    }
}
