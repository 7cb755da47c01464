/* P08: ten children at once in an array, joined one after the other; the parent's line is last. */
#include <stdint.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define CHILDREN 10

static int send_mail(void *number)
{
    printf("mail %d is sent\n", (int)(intptr_t)number);
    return 0;
}

int main(void)
{
    kin_process *children[CHILDREN];
    for (intptr_t i = 0; i < CHILDREN; i++) {
        check(kin_process_start(&children[i], send_mail, (void *)i, NULL));
    }
    for (int i = 0; i < CHILDREN; i++) {
        check(kin_process_join(children[i], KIN_FOREVER));
        check(kin_process_close(children[i]));
    }
    printf("all mails are sent\n");
    return EXIT_SUCCESS;
}
