/* behave.c: a function for `kin map` that does what its input says; test_map_function.c builds
 * it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kin/map.h>

KIN_API int datum;
int datum = 1;

static void fill(FILE *output, long size)
{
    for (long i = 0; i < size; i++) putc('x', output);
    putc('\n', output);
}

/* The first time, leaves the file and crashes. */
static int crash_once(const char *path, FILE *output)
{
    if (access(path, F_OK) != 0) {
        fclose(fopen(path, "w"));
        abort();
    }
    fputs("second time\n", output);
    return 0;
}

/* "count FILE WORD" adds a byte to the file; "last FILE SIZE" waits until it is so long. */
static void count(const char *words, FILE *output)
{
    static int file = -1;
    char path[200] = "";
    int at = 0;
    sscanf(words, "%199s %n", path, &at);
    if (file < 0) file = open(path, O_CREAT | O_APPEND | O_WRONLY, 0600);
    if (write(file, "x", 1) == 1) fprintf(output, "%s\n", words + at);
}

static void be_last(const char *words, FILE *output)
{
    struct stat now = {0};
    char path[200] = "";
    long size = 0;
    sscanf(words, "%199s %ld", path, &size);
    while (stat(path, &now) != 0 || now.st_size < size) sched_yield();
    fputs("last\n", output);
}

KIN_MAP_FUNCTION(behave)
{
    if (strncmp(input, "count ", 6) == 0) count(input + 6, output);
    if (strncmp(input, "last ", 5) == 0) be_last(input + 5, output);
    if (strcmp(input, "crash") == 0) abort();
    if (strcmp(input, "die") == 0) raise(SIGKILL);
    if (strcmp(input, "exit") == 0) exit(7);
    if (strcmp(input, "hang") == 0)
        for (;;) pause();
    if (strncmp(input, "fill ", 5) == 0) fill(output, atol(input + 5));
    if (strncmp(input, "once ", 5) == 0) return crash_once(input + 5, output);
    if (strcmp(input, "read") == 0) fprintf(output, "%d\n", getchar());
    if (strncmp(input, "pid", 3) == 0) fprintf(output, "%d\n", (int)getpid());
    if (strncmp(input, "return ", 7) == 0) {
        fputs("before\n", output);
        return atoi(input + 7);
    }
    if (strcmp(input, "unbuffer") == 0) setvbuf(stdout, NULL, _IONBF, 0);
    if (strncmp(input, "print ", 6) == 0) printf("%s\n", input + 6);
    if (strncmp(input, "say ", 4) == 0) fprintf(output, "%s\n", input + 4);
    return 0;
}
