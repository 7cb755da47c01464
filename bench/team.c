/* team.c: processes or threads that begin together, and commands that are timed.
 *
 * The members of a team meet at a board in shared memory: they prepare one after the other,
 * work together, and finish when the work of all is done.  Each notes its own end, so that
 * the exit of a process is not part of what it did. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { MOST_MEMBERS = 64 };

struct board {
    _Atomic uint32_t prepared; /* how many are; the member of that index is next */
    _Atomic uint32_t begun;
    _Atomic uint32_t worked; /* how many have */
    _Atomic uint32_t failed;
    double ended[MOST_MEMBERS];
};

extern char **environ;

static _Thread_local double own_end;

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    struct timespec slice = {.tv_nsec = 20 * 1000 * 1000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &slice, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void advance(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    wake_all(word);
}

static void wait_for(_Atomic uint32_t *word, uint32_t value)
{
    for (uint32_t seen; (seen = atomic_load(word)) < value;) sleep_while(word, seen);
}

struct member {
    const struct bench_team *team;
    struct board *board;
    int index;
};

/* One that fails ends its process. */
static void *take_part(void *argument)
{
    const struct member *self = argument;
    const struct bench_team *team = self->team;
    struct board *board = self->board;
    int index = self->index;
    wait_for(&board->prepared, (uint32_t)index);
    int rc = team->cpus ? bench_pin(team->cpus[index]) : 0;
    if (rc == 0 && team->prepare) rc = team->prepare(index, team->context);
    if (rc) _exit(1);
    advance(&board->prepared);
    wait_for(&board->begun, 1);
    own_end = 0;
    rc = team->work(index, team->context);
    board->ended[index] = own_end > 0 ? own_end : bench_now();
    if (rc) _exit(1);
    advance(&board->worked);
    if (team->finish) {
        wait_for(&board->worked, (uint32_t)team->processes);
        rc = team->finish(index, team->context);
    }
    if (rc) _exit(1);
    return NULL;
}

/* In a new process: the members `first` to `last`, itself or by threads. */
static void run_members(const struct bench_team *team, struct board *board, int first, int last)
{
    struct member members[MOST_MEMBERS];
    pthread_t threads[MOST_MEMBERS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = first; i <= last; i++) {
        members[i] = (struct member){team, board, i};
        if (!team->threads)
            take_part(&members[i]);
        else if (pthread_create(&threads[i], NULL, take_part, &members[i]))
            _exit(1);
    }
    for (int i = first; team->threads && i <= last; i++) pthread_join(threads[i], NULL);
    _exit(0);
}

void bench_ended_at(double when)
{
    own_end = when;
}

/* Collects members that have ended; true when one of them failed. */
static bool collect(int *left, int flags)
{
    int status;
    while (*left > 0 && waitpid(-1, &status, flags) > 0) {
        (*left)--;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return true;
    }
    return false;
}

double bench_together(const struct bench_team *team)
{
    if (team->processes > MOST_MEMBERS) return bench_fail("a team has at most %d processes", MOST_MEMBERS);
    struct board *board = bench_shared(sizeof *board);
    int left = 0;
    int step = team->threads ? team->processes : 1;
    for (int i = 0; i < team->processes; i += step) {
        pid_t pid = fork();
        if (pid == 0) run_members(team, board, i, i + step - 1);
        if (pid < 0) return bench_fail("cannot fork: %s", strerror(errno));
        left++;
    }
    uint32_t seen;
    while ((seen = atomic_load(&board->prepared)) < (uint32_t)team->processes) {
        sleep_while(&board->prepared, seen);
        if (collect(&left, WNOHANG)) return bench_fail("a process failed while it prepared");
    }
    double begin = bench_now();
    advance(&board->begun);
    /* One that fails ends the run; the others go with the process group. */
    while (left > 0)
        if (collect(&left, 0)) return bench_fail("a process failed");
    double end = begin;
    for (int i = 0; i < team->processes; i++)
        if (board->ended[i] > end) end = board->ended[i];
    return end - begin;
}

/* ---- processors ------------------------------------------------------------------------------ */

int bench_cpu(int n)
{
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof usable, &usable)) return 0;
    n %= CPU_COUNT(&usable);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && n-- == 0) return cpu;
    return 0;
}

int bench_pin(int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one)) {
        bench_fail("cannot run on processor %d: %s", cpu, strerror(errno));
        return -1;
    }
    return 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Starts a command; 0 or an errno. */
static int start(pid_t *pid, const char *const argv[], const char *input, const char *output,
                 int output_descriptor)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, input ? input : "/dev/null", O_RDONLY, 0);
    if (output_descriptor >= 0)
        posix_spawn_file_actions_adddup2(&actions, output_descriptor, 1);
    else
        posix_spawn_file_actions_addopen(&actions, 1, output ? output : "/dev/null",
                                         O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static double cannot_start(const char *name, int error)
{
    return error == ENOENT ? bench_missing() : bench_fail("cannot start %s: %s", name, strerror(error));
}

/* 0, or -1 after a note of how the command failed. */
static int wait_well(pid_t pid, const char *name)
{
    int status;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    if (WIFEXITED(status))
        bench_fail("%s ended with exit code %d", name, WEXITSTATUS(status));
    else
        bench_fail("%s was killed by signal %d", name, WTERMSIG(status));
    return -1;
}

double bench_command(const char *const argv[], const char *input, const char *output)
{
    double begin = bench_now();
    pid_t pid;
    int rc = start(&pid, argv, input, output, -1);
    if (rc) return cannot_start(argv[0], rc);
    if (wait_well(pid, argv[0])) return -1;
    return bench_now() - begin;
}

double bench_asked(const char *const argv[])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return bench_fail("no pipe: %s", strerror(errno));
    pid_t pid;
    int rc = start(&pid, argv, NULL, NULL, ends[1]);
    close(ends[1]);
    if (rc) return cannot_start(argv[0], rc);
    char text[256];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text - 1 && (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = 0;
    close(ends[0]);
    if (wait_well(pid, argv[0])) return -1;
    double seconds = strtod(text, NULL);
    if (seconds <= 0) return bench_fail("%s printed no seconds but \"%.60s\"", argv[0], text);
    return seconds;
}

const char *bench_beside(int slot, const char *name)
{
    static char paths[4][4096];
    ssize_t length = readlink("/proc/self/exe", paths[slot], sizeof paths[slot] - 128);
    if (length < 0) return name;
    paths[slot][length] = 0;
    char *slash = strrchr(paths[slot], '/');
    snprintf(slash + 1, 128, "%s", name);
    return paths[slot];
}
