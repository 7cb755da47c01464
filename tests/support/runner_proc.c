/* runner_proc.c: the processes below a supervisor: finding, awaiting, dumping, killing them.
 *
 * The supervisor is a subreaper: whoever loses its parent becomes its child.  So only its own
 * children are ever killed, by pids that cannot be reused while they are not collected.
 */
#define _GNU_SOURCE
#include "runner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stacks.h"

double runner_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- finding ---------------------------------------------------------------------------- */

struct process {
    pid_t pid, parent;
    char state;
    char name[64];
};

static bool read_small(const char *path, char *text, size_t size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    ssize_t length = read(descriptor, text, size - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static bool read_process(const char *number, struct process *process)
{
    char path[300], text[600];
    snprintf(path, sizeof path, "/proc/%s/stat", number);
    if (!read_small(path, text, sizeof text)) return false;
    char *open_mark = strchr(text, '('), *close_mark = strrchr(text, ')');
    if (!open_mark || !close_mark) return false;
    *close_mark = '\0';
    process->pid = atoi(number);
    snprintf(process->name, sizeof process->name, "%s", open_mark + 1);
    return sscanf(close_mark + 1, " %c %d", &process->state, &process->parent) == 2;
}

static struct process *read_processes(size_t *count)
{
    struct process *processes = NULL;
    size_t room = 0;
    *count = 0;
    DIR *directory = opendir("/proc");
    if (!directory) return NULL;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (*count == room) {
            room = room ? 2 * room : 256;
            struct process *more = realloc(processes, room * sizeof(*more));
            if (!more) break;
            processes = more;
        }
        if (read_process(entry->d_name, &processes[*count])) ++*count;
    }
    closedir(directory);
    return processes;
}

size_t find_descendants(pid_t ancestor, struct descendant *found, size_t most)
{
    size_t count, known = 0;
    struct process *processes = read_processes(&count);
    /* found[] is the queue of a breadth-first search as well as its result. */
    for (size_t next = 0;; next++) {
        pid_t parent = next == 0 ? ancestor : found[next - 1].pid;
        for (size_t i = 0; i < count && known < most; i++) {
            if (processes[i].parent != parent) continue;
            struct descendant *descendant = &found[known++];
            descendant->pid = processes[i].pid;
            descendant->state = processes[i].state;
            snprintf(descendant->name, sizeof descendant->name, "%s", processes[i].name);
        }
        if (next == known) break;
    }
    free(processes);
    return known;
}

/* ---- awaiting and killing ----------------------------------------------------------------- */

/* Collects those that have ended; returns whether none is left. */
static bool collect(void)
{
    pid_t pid;
    do {
        pid = waitpid(-1, NULL, WNOHANG | __WALL);
    } while (pid > 0 || (pid < 0 && errno == EINTR));
    return pid < 0;
}

bool await_descendants(double end)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        if (collect()) return true;
        double left = end - runner_seconds();
        if (left <= 0) return false;
        /* SIGCHLD is blocked in the supervisor, so one that came since collect() is pending.
         * A child cloned without it ends unannounced: hence the slices. */
        if (left > 0.05) left = 0.05;
        struct timespec slice = {0, (long)(left * 1e9)};
        sigtimedwait(&child, NULL, &slice);
    }
}

void kill_descendants(void)
{
    while (!collect()) {
        size_t count;
        struct process *processes = read_processes(&count);
        for (size_t i = 0; i < count; i++) {
            if (processes[i].parent == getpid()) kill(processes[i].pid, SIGKILL);
        }
        free(processes);
        await_descendants(runner_seconds() + 0.2);
    }
}

/* ---- dumping --------------------------------------------------------------------------------- */

void dump_descendants(int output)
{
    struct descendant found[DESCENDANTS_MOST];
    size_t count = find_descendants(getpid(), found, DESCENDANTS_MOST);
    for (size_t i = 0; i < count; i++) {
        dprintf(output, "---- process %d (%s), state %c\n", (int)found[i].pid, found[i].name, found[i].state);
        write_stacks(output, found[i].pid, i < 12 && found[i].state != 'Z');
    }
}
