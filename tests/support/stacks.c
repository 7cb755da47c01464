/* stacks.c: see stacks.h.  Used by the runner and by test programs; needs nothing of either. */
#define _GNU_SOURCE
#include "stacks.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void copy_lines(int output, const char *path, const char *const *fields)
{
    FILE *file = fopen(path, "re");
    if (!file) return;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        bool wanted = !fields;
        for (size_t i = 0; fields && fields[i]; i++)
            wanted = wanted || strncmp(line, fields[i], strlen(fields[i])) == 0;
        if (wanted) dprintf(output, "  %s%s", line, strchr(line, '\n') ? "" : "\n");
    }
    fclose(file);
}

static void write_kernel_view(int output, pid_t pid)
{
    static const char *const status_fields[] = {"State:", "PPid:", "TracerPid:", "Threads:", "SigPnd:", NULL};
    static const char *const files[] = {"wchan", "syscall"};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    copy_lines(output, path, status_fields);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        copy_lines(output, path, NULL);
    }
}

static void write_with_gdb(int output, pid_t pid)
{
    pid_t child = fork();
    if (child < 0) return;
    if (child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", (int)pid);
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        execlp("gdb", "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", number, "-ex",
               "thread apply all bt 30", (char *)NULL);
        _exit(127);
    }
    int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd item = {.fd = descriptor, .events = POLLIN};
    if (poll(&item, 1, 20000) <= 0) kill(child, SIGKILL);
    close(descriptor);
    waitpid(child, NULL, 0);
}

void write_stacks(int output, pid_t pid, bool with_gdb)
{
    write_kernel_view(output, pid);
    if (with_gdb) write_with_gdb(output, pid);
}
