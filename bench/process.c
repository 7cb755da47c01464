/* process.c: microseconds to start a process and join it, by how much memory its parent has
 * touched. */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- by a helper -------------------------------------------------------------------------------- */

/* Forks a child for each byte that comes, and sends one when it has ended. */
static void help(int socket)
{
    for (char byte; read(socket, &byte, 1) == 1;) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        byte = pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
        if (write(socket, &byte, 1) != 1) break;
    }
    _exit(0);
}

static double helper_run(const struct bench_case *test, long count)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return bench_fail("socketpair: %s", strerror(errno));
    /* It is forked before the memory is touched. */
    pid_t helper = fork();
    if (helper < 0) return bench_fail("fork: %s", strerror(errno));
    if (helper == 0) {
        close(ends[0]);
        help(ends[1]);
    }
    close(ends[1]);
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        char byte = 0;
        if (write(ends[0], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1 || byte != 0)
            return bench_fail("the helper has failed");
    }
    double seconds = bench_now() - begin;
    close(ends[0]);
    waitpid(helper, NULL, 0);
    return seconds;
}

/* ---- by exec ------------------------------------------------------------------------------------- */

static double spawn_each(const struct bench_case *test, long count, char *const argv[])
{
    return process_touch(test) ? -1 : process_spawn(argv, count);
}

static double spawn_true_run(const struct bench_case *test, long count)
{
    return spawn_each(test, count, (char *[]){"/bin/true", NULL});
}

static double spawn_self_run(const struct bench_case *test, long count)
{
    return spawn_each(test, count, PROCESS_SELF);
}

static double spawn_static_run(const struct bench_case *test, long count)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", bench_beside(0, "nothing"));
    return spawn_each(test, count, (char *[]){path, NULL});
}

static double vfork_run(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        int status;
        pid_t pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return bench_fail("vfork or waitpid: %s", strerror(errno));
        if (status) return process_ended_badly(status);
    }
    return bench_now() - begin;
}

/* ---- Python ------------------------------------------------------------------------------------- */

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

static const struct bench_contender by_fork[] = {
    {BENCH_LIMIT, "fork", fork_run, NULL},
    {BENCH_KIN, "kin_process_start, join", bench_kin_process, "built without libkin"},
    {BENCH_PEER, "libuv uv_spawn /bin/true", peer_libuv_process, "libuv1-dev"},
    {BENCH_PEER, "Python multiprocessing fork", python_fork_run, "python3"},
    {0},
};
static const struct bench_target fork_targets[] = {{"fork", 1.1}, {0}};

static const struct bench_contender by_helper[] = {
    {BENCH_LIMIT, "fork by a small helper", helper_run, NULL},
    {BENCH_KIN, "kin by KIN_FORKSERVER", bench_kin_forkserver, "built without libkin"},
    {BENCH_PEER, "Python multiprocessing forkserver", python_forkserver_run, "python3"},
    {0},
};
static const struct bench_target helper_targets[] = {{"fork by a small helper", 1.4}, {0}};

#define SAME_PROGRAM "posix_spawn of the same program"

static const struct bench_contender by_exec[] = {
    {BENCH_LIMIT, "posix_spawn of a static program", spawn_static_run, NULL},
    {BENCH_LIMIT, SAME_PROGRAM, spawn_self_run, NULL},
    {BENCH_KIN, "kin by KIN_SPAWN", bench_kin_spawn, "built without libkin"},
    {BENCH_PEER, "vfork, exec /bin/true", vfork_run, NULL},
    {BENCH_PEER, "posix_spawn /bin/true", spawn_true_run, NULL},
    {BENCH_PEER, "Python multiprocessing spawn", python_spawn_run, "python3"},
    {0},
};
static const struct bench_target exec_targets[] = {{SAME_PROGRAM, 1.3}, {0}};

#define PROCESS_CASE(label, by, target, other, megabytes) \
    { \
        .name = label, .what = "processes", .unit = BENCH_MICROSECONDS, .contenders = by, .targets = target, \
        .in_turns = other, .shape = &(struct process_shape){megabytes}, .first_count = 3 \
    }

static const struct bench_case cases[] = {
    PROCESS_CASE("start and join by fork, parent with 10 MB", by_fork, fork_targets, NULL, 10),
    PROCESS_CASE("start and join by fork, parent with 1 GB", by_fork, fork_targets, NULL, 1024),
    PROCESS_CASE("start and join by a helper, parent with 10 MB", by_helper, helper_targets, NULL, 10),
    PROCESS_CASE("start and join by a helper, parent with 1 GB", by_helper, helper_targets, NULL, 1024),
    PROCESS_CASE("start and join by exec, parent with 10 MB", by_exec, exec_targets, SAME_PROGRAM, 10),
    PROCESS_CASE("start and join by exec, parent with 1 GB", by_exec, exec_targets, SAME_PROGRAM, 1024),
};

int main(int argc, char **argv)
{
    if (bench_kin_main != NULL) bench_kin_main(&argc, &argv);
    if (argc == 2 && strcmp(argv[1], PROCESS_NOTHING) == 0) return 0;
    return bench_main(argc, argv, "process", cases, sizeof cases / sizeof *cases);
}
