/* descriptor.c: descriptors: closing, inheriting, waiting for several, event counters. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/direct.h"
#include "os/fault.h"
#include "os/suspend.h"

#define POLL_ON_STACK 32

_Thread_local const struct kin__suspender *kin__suspender __attribute__((tls_model("initial-exec")));

KIN__CHILD_CODE int kin__os_close(int descriptor)
{
    /* After EINTR it is closed all the same; trying again could close another's. */
    return close(descriptor) < 0 && errno != EINTR ? -errno : 0;
}

KIN__CHILD_CODE int kin__os_set_inherit(int descriptor, bool inherit)
{
    return (int)kin__direct(SYS_fcntl, descriptor, F_SETFD, inherit ? 0 : FD_CLOEXEC, 0);
}

static int poll_until(struct pollfd *polled, size_t count, kin_deadline deadline)
{
    struct timespec left = {0};
    if (deadline != KIN_FOREVER && deadline > 0) {
        int64_t nanoseconds = deadline - kin__os_clock();
        if (nanoseconds > 0) {
            left.tv_sec = nanoseconds / 1000000000;
            left.tv_nsec = nanoseconds % 1000000000;
        }
    }
    int ready = ppoll(polled, count, deadline == KIN_FOREVER ? NULL : &left, NULL);
    return ready < 0 ? -errno : ready;
}

int kin__os_poll(struct kin__poll *items, size_t count, kin_deadline deadline)
{
    struct pollfd few[POLL_ON_STACK], *polled = few;
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    if (__builtin_expect(kin__suspender != NULL, 0) && deadline > 0)
        return kin__suspender->poll(items, count, deadline);
    if (count > POLL_ON_STACK && (polled = kin__os_malloc(count * sizeof *polled)) == NULL) return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = items[i].descriptor, .events = items[i].write ? POLLOUT : POLLIN};
    rc = poll_until(polled, count, deadline);
    for (size_t i = 0; i < count; i++) {
        items[i].ready = rc > 0 && polled[i].revents != 0;
        /* A number that is not open would be ready for ever. */
        if (rc > 0 && (polled[i].revents & POLLNVAL) != 0) rc = -EBADF;
    }
    if (polled != few) kin__os_free(polled);
    return rc;
}

int kin__os_await(int descriptor, bool write, kin_deadline deadline)
{
    struct pollfd item = {.fd = descriptor, .events = write ? POLLOUT : POLLIN};
    return poll_until(&item, 1, deadline);
}

int kin__os_event_make(void)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

int kin__os_event_set(int descriptor)
{
    const uint64_t one = 1;
    int saved = errno, rc = 0;
    /* EAGAIN: the counter is at its end, so it is set. */
    while (write(descriptor, &one, sizeof one) < 0 && errno != EAGAIN) {
        if (errno != EINTR) {
            rc = -errno;
            break;
        }
    }
    errno = saved;
    return rc;
}

int kin__os_event_clear(int descriptor)
{
    uint64_t count;
    while (read(descriptor, &count, sizeof count) < 0 && errno != EAGAIN) {
        if (errno != EINTR) return -errno;
    }
    return 0;
}
