/* P02: a process with a target and one argument; the parent starts it and waits for its end. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int greet(void *name)
{
    printf("child %d: hello, %s\n", getpid(), (const char *)name);
    return 0;
}

int main(void)
{
    printf("parent %d: starting a child\n", getpid());
    kin_process *child = NULL;
    check(kin_process_start(&child, greet, "test", NULL));
    check(kin_process_join(child, KIN_FOREVER));
    printf("parent %d: child %d has ended\n", getpid(), kin_process_pid(child));
    check(kin_process_close(child));
    return EXIT_SUCCESS;
}
