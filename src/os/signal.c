/* signal.c: the two things kin has to do with signals: their names, and that workers leave the
 * terminal's interrupt to their parent. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"

void kin__os_interrupt_ignore(void)
{
    signal(SIGINT, SIG_IGN);
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
