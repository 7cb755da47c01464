/* wait.c: what it costs to be told which of 10, 100 or 1000 things is ready.
 *
 * In each turn one of them is made ready, waited for among all, and taken, by one process: nobody sleeps, so
 * that only the telling is measured.  Things are descriptors, for which there are poll and epoll, and events in
 * family memory.  Asleep: there another process makes it ready, once the first one sleeps or is about to. */
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

int wait_open(const struct wait_shape *shape, int descriptors[WAIT_MOST])
{
    struct rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        setrlimit(RLIMIT_NOFILE, &most);
    }
    for (int i = 0; i < shape->things; i++)
        if ((descriptors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) return -errno;
    return 0;
}

void wait_make_ready(int descriptor)
{
    uint64_t one = 1;
    if (write(descriptor, &one, sizeof one) != sizeof one) bench_fail("write: %s", strerror(errno));
}

void wait_take(int descriptor)
{
    uint64_t count;
    if (read(descriptor, &count, sizeof count) != sizeof count) bench_fail("read: %s", strerror(errno));
}

static double epoll_run(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    int descriptors[WAIT_MOST], set = epoll_create1(EPOLL_CLOEXEC), rc = wait_open(shape, descriptors);
    if (set < 0 || rc < 0) return bench_fail("no descriptor is left");
    for (int i = 0; i < shape->things; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(set, EPOLL_CTL_ADD, descriptors[i], &event)) return bench_fail("epoll_ctl");
    }
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        struct epoll_event event;
        int one = wait_turn(shape, turn);
        wait_make_ready(descriptors[one]);
        if (epoll_wait(set, &event, 1, -1) != 1 || event.data.u32 != (uint32_t)one)
            return bench_fail("another descriptor was told");
        wait_take(descriptors[one]);
    }
    return bench_now() - begin;
}

static double poll_run(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    int descriptors[WAIT_MOST];
    struct pollfd polled[WAIT_MOST];
    if (wait_open(shape, descriptors) < 0) return bench_fail("no descriptor is left");
    for (int i = 0; i < shape->things; i++)
        polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    double begin = bench_now();
    for (long turn = 0; turn < count; turn++) {
        int one = wait_turn(shape, turn), found = 0;
        wait_make_ready(descriptors[one]);
        if (poll(polled, (nfds_t)shape->things, -1) != 1) return bench_fail("poll");
        while (polled[found].revents == 0) found++;
        if (found != one) return bench_fail("another descriptor was told");
        wait_take(descriptors[one]);
    }
    return bench_now() - begin;
}

static double python_run(const struct bench_case *test, long count)
{
    const struct wait_shape *shape = test->shape;
    char things[24], number[24];
    snprintf(things, sizeof things, "%d", shape->things);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked(
        (const char *const[]){"python3", bench_beside(0, "peer_python.py"), "wait", things, number, NULL});
}

#define EPOLL  "epoll"
#define POLL   "poll"
#define NO_KIN "built without libkin"

/* A set that is told once of what there is. */
static const struct bench_contender sets[] = {
    {BENCH_LIMIT, EPOLL, epoll_run, NULL},
    {BENCH_KIN, "kin_waiter_wait, descriptors", bench_kin_waiter_descriptors, NO_KIN},
    {BENCH_KIN, "kin_waiter_wait, events", bench_kin_waiter_events, NO_KIN},
    {0},
};

/* All of them are named in every call. */
static const struct bench_contender calls[] = {
    {BENCH_LIMIT, POLL, poll_run, NULL},
    {BENCH_KIN, "kin_wait, descriptors", bench_kin_wait_descriptors, NO_KIN},
    {BENCH_KIN, "kin_wait, events", bench_kin_wait_events, NO_KIN},
    {BENCH_KIN, "kin_wait, events, asleep", bench_kin_wait_asleep, NO_KIN},
    {BENCH_PEER, "Python connection.wait", python_run, "python3"},
    {0},
};

static const struct bench_target as_epoll[] = {{EPOLL, 1.3}, {0}};
static const struct bench_target as_poll[] = {{POLL, 1.3}, {"Python connection.wait", 0.33}, {0}};

#define WAIT_CASE(label, count, who, goal) \
    { \
        .name = label, .what = "turns", .unit = BENCH_MICROSECONDS, .contenders = who, .targets = goal, \
        .shape = &(struct wait_shape){count}, .first_count = 64 \
    }

static const struct bench_case cases[] = {
    WAIT_CASE("one of 10, a set", 10, sets, as_epoll),
    WAIT_CASE("one of 100, a set", 100, sets, as_epoll),
    WAIT_CASE("one of 1000, a set", 1000, sets, as_epoll),
    WAIT_CASE("one of 10, a call", 10, calls, as_poll),
    WAIT_CASE("one of 100, a call", 100, calls, as_poll),
    WAIT_CASE("one of 1000, a call", 1000, calls, as_poll),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "wait", cases, sizeof cases / sizeof *cases);
}
