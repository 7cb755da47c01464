/* spawn.c: vfork and exec.
 *
 * The child of a vfork uses the parent's memory while the parent waits: between vfork and exec
 * it makes system calls and writes only to `child_error`.  No handler of the tool can run in
 * it, because the tool has none (signals.c). */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"

extern char **environ;

static struct rlimit limit_before;
static bool limit_raised;
static volatile int child_error;

static void become(const struct spawn *spawn, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    signals_restore();
    if (limit_raised) setrlimit(RLIMIT_NOFILE, &limit_before);
    if (dup2(spawn->in, STDIN_FILENO) < 0 || dup2(spawn->out, STDOUT_FILENO) < 0 ||
        dup2(spawn->err, STDERR_FILENO) < 0)
        return;
    if (spawn->directory != NULL && chdir(spawn->directory) < 0) return;
    execve(spawn->program, spawn->words + 1, environ);
    if (errno != ENOEXEC) return;
    /* A script without "#!" is one for the shell. */
    char *name = spawn->words[1];
    spawn->words[0] = (char *)"/bin/sh";
    spawn->words[1] = (char *)spawn->program;
    execve("/bin/sh", spawn->words, environ);
    spawn->words[1] = name;
}

pid_t spawn(const struct spawn *spawn)
{
    pid_t parent = getpid();
    child_error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        become(spawn, parent);
        child_error = errno;
        _exit(127);
    }
    if (pid < 0) return -errno;
    if (child_error == 0) return pid;
    waitpid(pid, NULL, 0);
    return -child_error;
}

static int is_program(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0) return -errno;
    if (S_ISDIR(status.st_mode)) return -EISDIR;
    return access(path, X_OK) < 0 ? -errno : 0;
}

int spawn_find(const char *name, char *path, size_t size)
{
    if (strchr(name, '/') != NULL || name[0] == '\0') {
        if ((size_t)snprintf(path, size, "%s", name) >= size) return -ENAMETOOLONG;
        return name[0] == '\0' ? -ENOENT : is_program(path);
    }
    const char *directories = getenv("PATH");
    if (directories == NULL) directories = "/bin:/usr/bin";
    int found = -ENOENT;
    while (*directories != '\0') {
        size_t length = strcspn(directories, ":");
        int used = length == 0 ? snprintf(path, size, "./%s", name)
                               : snprintf(path, size, "%.*s/%s", (int)length, directories, name);
        if (used >= 0 && (size_t)used < size) {
            int rc = is_program(path);
            if (rc == 0) return 0;
            if (rc != -ENOENT && rc != -ENOTDIR && rc != -EISDIR) found = rc;
        }
        directories += length;
        if (*directories == ':') directories++;
    }
    return found;
}

void spawn_raise_limit(void)
{
    if (getrlimit(RLIMIT_NOFILE, &limit_before) < 0 || limit_before.rlim_cur >= 4096) return;
    struct rlimit raised = limit_before;
    raised.rlim_cur = raised.rlim_max < 4096 ? raised.rlim_max : 4096;
    limit_raised = setrlimit(RLIMIT_NOFILE, &raised) == 0;
}

unsigned spawn_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    return limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
}
