/* subprocess_kin.c: kin's rows of the subprocess benchmark. */
#include <kin.h>
#include <stdlib.h>

#include "subprocess.h"

static double failed(int rc)
{
    return bench_fail("%s: %s", kin_strerror(rc), kin_subprocess_error());
}

double bench_kin_call(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    double seconds = 0;
    for (long i = 0; i < count; i++) {
        double begin = bench_now();
        int rc = kin_subprocess_check_call(KIN_COMMAND(SUBPROCESS_CALL), KIN_FOREVER);
        double own = bench_now() - begin;
        if (rc < 0) return failed(rc);
        double other = process_spawn((char *[]){SUBPROCESS_CALL, NULL}, 1);
        if (other < 0) return -1;
        bench_pair(own, other);
        seconds += own;
    }
    return seconds;
}

static double output(const struct bench_case *test, long count, const char *const *argv, size_t expected)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        char *text = NULL;
        size_t size = 0;
        int rc = kin_subprocess_check_output(&text, &size, argv, KIN_FOREVER);
        free(text);
        if (rc < 0) return failed(rc);
        if (size != expected) return bench_fail("%zu bytes instead of %zu", size, expected);
    }
    return bench_now() - begin;
}

double bench_kin_output(const struct bench_case *test, long count)
{
    return output(test, count, KIN_COMMAND(SUBPROCESS_OUTPUT), 2);
}

double bench_kin_large(const struct bench_case *test, long count)
{
    return output(test, count, KIN_COMMAND(SUBPROCESS_LARGE), SUBPROCESS_LARGE_SIZE);
}
