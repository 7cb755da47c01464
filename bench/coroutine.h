/* coroutine.h: the cases of the coroutine benchmark and what their contenders share. */
#ifndef BENCH_COROUTINE_H
#define BENCH_COROUTINE_H

#include "support.h"

struct echo_shape {
    int connections;
};

/* echo_measure forks a server that runs serve(listener), to the end of all connections, and has
 * `count` messages echoed by it, one in flight for each connection of the case. */
double echo_measure(const struct bench_case *test, long count, int (*serve)(int listener, int connections));

#define ECHO_SIZE 64

/* What has files of its own. */
bench_run bench_kin_switch __attribute__((weak));
bench_run bench_kin_generator __attribute__((weak));
bench_run bench_kin_yield __attribute__((weak));
bench_run bench_kin_echo __attribute__((weak));
bench_run bench_kin_memory __attribute__((weak));
bench_run peer_libuv_echo __attribute__((weak));
bench_run peer_libuv_poll __attribute__((weak));

#endif
