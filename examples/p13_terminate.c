/* P13: a child that loops for ever is terminated; its exit status tells by which signal. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static int loop(void *unused)
{
    (void)unused;
    for (volatile unsigned long turns = 0;; turns++) continue;
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, loop, NULL, NULL));
    printf("alive: %d\n", kin_process_is_alive(child));
    check(kin_process_terminate(child));
    check(kin_process_join(child, KIN_FOREVER));
    printf("alive: %d\n", kin_process_is_alive(child));

    int code;
    kin_exit_status status;
    check(kin_process_exit_code(child, &code));
    check(kin_process_exit_status(child, &status));
    printf("exit code %d", code);
    if (status.kind == KIN_SIGNALED) printf(": signal %d, %s", status.signal, strsignal(status.signal));
    printf("\n");
    check(kin_process_close(child));
    return EXIT_SUCCESS;
}
