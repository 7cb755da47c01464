/* wait.h: between wait.c and kin's rows in wait_kin.c. */
#ifndef BENCH_WAIT_H
#define BENCH_WAIT_H

#include "support.h"

enum { WAIT_MOST = 1000 };

struct wait_shape {
    int things; /* up to WAIT_MOST */
};

/* The thing that is made ready in a turn: another each time, and all in some order. */
static inline int wait_turn(const struct wait_shape *shape, long turn)
{
    return (int)(turn * 7919 % shape->things);
}

/* As many descriptors that count (eventfd), and making one readable, and not. */
int wait_open(const struct wait_shape *shape, int descriptors[WAIT_MOST]);
void wait_make_ready(int descriptor);
void wait_take(int descriptor);

bench_run bench_kin_waiter_descriptors __attribute__((weak));
bench_run bench_kin_wait_descriptors __attribute__((weak));
bench_run bench_kin_waiter_events __attribute__((weak));
bench_run bench_kin_wait_events __attribute__((weak));
bench_run bench_kin_wait_asleep __attribute__((weak));

#endif
