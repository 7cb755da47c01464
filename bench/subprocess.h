/* subprocess.h: the cases of the subprocess benchmark; the parent's memory is as in process.h. */
#ifndef BENCH_SUBPROCESS_H
#define BENCH_SUBPROCESS_H

#include "process.h"

/* What is run, by case. */
#define SUBPROCESS_CALL   "/bin/true"
#define SUBPROCESS_OUTPUT "/bin/echo", "x"
#define SUBPROCESS_LARGE  "/usr/bin/head", "-c100M", "/dev/zero"
enum { SUBPROCESS_LARGE_SIZE = 100 << 20 };

bench_run bench_kin_call __attribute__((weak));
bench_run bench_kin_output __attribute__((weak));
bench_run bench_kin_large __attribute__((weak));

#endif
