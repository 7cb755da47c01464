/* process.c: microseconds to start a process and join it, by how much memory its parent has
 * touched. */
#include "process.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static double fork_run(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return bench_fail("fork or waitpid: %s", strerror(errno));
        if (status) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

static double spawn_run(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    char *argv[] = {"/bin/true", NULL};
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

static double python_fork_run(const struct bench_case *test, long count)
{
    return process_python(test, count, "process", "fork");
}

static double python_forkserver_run(const struct bench_case *test, long count)
{
    return process_python(test, count, "process", "forkserver");
}

static double python_spawn_run(const struct bench_case *test, long count)
{
    return process_python(test, count, "process", "spawn");
}

static const struct bench_contender contenders[] = {
    {BENCH_LIMIT, "fork", fork_run, NULL},
    {BENCH_KIN, "kin_process_start, join", bench_kin_process, "built without libkin"},
    {BENCH_PEER, "posix_spawn /bin/true", spawn_run, NULL},
    {BENCH_PEER, "libuv uv_spawn /bin/true", peer_libuv_process, "libuv1-dev"},
    {BENCH_PEER, "Python multiprocessing fork", python_fork_run, "python3"},
    {BENCH_PEER, "Python multiprocessing forkserver", python_forkserver_run, "python3"},
    {BENCH_PEER, "Python multiprocessing spawn", python_spawn_run, "python3"},
    {0},
};

static const struct bench_target targets[] = {{"fork", 1.1}, {0}};

#define PROCESS_CASE(label, megabytes) \
    { \
        .name = label, .what = "processes", .unit = BENCH_MICROSECONDS, .contenders = contenders, \
        .targets = targets, .shape = &(struct process_shape){megabytes}, .first_count = 3 \
    }

static const struct bench_case cases[] = {
    PROCESS_CASE("start and join, parent with 10 MB", 10),
    PROCESS_CASE("start and join, parent with 1 GB", 1024),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "process", cases, sizeof cases / sizeof *cases);
}
