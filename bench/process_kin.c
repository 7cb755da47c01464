/* process_kin.c: kin's row of the process benchmark. */
#include <kin.h>

#include "process.h"

static int nothing(void *argument)
{
    (void)argument;
    return 0;
}

double bench_kin_process(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        kin_process *process = NULL;
        int code = -1;
        int rc = kin_process_start(&process, nothing, NULL, NULL);
        if (rc == 0) rc = kin_process_join(process, KIN_FOREVER);
        if (rc == 0) rc = kin_process_exit_code(process, &code);
        if (rc < 0) return bench_fail("kin_process: %s", kin_strerror(rc));
        if (code) return process_ended_badly(code);
        kin_process_close(process);
    }
    return bench_now() - begin;
}
