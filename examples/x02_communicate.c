/* X02: a command whose stdin, stdout and stderr are pipes: communicate writes the input and collects
 * both outputs, however large they are. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static const kin_subprocess_options piped = {
    .stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .stderr_to = KIN_PIPE};

static void small(void)
{
    static const char input[] = "pear\napple\nfig\n";
    kin_subprocess *sort = NULL;
    int code = 0;
    check(kin_subprocess_start(&sort, KIN_COMMAND("sh", "-c", "sort; echo sorted >&2; exit 5"), &piped));
    check(kin_subprocess_communicate(sort, input, strlen(input), KIN_FOREVER));
    check(kin_subprocess_exit_code(sort, &code));
    printf("stdout: %s", kin_subprocess_output(sort, 1, NULL));
    printf("stderr: %s", kin_subprocess_output(sort, 2, NULL));
    printf("exit code: %d\n", code);
    check(kin_subprocess_close(sort));
}

/* 8 MiB in, as much out of each: far more than the pipes hold. */
static void large(void)
{
    size_t size = (size_t)8 << 20, out = 0, err = 0;
    char *input = calloc(1, size);
    kin_subprocess *tee = NULL;
    int rc, timeouts = 0;
    if (input == NULL) exit(EXIT_FAILURE);
    check(kin_subprocess_start(&tee, KIN_COMMAND("tee", "/dev/stderr"), &piped));
    /* After a time-out it goes on where it was. */
    while ((rc = kin_subprocess_communicate(tee, input, size, kin_in_ms(2))) == -ETIMEDOUT) timeouts++;
    check(rc);
    kin_subprocess_output(tee, 1, &out);
    kin_subprocess_output(tee, 2, &err);
    printf("%zu bytes in, %zu and %zu bytes out\n", size, out, err);
    check(kin_subprocess_close(tee));
    free(input);
}

int main(void)
{
    small();
    large();
    return EXIT_SUCCESS;
}
