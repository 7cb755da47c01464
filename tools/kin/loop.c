/* loop.c: epoll. */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <kin/time.h>

static int descriptor = -1;

int loop_open(void)
{
    descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor < 0 ? -errno : 0;
}

void loop_close(void)
{
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
}

static int add(struct watch *watch, uint32_t events)
{
    if (watch->added) return 0;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(descriptor, EPOLL_CTL_ADD, watch->descriptor, &event) < 0) return -errno;
    watch->added = true;
    return 0;
}

int loop_add_readable(struct watch *watch)
{
    return add(watch, EPOLLIN);
}

int loop_add_writable(struct watch *watch)
{
    return add(watch, EPOLLOUT);
}

void loop_remove(struct watch *watch)
{
    if (!watch->added) return;
    watch->added = false;
    epoll_ctl(descriptor, EPOLL_CTL_DEL, watch->descriptor, NULL);
}

static int milliseconds_until(int64_t deadline)
{
    if (deadline == KIN_FOREVER) return -1;
    int64_t left = deadline - kin_clock();
    if (left <= 0) return 0;
    /* Rounded up, so that the deadline has passed when nothing else has happened. */
    return left / 1000000 >= INT_MAX ? INT_MAX : (int)((left + 999999) / 1000000);
}

void loop_wait(int64_t deadline)
{
    struct epoll_event events[64];
    int count = epoll_wait(descriptor, events, 64, milliseconds_until(deadline));
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch->added) watch->ready(watch);
    }
}
