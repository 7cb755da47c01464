/* P07: a join before the parent's next line: that line comes after all that the child does. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int work(void *unused)
{
    (void)unused;
    for (int i = 1; i <= 3; i++) {
        usleep(20000);
        printf("child: part %d of 3\n", i);
    }
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, work, NULL, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    printf("parent: next line\n");
    check(kin_process_close(child));
    return EXIT_SUCCESS;
}
