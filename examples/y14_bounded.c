/* Y14: a bounded semaphore: two of a pool of connections are in use at most; giving back one that was not
 * taken is an error; and those of a process that was killed come back. */
#include <signal.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define CONNECTIONS 2

static int take_all_and_die(void *argument)
{
    kin_semaphore *connections = argument;
    for (int i = 0; i < CONNECTIONS; i++) check(kin_semaphore_acquire(connections, KIN_FOREVER));
    printf("child: took all, %ld left\n", kin_semaphore_value(connections));
    fflush(stdout);
    raise(SIGKILL);
    return 0;
}

int main(void)
{
    kin_semaphore *connections = NULL;
    kin_process *child = NULL;
    check(kin_semaphore_open(&connections, CONNECTIONS, &(kin_semaphore_options){.bounded = true}));

    check(kin_semaphore_acquire(connections, KIN_NOW));
    printf("parent: took one, %ld left\n", kin_semaphore_value(connections));
    check(kin_semaphore_release(connections));
    printf("parent: one too many: %s\n", kin_strerror(kin_semaphore_release(connections)));
    fflush(stdout);

    check(kin_process_start(&child, take_all_and_die, connections, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_semaphore_acquire(connections, kin_in_s(5)));
    printf("parent: took one of those that came back, %ld left\n", kin_semaphore_value(connections));
    check(kin_semaphore_release(connections));

    check(kin_process_close(child));
    check(kin_semaphore_close(connections));
    return EXIT_SUCCESS;
}
