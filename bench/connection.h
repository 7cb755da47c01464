/* connection.h: between connection.c and kin's rows in connection_kin.c. */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include "queue.h"

bench_run bench_kin_pipe __attribute__((weak));
bench_run bench_kin_stream __attribute__((weak));
bench_run bench_kin_connect __attribute__((weak));

#endif
