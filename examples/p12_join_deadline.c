/* P12: a join with a deadline returns when that has passed, with the child still running. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int work(void *unused)
{
    (void)unused;
    sleep(3600);
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, work, NULL, NULL));
    kin_deadline start = kin_clock();
    int rc = kin_process_join(child, kin_in_ms(100));
    if (rc != -ETIMEDOUT) check(rc);
    printf("join came back after the deadline: %s\n", kin_clock() - start >= 100000000 ? "yes" : "no");
    printf("the child is alive: %s\n", kin_process_is_alive(child) ? "yes" : "no");

    check(kin_process_kill(child));
    check(kin_process_join(child, KIN_FOREVER));
    printf("killed; the child is alive: %s\n", kin_process_is_alive(child) ? "yes" : "no");
    check(kin_process_close(child));
    return EXIT_SUCCESS;
}
