/* P04: memory is not shared: the child fills a list and counts, the parent's copies stay as they
 * were.  (What is to be shared comes from kin_alloc, or travels by a queue.) */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int list[3];
static int length;
static int counter = 100;

static int change(void *unused)
{
    (void)unused;
    for (length = 0; length < 3; length++) list[length] = length * length;
    counter++;
    printf("child: %d in the list, counter is %d\n", length, counter);
    return 0;
}

int main(void)
{
    kin_process *child = NULL;
    check(kin_process_start(&child, change, NULL, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    printf("parent: %d in the list, counter is %d\n", length, counter);
    return EXIT_SUCCESS;
}
