/* process_kin.c: kin's rows of the process benchmark. */
#include <kin.h>

#include "process.h"

static int nothing(void *argument)
{
    (void)argument;
    return 0;
}

void bench_kin_main(int *argc, char ***argv)
{
    kin_main(argc, argv);
}

static double start_and_join(long count, enum kin_start_method method)
{
    kin_process_options options = {.method = method};
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        kin_process *process = NULL;
        int code = -1;
        int rc = kin_process_start(&process, nothing, NULL, &options);
        if (rc == 0) rc = kin_process_join(process, KIN_FOREVER);
        if (rc == 0) rc = kin_process_exit_code(process, &code);
        if (rc < 0) return bench_fail("kin_process: %s", kin_strerror(rc));
        if (code) return process_ended_badly(code);
        kin_process_close(process);
    }
    return bench_now() - begin;
}

double bench_kin_process(const struct bench_case *test, long count)
{
    return process_touch(test) ? -1 : start_and_join(count, KIN_FORK);
}

double bench_kin_forkserver(const struct bench_case *test, long count)
{
    /* The server begins with the first start. */
    if (start_and_join(1, KIN_FORKSERVER) < 0 || process_touch(test)) return -1;
    return start_and_join(count, KIN_FORKSERVER);
}

double bench_kin_spawn(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    /* kin first: it pays for what is cold, and for the family. */
    double seconds = 0;
    for (long i = 0; i < count; i++) {
        double own = start_and_join(1, KIN_SPAWN);
        double other = own < 0 ? own : process_spawn(PROCESS_SELF, 1);
        if (other < 0) return -1;
        bench_pair(own, other);
        seconds += own;
    }
    return seconds;
}
