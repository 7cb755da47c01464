/* epoll.c: see epoll.h. */
#define _GNU_SOURCE
#include "os/epoll.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "os/fault.h"
#include "os/suspend.h"
#include "os/valgrind.h"

#define COLLECT_MOST 256

static uint64_t token_of(int descriptor, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint32_t)descriptor;
}

int kin__os_epoll_make(void)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

static int control(int epoll, int operation, int descriptor, uint32_t events, const struct kin__armed *armed)
{
    struct epoll_event event = {.events = events, .data.u64 = token_of(descriptor, armed->generation)};
    return epoll_ctl(epoll, operation, descriptor, &event) < 0 ? -errno : 0;
}

int kin__os_epoll_arm(int epoll, int descriptor, unsigned events, struct kin__armed *armed)
{
    uint32_t wanted = EPOLLONESHOT;
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    /* A peer that sends no more is no news for who waits for room. */
    if ((events & KIN__READABLE) != 0) wanted |= EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    if ((events & KIN__WRITABLE) != 0) wanted |= EPOLLOUT;
    if (armed->known) rc = control(epoll, EPOLL_CTL_MOD, descriptor, wanted, armed);
    if (!armed->known || rc == -ENOENT) {
        /* The number is another descriptor's now. */
        armed->generation++;
        rc = control(epoll, EPOLL_CTL_ADD, descriptor, wanted, armed);
        if (rc == -EEXIST) rc = control(epoll, EPOLL_CTL_MOD, descriptor, wanted, armed);
    }
    armed->known = rc == 0;
    return rc == -EPERM ? 1 : rc;
}

static int wait_until(int epoll, struct epoll_event *found, int limit, kin_deadline deadline)
{
    static _Atomic bool coarse; /* the kernel (before 5.11) knows milliseconds alone */
    if (deadline == KIN_FOREVER) return epoll_wait(epoll, found, limit, -1);
    int64_t left = deadline > 0 ? deadline - kin__os_clock() : 0;
    if (left <= 0) return epoll_wait(epoll, found, limit, 0);
    /* It complains of calls that it does not know. */
    if (!coarse && RUNNING_ON_VALGRIND) coarse = true;
    if (!coarse) {
        struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        int count = epoll_pwait2(epoll, found, limit, &timeout, NULL);
        if (count >= 0 || errno != ENOSYS) return count;
        coarse = true;
    }
    int64_t milliseconds = (left + 999999) / 1000000;
    return epoll_wait(epoll, found, limit, milliseconds < INT32_MAX ? (int)milliseconds : INT32_MAX);
}

static unsigned events_of(uint32_t found)
{
    return ((found & (EPOLLIN | EPOLLPRI | EPOLLRDHUP)) != 0 ? KIN__READABLE : 0u) |
           ((found & EPOLLOUT) != 0 ? KIN__WRITABLE : 0u) |
           ((found & (EPOLLERR | EPOLLHUP)) != 0 ? KIN__READABLE | KIN__WRITABLE : 0u);
}

int kin__os_epoll_wait(int epoll, struct kin__ready *ready, size_t limit, kin_deadline deadline)
{
    struct epoll_event found[COLLECT_MOST];
    int count = wait_until(epoll, found, limit < COLLECT_MOST ? (int)limit : COLLECT_MOST, deadline);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        ready[i] = (struct kin__ready){(int)(uint32_t)found[i].data.u64, (uint32_t)(found[i].data.u64 >> 32),
                                       events_of(found[i].events)};
    return count;
}

int kin__os_epoll_add(int epoll, int descriptor, unsigned events, uint64_t token)
{
    struct epoll_event event = {.data.u64 = token};
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    if ((events & KIN__READABLE) != 0) event.events |= EPOLLIN;
    if ((events & KIN__WRITABLE) != 0) event.events |= EPOLLOUT;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

int kin__os_epoll_remove(int epoll, int descriptor)
{
    return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL) < 0 ? -errno : 0;
}

int kin__os_epoll_tokens(int epoll, uint64_t *tokens, size_t limit, kin_deadline deadline)
{
    struct epoll_event found[COLLECT_MOST];
    if (__builtin_expect(kin__suspender != NULL, 0) && deadline > 0) {
        struct kin__poll set = {.descriptor = epoll};
        int rc = kin__os_poll(&set, 1, deadline);
        if (rc <= 0) return rc;
        deadline = KIN_NOW;
    }
    int count = wait_until(epoll, found, limit < COLLECT_MOST ? (int)limit : COLLECT_MOST, deadline);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) tokens[i] = found[i].data.u64;
    return count;
}

/* ---- a timer ---------------------------------------------------------------------------------- */

int kin__os_alarm_make(void)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

int kin__os_alarm_set(int alarm, kin_deadline when)
{
    struct itimerspec setting = {0};
    if (when != KIN_FOREVER) {
        if (when < 1) when = 1; /* zero would be never */
        setting.it_value = (struct timespec){.tv_sec = when / 1000000000, .tv_nsec = when % 1000000000};
    }
    return timerfd_settime(alarm, TFD_TIMER_ABSTIME, &setting, NULL) < 0 ? -errno : 0;
}
