/* runner_case.c: the supervisor of one case: runs it, ends it at its deadline, and finds what it
 * leaves behind.
 *
 * The supervisor is leader of a session and subreaper, so nothing the case starts can leave it;
 * when the runner dies it kills all of that and ends.
 */
#define _GNU_SOURCE
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outcome.h"

/* The first reason counts: what follows from it would hide it. */
static void fail_run(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail_run(struct run *run, const char *format, ...)
{
    va_list arguments;
    if (run->verdict == VERDICT_FAILED) return;
    run->verdict = VERDICT_FAILED;
    va_start(arguments, format);
    vsnprintf(run->reason, sizeof run->reason, format, arguments);
    va_end(arguments);
}

/* ---- files ------------------------------------------------------------------------------------ */

struct names {
    char text[400];
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    size_t used = strlen(names->text);
    if (names->count++ > 0 && used < sizeof names->text - 1) {
        used += (size_t)snprintf(names->text + used, sizeof names->text - used, ", ");
    }
    if (used < sizeof names->text - 1) snprintf(names->text + used, sizeof names->text - used, "%s", name);
}

/* Names what is in the directory and not in `but` (a list of names, each ending in a slash). */
static struct names names_in(const char *path, const char *but)
{
    struct names names = {.count = 0};
    DIR *directory = opendir(path);
    if (!directory) return names;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char with_slash[300];
        snprintf(with_slash, sizeof with_slash, "/%s/", entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (but && strstr(but, with_slash)) continue;
        /* ThreadSanitizer has one for a moment while a program begins: one that is killed then leaves it. */
        if (strncmp(entry->d_name, "tsan.rodata.", strlen("tsan.rodata.")) == 0) continue;
        add_name(&names, entry->d_name);
    }
    closedir(directory);
    return names;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status;
    (void)kind;
    (void)position;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Where it is permitted the case gets a /dev/shm of its own, so that what lies in it at the end
 * can only be the case's; elsewhere what was there before is told from what is new. */
static char *note_shared_files(void)
{
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0) {
        return NULL;
    }
    DIR *directory = opendir("/dev/shm");
    size_t used = 1, room = 4096;
    char *known = malloc(room);
    if (!directory || !known) return known;
    strcpy(known, "/");
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        if (used + length + 2 > room) {
            room = 2 * (room + length);
            char *more = realloc(known, room);
            if (!more) break;
            known = more;
        }
        /* Between two slashes each, so that no name is found inside another. */
        used += (size_t)sprintf(known + used, "%s/", entry->d_name);
    }
    closedir(directory);
    return known;
}

static void check_files(struct run *run, const char *directory, const char *shared_before)
{
    struct names left = names_in(directory, NULL);
    struct names shared = names_in("/dev/shm", shared_before);
    if (left.count > 0)
        fail_run(run, "left %zu file%s in $TMPDIR: %s", left.count, left.count == 1 ? "" : "s", left.text);
    if (shared.count > 0) {
        fail_run(run, "left %zu file%s in /dev/shm: %s", shared.count, shared.count == 1 ? "" : "s",
                 shared.text);
    }
}

/* ---- the case's process ------------------------------------------------------------------------- */

static void become_case(const struct run *run, const char *directory)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A shell starts what runs behind it with interrupts ignored, and nohup without hangups. */
    static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) signal(ending[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY});
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    close(nothing);
    dup2(run->output, STDOUT_FILENO);
    dup2(run->output, STDERR_FILENO);
    setenv("TMPDIR", directory, 1);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    if (chdir(directory) == 0) execl(run->program, run->program, run->case_name, (char *)NULL);
    dprintf(STDERR_FILENO, OUTCOME_FAILED_MARK "cannot run %s: %s\n", run->program, strerror(errno));
    _exit(OUTCOME_USAGE);
}

enum ending { ENDED, TIMED_OUT, RUNNER_GONE };

static enum ending await_case(pid_t child, double deadline, int lifeline)
{
    double end = runner_seconds() + deadline;
    struct pollfd items[2] = {{.events = POLLIN}, {.fd = lifeline, .events = POLLIN}};
    enum ending ending = TIMED_OUT;
    items[0].fd = (int)syscall(SYS_pidfd_open, child, 0);
    for (double left = deadline; left > 0; left = end - runner_seconds()) {
        if (poll(items, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR) break;
        if (items[0].revents) ending = ENDED;
        if (items[1].revents) ending = RUNNER_GONE;
        if (ending != TIMED_OUT) break;
    }
    close(items[0].fd);
    return ending;
}

static void judge_status(struct run *run, int status)
{
    if (WIFSIGNALED(status)) {
        fail_run(run, "killed by SIG%s",
                 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
    } else if (WEXITSTATUS(status) == OUTCOME_SKIPPED) {
        run->verdict = VERDICT_SKIPPED;
    } else if (WEXITSTATUS(status) != OUTCOME_PASSED) {
        fail_run(run, "exit code %d", WEXITSTATUS(status));
    } else {
        run->verdict = VERDICT_PASSED;
    }
}

/* One that does not sleep is on its way out, if slowly: a busy machine lets it wait for a processor. */
static bool is_on_its_way(const struct descendant *found, size_t count)
{
    for (size_t i = 0; i < count && i < DESCENDANTS_MOST; i++)
        if (found[i].state == 'R' || found[i].state == 'D') return true;
    return false;
}

static void check_processes(struct run *run)
{
    struct descendant found[DESCENDANTS_MOST];
    struct names names = {.count = 0};
    size_t count;
    double end = runner_seconds() + 2, last = end + 18;
    do {
        if (await_descendants(end)) return;
        count = find_descendants(getpid(), found, DESCENDANTS_MOST);
        end += 1;
    } while (is_on_its_way(found, count) && end < last);
    for (size_t i = 0; i < count; i++) {
        char text[120];
        snprintf(text, sizeof text, "%d (%s, state %c)", (int)found[i].pid, found[i].name, found[i].state);
        add_name(&names, text);
    }
    if (count == 0) return;
    if (run->verdict != VERDICT_FAILED) dump_descendants(run->output);
    fail_run(run, "left %zu process%s behind: %s", count, count == 1 ? "" : "es", names.text);
}

/* What the case itself said goes before what its end looks like. */
static void find_reason(struct run *run)
{
    char *text = run_output(run), line[sizeof run->reason];
    const char *from = text;
    if (text && marked_line(&from, OUTCOME_FAILED_MARK, line, sizeof line)) fail_run(run, "%s", line);
    if (text && run->verdict != VERDICT_FAILED &&
        marked_line(&from, OUTCOME_SKIPPED_MARK, line, sizeof line)) {
        snprintf(run->reason, sizeof run->reason, "%s", line);
    }
    free(text);
}

void supervise(struct run *run, const char *directory, int lifeline)
{
    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, NULL);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    char *shared_before = note_shared_files();
    if (mkdir(directory, 0700) < 0) {
        fail_run(run, "cannot make the directory %s: %s", directory, strerror(errno));
        return;
    }
    double start = runner_seconds();
    pid_t child = fork();
    if (child == 0) become_case(run, directory);
    enum ending ending = child < 0 ? ENDED : await_case(child, run->deadline, lifeline);
    if (child < 0) {
        fail_run(run, "cannot fork: %s", strerror(errno));
    } else if (ending == ENDED) {
        int status = 0;
        waitpid(child, &status, 0);
        find_reason(run);
        judge_status(run, status);
        find_reason(run);
        check_processes(run);
    } else if (ending == TIMED_OUT) {
        fail_run(run, "timed out after %g s", run->deadline);
        dump_descendants(run->output);
    }
    run->seconds = runner_seconds() - start;
    kill_descendants();
    check_files(run, directory, shared_before);
    remove_tree(directory);
    free(shared_before);
    if (ending == RUNNER_GONE) {
        /* The last supervisor removes what the runner would have. */
        char parent[PATH_MAX];
        snprintf(parent, sizeof parent, "%s", directory);
        rmdir(dirname(parent));
    }
}
