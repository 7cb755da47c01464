/* C10: signals as messages: a child sends some, each with a number; the parent receives them like those of a
 * queue, together with the sender's pid, and no handler runs. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define SIGNALS 3

static int send_signals(void *unused)
{
    (void)unused;
    for (intptr_t number = 1; number <= SIGNALS; number++)
        if (kin_signal_send(getppid(), SIGRTMIN, (void *)(number * number)) < 0) return 1;
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    kin_signals *signals = NULL;
    kin_signal got;
    check(kin_signals_open(&signals, (int[]){SIGRTMIN}, 1));
    check(kin_process_start(&child, send_signals, NULL, NULL));
    for (int i = 0; i < SIGNALS; i++) {
        check(kin_signals_get(signals, &got, kin_in_s(10)));
        printf("%d from %s\n", got.value, got.pid == kin_process_pid(child) ? "the child" : "a stranger");
    }
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    check(kin_signals_close(signals));
    return EXIT_SUCCESS;
}
