/* C10: signals as messages: a child sends some, each with a number; the parent receives them in a
 * descriptor, together with the sender's pid, and no handler runs. */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define SIGNALS 3

static int send_signals(void *unused)
{
    (void)unused;
    for (int number = 1; number <= SIGNALS; number++)
        if (sigqueue(getppid(), SIGRTMIN, (union sigval){.sival_int = number * number}) < 0) return 1;
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    struct signalfd_siginfo signal;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
    if (descriptor < 0) return EXIT_FAILURE;
    check(kin_process_start(&child, send_signals, NULL, NULL));
    for (int i = 0; i < SIGNALS; i++) {
        if (read(descriptor, &signal, sizeof signal) != sizeof signal) return EXIT_FAILURE;
        printf("%d from %s\n", signal.ssi_int,
               (int)signal.ssi_pid == kin_process_pid(child) ? "the child" : "a stranger");
    }
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    close(descriptor);
    return EXIT_SUCCESS;
}
