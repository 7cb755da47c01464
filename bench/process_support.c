/* process_support.c: what the benchmarks that start processes share.
 *
 * The parent's memory is in pages of 4 KiB, as what malloc returns usually is, so that the page
 * tables that fork copies have the same size everywhere. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "process.h"

extern char **environ;

int process_touch(const struct bench_case *test)
{
    const struct process_shape *shape = test->shape;
    size_t size = (size_t)shape->megabytes << 20;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        bench_fail("no %ld MB: %s", shape->megabytes, strerror(errno));
        return -1;
    }
    madvise(memory, size, MADV_NOHUGEPAGE);
    memset(memory, 1, size);
    return 0;
}

double process_ended_badly(int status)
{
    return bench_fail("the child ended with status %d", status);
}

double process_spawn(char *const argv[], long count)
{
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        int status;
        pid_t pid;
        int rc = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
        if (rc || waitpid(pid, &status, 0) != pid) return bench_fail("posix_spawn: %s", strerror(rc));
        if (status) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

double process_python(const struct bench_case *test, long count, const char *group, const char *what)
{
    const struct process_shape *shape = test->shape;
    char megabytes[24], number[24];
    snprintf(megabytes, sizeof megabytes, "%ld", shape->megabytes);
    snprintf(number, sizeof number, "%ld", count);
    return bench_asked((const char *const[]){"python3", bench_beside(0, "peer_python.py"), group, what,
                                             megabytes, number, NULL});
}
