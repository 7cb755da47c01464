/* C10, pipe: a child sends what it computes, one message after another, and ends; the parent reads to
 * the end of file. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int squares(void *end)
{
    for (int i = 1; i <= 5; i++) {
        int square = i * i;
        check(kin_connection_send(end, &square, sizeof square, KIN_FOREVER));
    }
    return 0;
}

int main(void)
{
    kin_connection *in = NULL, *out = NULL;
    kin_process *child = NULL;
    int square;
    long size;
    check(kin_pipe_open(&in, &out, &(kin_pipe_options){.simplex = true}));
    check(kin_process_start(&child, squares, out, NULL));
    kin_connection_close(out);
    while ((size = kin_connection_recv(in, &square, sizeof square, KIN_FOREVER)) == sizeof square)
        printf("%d\n", square);
    printf("then: %s\n", kin_strerror((int)size));
    kin_connection_close(in);
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    return EXIT_SUCCESS;
}
