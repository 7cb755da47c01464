/* example.h: runs a program of examples/ on a terminal of its own and reads what it printed.
 *
 * On a terminal, as its user sees it: every line is written when it is printed, so the order of
 * lines from several processes is the order in which they were said.  The programs are looked for
 * where the build puts them, beside the directory of the tests.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include "support/test.h"

#include <ctype.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define EXAMPLE_LINES 256

static char example_output[1 << 16];
static char *example_line[EXAMPLE_LINES + 1]; /* its lines, without newlines; NULL after the last */
static int example_lines;
static const char *example_input; /* what is typed */

/* A place for a number: the same name is the same number, another name another one. */
struct example_place {
    char name[16];
    long value;
};

static struct example_place example_places[64];
static int example_place_count;

/* ---- running ------------------------------------------------------------------------------------- */

static inline void example_path(char *path, const char *name)
{
    char self[PATH_MAX] = "";
    CHECK_OK(readlink("/proc/self/exe", self, sizeof self - 1));
    CHECK_LT(snprintf(path, PATH_MAX, "%s/../examples/%s", dirname(self), name), PATH_MAX);
    if (access(path, X_OK) != 0) FAIL("the example %s is not built: there is no %s", name, path);
}

static inline void example_open_terminal(int *ours, int *its)
{
    struct termios raw;
    CHECK_OK(*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK_OK(grantpt(*ours));
    CHECK_OK(unlockpt(*ours));
    CHECK_OK(*its = open(ptsname(*ours), O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK_OK(tcgetattr(*its, &raw));
    cfmakeraw(&raw); /* a newline stays one */
    CHECK_OK(tcsetattr(*its, TCSANOW, &raw));
}

static inline pid_t example_start(const char *path, int terminal)
{
    pid_t child = fork();
    CHECK_OK(child);
    if (child > 0) return child;
    for (int i = 0; i <= 2; i++) dup2(terminal, i);
    execl(path, path, (char *)NULL);
    _exit(127);
}

/* Reads until every process that has the terminal open has ended: one that stays is a time-out. */
static inline void example_read(int terminal)
{
    size_t used = 0;
    for (;;) {
        CHECK_LT(used, sizeof example_output - 1);
        ssize_t length = read(terminal, example_output + used, sizeof example_output - 1 - used);
        if (length <= 0) break; /* EIO */
        used += (size_t)length;
    }
    example_output[used] = '\0';
}

static inline void example_split(void)
{
    static char copy[sizeof example_output];
    char *rest = strcpy(copy, example_output);
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;) {
        CHECK_LT(example_lines, EXAMPLE_LINES);
        example_line[example_lines++] = line;
    }
}

/* Runs an example to the end of all its processes; it must succeed. */
static inline void example_run(const char *name)
{
    char path[PATH_MAX];
    int ours, its;
    example_lines = example_place_count = 0;
    example_path(path, name);
    example_open_terminal(&ours, &its);
    pid_t child = example_start(path, its);
    close(its);
    if (example_input != NULL)
        CHECK_EQ(write(ours, example_input, strlen(example_input)), (ssize_t)strlen(example_input));
    example_read(ours);
    int status = test_collect(child);
    close(ours);
    if (status != 0) FAIL("%s ended with status %#x:\n%s", name, status, example_output);
    example_split();
    test_context("the output was:\n%s", example_output);
}

/* ---- comparing ------------------------------------------------------------------------------------ */

static inline bool example_bind(const char *name, size_t length, long value)
{
    for (int i = 0; i < example_place_count; i++) {
        bool same =
            strlen(example_places[i].name) == length && strncmp(example_places[i].name, name, length) == 0;
        if (same != (example_places[i].value == value)) return false;
        if (same) return true;
    }
    CHECK_LT(example_place_count, 64);
    struct example_place *place = &example_places[example_place_count++];
    CHECK_LT(length, sizeof place->name);
    snprintf(place->name, sizeof place->name, "%.*s", (int)length, name);
    place->value = value;
    return true;
}

/* Whether the line is the pattern, in which {name} stands for a number. */
static inline bool example_matches(const char *pattern, const char *line)
{
    int bound = example_place_count;
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *line++) goto other;
            continue;
        }
        size_t length = strcspn(++pattern, "}");
        char *end;
        if (!isdigit((unsigned char)*line)) goto other;
        if (!example_bind(pattern, length, strtol(line, &end, 10))) goto other;
        pattern += length + 1;
        line = end;
    }
    if (*line == '\0') return true;
other:
    example_place_count = bound;
    return false;
}

/* The number of the first line that is the pattern, at `from` or after; fails where there is none. */
static inline int example_find(const char *pattern, int from)
{
    for (int i = from; i < example_lines; i++) {
        if (example_matches(pattern, example_line[i])) return i;
    }
    FAIL("no line after line %d is \"%s\"; the output:\n%s", from, pattern, example_output);
}

/* The output is these lines and no others, in this order. */
#define example_expect(...) example_expect_lines((const char *const[]){__VA_ARGS__, NULL})
static inline void example_expect_lines(const char *const *patterns)
{
    int i = 0;
    for (; patterns[i] != NULL; i++) {
        if (i == example_lines || !example_matches(patterns[i], example_line[i]))
            FAIL("line %d is not \"%s\"; the output:\n%s", i + 1, patterns[i], example_output);
    }
    if (i != example_lines) FAIL("there are lines after line %d; the output:\n%s", i, example_output);
}

#endif
