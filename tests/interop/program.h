/* program.h: programs that a test starts and talks to: examples, and Python of whatever versions
 * there are.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "support/test.h"

#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct program {
    pid_t pid;
    FILE *out;
    char line[1024];
};

/* Starts words[0] (a path) with its standard output, and its errors, in a pipe. */
static inline struct program program_start(const char *const *words)
{
    struct program program = {0};
    int ends[2];
    CHECK_OK(pipe(ends));
    CHECK_OK(program.pid = fork());
    if (program.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    close(ends[1]);
    program.out = fdopen(ends[0], "r");
    CHECK(program.out != NULL);
    return program;
}

#define program_run(...) program_start((const char *const[]){__VA_ARGS__, NULL})

/* The next line without its newline, or NULL at the end of the output. */
static inline const char *program_line(struct program *program)
{
    if (fgets(program->line, sizeof program->line, program->out) == NULL) return NULL;
    program->line[strcspn(program->line, "\n")] = '\0';
    return program->line;
}

/* Reads the rest and waits for the end, whatever it is. */
static inline int program_reap(struct program *program)
{
    while (program_line(program) != NULL) {
    }
    fclose(program->out);
    return test_collect(program->pid);
}

/* The same, and the end must be a success. */
static inline void program_end(struct program *program)
{
    char rest[4096] = "";
    size_t used = 0;
    const char *line;
    while ((line = program_line(program)) != NULL && used + 1 < sizeof rest)
        used += (size_t)snprintf(rest + used, sizeof rest - used, "%s\n", line);
    fclose(program->out);
    int status = test_collect(program->pid);
    if (status != 0) FAIL("a program ended with status %#x, having said:\n%s", status, rest);
}

/* A file in the directory that was built in, which holds that of the tests. */
static inline const char *program_built(const char *name)
{
    static char path[2][PATH_MAX];
    static int turn;
    char *at = path[turn++ & 1];
    ssize_t size = readlink("/proc/self/exe", at, PATH_MAX - 256);
    CHECK_GT(size, 0);
    at[size] = '\0';
    for (int i = 0; i < 2; i++) *strrchr(at, '/') = '\0';
    snprintf(at + strlen(at), 256, "/%s", name);
    return at;
}

/* A program of examples/. */
static inline const char *program_example(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "examples/%s", name);
    return program_built(path);
}

/* The Python interpreters there are: the machine's, then those that pyenv has made. A sanitizer sees
 * nothing of which version is at the other end: one is enough for it. */
static inline size_t program_pythons(const char *found[], size_t most)
{
    static glob_t globbed;
    char pattern[PATH_MAX];
    size_t count = 0;
    const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
    if (access("/usr/bin/python3", X_OK) == 0) found[count++] = "/usr/bin/python3";
    snprintf(pattern, sizeof pattern, "%s%s/versions/3.*/bin/python3",
             root   ? root
             : home ? home
                    : "",
             root ? "" : "/.pyenv");
    if (glob(pattern, 0, NULL, &globbed) != 0) return count;
    for (size_t i = 0; i < globbed.gl_pathc && count < most; i++) found[count++] = globbed.gl_pathv[i];
    return test_sanitized() && count > 1 ? 1 : count;
}

#endif
