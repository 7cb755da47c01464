/* P10: a daemon child prints for ever; it is ended when the parent ends.  Whether a child is a
 * daemon is said when it is started and stays so. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int print_for_ever(void *queue)
{
    for (int n = 1; n > 0; n++) {
        printf("daemon: line %d\n", n);
        check(kin_queue_put(queue, &n, sizeof n, KIN_FOREVER));
        usleep(10000);
    }
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&child, print_for_ever, queue, &(kin_process_options){.daemon = true}));
    for (int lines = 0; lines < 3;) check(kin_queue_get(queue, &lines, sizeof lines, KIN_FOREVER));
    printf("main returns; is the child a daemon: %d\n", kin_process_daemon(child));
    return EXIT_SUCCESS;
}
