/* subprocess.c: microseconds to run a program to its end, by how much memory the parent has touched;
 * with its output collected; and seconds to collect much output. */
#include "subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the limit: posix_spawn and waitpid, with a pipe and read ------------------------------------ */

static double spawn_call(const struct bench_case *test, long count)
{
    return process_touch(test) ? -1 : process_spawn((char *[]){SUBPROCESS_CALL, NULL}, count);
}

/* Reads all of it into memory that doubles; the size, or -1. */
static ssize_t read_all(int descriptor)
{
    size_t size = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    ssize_t n;
    while (text != NULL && (n = read(descriptor, text + size, capacity - size)) > 0) {
        size += (size_t)n;
        if (size == capacity) text = realloc(text, capacity *= 2);
    }
    free(text);
    return text == NULL ? -1 : (ssize_t)size;
}

static double spawn_output(const struct bench_case *test, long count, char *const *argv, ssize_t expected)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        int status, ends[2];
        pid_t pid;
        posix_spawn_file_actions_t actions;
        if (pipe2(ends, O_CLOEXEC) < 0) return bench_fail("pipe2: %s", strerror(errno));
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        int rc = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (rc) return bench_fail("posix_spawn: %s", strerror(rc));
        close(ends[1]);
        ssize_t size = read_all(ends[0]);
        close(ends[0]);
        waitpid(pid, &status, 0);
        if (status || size != expected) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

static double spawn_small(const struct bench_case *test, long count)
{
    return spawn_output(test, count, (char *[]){SUBPROCESS_OUTPUT, NULL}, 2);
}

static double spawn_large(const struct bench_case *test, long count)
{
    return spawn_output(test, count, (char *[]){SUBPROCESS_LARGE, NULL}, SUBPROCESS_LARGE_SIZE);
}

/* ---- libc's own, and Python ------------------------------------------------------------------------ */

static double system_call(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        int status = system(SUBPROCESS_CALL);
        if (status) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

static double popen_output(const struct bench_case *test, long count, const char *line, ssize_t expected)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        FILE *file = popen(line, "re");
        if (file == NULL) return bench_fail("popen: %s", strerror(errno));
        ssize_t size = read_all(fileno(file));
        int status = pclose(file);
        if (status || size != expected) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

static double popen_small(const struct bench_case *test, long count)
{
    return popen_output(test, count, "exec /bin/echo x", 2);
}

static double popen_large(const struct bench_case *test, long count)
{
    return popen_output(test, count, "exec /usr/bin/head -c100M /dev/zero", SUBPROCESS_LARGE_SIZE);
}

static double python_call(const struct bench_case *test, long count)
{
    return process_python(test, count, "subprocess", "call");
}

static double python_small(const struct bench_case *test, long count)
{
    return process_python(test, count, "subprocess", "output");
}

static double python_large(const struct bench_case *test, long count)
{
    return process_python(test, count, "subprocess", "large");
}

/* ---- cases ------------------------------------------------------------------------------------------- */

#define CALL_LIMIT "posix_spawn, waitpid"

static const struct bench_contender call[] = {
    {BENCH_LIMIT, CALL_LIMIT, spawn_call, NULL},
    {BENCH_KIN, "kin_subprocess_check_call", bench_kin_call, "built without libkin"},
    {BENCH_PEER, "system", system_call, NULL},
    {BENCH_PEER, "libuv uv_spawn", peer_libuv_process, "libuv1-dev"},
    {BENCH_PEER, "Python check_call", python_call, "python3"},
    {0},
};

static const struct bench_contender small[] = {
    {BENCH_LIMIT, "posix_spawn, read, waitpid", spawn_small, NULL},
    {BENCH_KIN, "kin_subprocess_check_output", bench_kin_output, "built without libkin"},
    {BENCH_PEER, "popen", popen_small, NULL},
    {BENCH_PEER, "Python check_output", python_small, "python3"},
    {0},
};

static const struct bench_contender large[] = {
    {BENCH_LIMIT, "posix_spawn, read, waitpid", spawn_large, NULL},
    {BENCH_KIN, "kin_subprocess_check_output", bench_kin_large, "built without libkin"},
    {BENCH_PEER, "popen", popen_large, NULL},
    {BENCH_PEER, "Python check_output", python_large, "python3"},
    {0},
};

static const struct bench_target call_targets[] = {{CALL_LIMIT, 1.1}, {0}};
/* The kernel's copying is nearly all of it, for everybody. */
static const struct bench_target large_targets[] = {{"posix_spawn, read, waitpid", 1.1}, {0}};
static const struct bench_target output_targets[] = {
    {"posix_spawn, read, waitpid", 1.1}, {BENCH_EVERY_PEER, 1}, {0}};

static const struct process_shape ten_megabytes = {10}, one_gigabyte = {1024};

static const struct bench_case cases[] = {
    {.name = "run /bin/true, parent with 10 MB",
     .what = "commands",
     .unit = BENCH_MICROSECONDS,
     .contenders = call,
     .targets = call_targets,
     .in_turns = CALL_LIMIT,
     .shape = &ten_megabytes,
     .first_count = 10},
    {.name = "run /bin/true, parent with 1 GB",
     .what = "commands",
     .unit = BENCH_MICROSECONDS,
     .contenders = call,
     .targets = call_targets,
     .in_turns = CALL_LIMIT,
     .shape = &one_gigabyte,
     .first_count = 10},
    {.name = "run /bin/echo and collect its output",
     .what = "commands",
     .unit = BENCH_MICROSECONDS,
     .contenders = small,
     .targets = output_targets,
     .shape = &ten_megabytes,
     .first_count = 10},
    {.name = "collect 100 MB",
     .what = "commands",
     .unit = BENCH_SECONDS,
     .contenders = large,
     .targets = large_targets,
     .shape = &ten_megabytes,
     .fixed_count = 2,
     .quick_count = 1},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, "subprocess", cases, sizeof cases / sizeof *cases);
}
