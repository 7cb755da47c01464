/* signal.c: what kin has to do with signals: their names, that workers leave the terminal's interrupt to
 * their parent, and a handler in a process of its own. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"

void kin__os_interrupt_ignore(void)
{
    signal(SIGINT, SIG_IGN);
}

void kin__os_signal_handle(int number, void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigaction(number, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

const char *kin__os_signal_name(int number)
{
    static _Thread_local char text[32];
    const char *name = sigabbrev_np(number);
    if (name != NULL)
        snprintf(text, sizeof text, "SIG%s", name);
    else
        snprintf(text, sizeof text, "signal %d", number);
    return text;
}
