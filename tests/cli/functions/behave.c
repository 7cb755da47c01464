/* behave.c: a function for `kin map` that does what its input says; test_map_function.c builds
 * it. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

KIN_MAP_FUNCTION(behave)
{
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
    if (strncmp(input, "say ", 4) == 0) fprintf(output, "%s\n", input + 4);
    return 0;
}
