/* tool.h: running the tool `kin` in a test.
 *
 *     struct ran ran = MAP("b\na\n", "-k", "echo");
 *     CHECK_EQ(ran.code, 0);
 *     CHECK_STR(ran.out, "b\na\n");
 *
 * The tool is $KIN_TOOL, or bin/kin of the build directory that the test is in; likewise
 * $KIN_LIBHASH, or lib/libhash.so. */
#ifndef TOOL_H
#define TOOL_H

#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct ran {
    int code; /* exit code, or 1000 + the signal that killed it */
    char *out;
    size_t out_size;
    char *err;
    double seconds;
};

/* A tool that is running. */
struct running {
    pid_t pid;
    int out; /* memory files */
    int err;
    double started;
};

/* The path of something in the build directory. */
static inline const char *tool_path(const char *variable, const char *place)
{
    static char path[4096];
    const char *given = getenv(variable);
    if (given != NULL) return given;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 64);
    CHECK_GT(size, 0);
    path[size] = '\0';
    for (int i = 0; i < 2; i++) *strrchr(path, '/') = '\0';
    strcat(path, place);
    return path;
}

static inline int tool_memory_file(const char *bytes, size_t size)
{
    int descriptor = memfd_create("test", MFD_CLOEXEC);
    CHECK_GE(descriptor, 0);
    CHECK_EQ(write(descriptor, bytes, size), size);
    CHECK_EQ(lseek(descriptor, 0, SEEK_SET), 0);
    return descriptor;
}

/* Starts `kin words[0] ...` with the descriptor `in` as its standard input. */
static inline struct running tool_start(int in, const char *const *words)
{
    const char *arguments[64] = {"kin"};
    size_t count = 0;
    while (words[count] != NULL && count < 62) {
        arguments[count + 1] = words[count];
        count++;
    }
    struct running running = {.out = tool_memory_file("", 0), .err = tool_memory_file("", 0)};
    const char *tool = tool_path("KIN_TOOL", "/bin/kin");
    running.started = test_seconds();
    running.pid = fork();
    CHECK_GE(running.pid, 0);
    if (running.pid > 0) return running;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, STDIN_FILENO);
    dup2(running.out, STDOUT_FILENO);
    dup2(running.err, STDERR_FILENO);
    execv(tool, (char *const *)arguments);
    _exit(99);
}

/* The bytes of a memory file with a NUL behind them; kept until the process ends. */
static inline char *tool_read(int descriptor, size_t *size)
{
    static struct kept {
        struct kept *next;
        char bytes[];
    } * list;
    struct stat status;
    CHECK_EQ(fstat(descriptor, &status), 0);
    struct kept *kept = calloc(1, sizeof *kept + (size_t)status.st_size + 1);
    CHECK(kept != NULL);
    kept->next = list;
    list = kept;
    char *bytes = kept->bytes;
    CHECK_EQ(pread(descriptor, bytes, (size_t)status.st_size, 0), status.st_size);
    if (size != NULL) *size = (size_t)status.st_size;
    return bytes;
}

static inline struct ran tool_wait(struct running running)
{
    struct ran ran;
    int status = test_collect(running.pid);
    ran.seconds = test_seconds() - running.started;
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    ran.out = tool_read(running.out, &ran.out_size);
    ran.err = tool_read(running.err, NULL);
    close(running.out);
    close(running.err);
    test_context("exit code %d, standard error: %.600s", ran.code, ran.err);
    return ran;
}

static inline struct ran tool_run(const char *input, size_t size, const char *const *words)
{
    int in = tool_memory_file(input, size);
    struct running running = tool_start(in, words);
    close(in);
    return tool_wait(running);
}

/* Runs `kin map` with the words, and the string as its standard input. */
#define MAP(input, ...) tool_run((input), strlen(input), (const char *const[]){"map", __VA_ARGS__, NULL})
/* The same with bytes in which there may be a NUL. */
#define MAP_BYTES(input, ...) \
    tool_run((input), sizeof(input) - 1, (const char *const[]){"map", __VA_ARGS__, NULL})
#define KIN(...)       tool_run("", 0, (const char *const[]){__VA_ARGS__, NULL})
#define START(in, ...) tool_start((in), (const char *const[]){"map", __VA_ARGS__, NULL})

/* Has a job but the number `hanging` run out of its time? */
static inline bool tool_another_timed_out(const char *err, int hanging)
{
    for (const char *at = err; (at = strstr(at, "timed out after")) != NULL; at++) {
        const char *line = at;
        int job = 0;
        while (line > err && line[-1] != '\n') line--;
        if (sscanf(line, "kin map: job %d ", &job) != 1 || job != hanging) return true;
    }
    return false;
}

/* Runs `kin map -k --timeout T` with the words, of whose jobs the number `hanging` alone does not end by itself.
 * T, which is told, is longer each time that the machine was too slow for another one. */
#define MAP_TIMEOUT(seconds, hanging, ...) \
    tool_map_timeout((seconds), (hanging), (const char *const[]){__VA_ARGS__, NULL})

static inline struct ran tool_map_timeout(double *seconds, int hanging, const char *const *words)
{
    struct ran ran;
    char limit[32];
    const char *all[64] = {"map", "-k", "--timeout", limit};
    for (size_t i = 0; words[i] != NULL && i < 58; i++) all[i + 4] = words[i];
    *seconds = 0.15;
    do {
        *seconds *= 2;
        snprintf(limit, sizeof limit, "%g", *seconds);
        ran = tool_run("", 0, all);
    } while (tool_another_timed_out(ran.err, hanging));
    return ran;
}

static inline void tool_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_GE(fputs(text, file), 0);
    CHECK_EQ(fclose(file), 0);
}

static inline size_t tool_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) count += *text == '\n';
    return count;
}

#endif
