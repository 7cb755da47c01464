/* P11: when main returns, the daemon child is ended and the ordinary child is waited for. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int idle(void *unused)
{
    (void)unused;
    sleep(3600);
    printf("the daemon has finished\n");
    return 0;
}

static int work(void *unused)
{
    (void)unused;
    usleep(100000);
    printf("the ordinary child has finished\n");
    return 0;
}

int main(void)
{
    kin_process *idler = NULL, *worker = NULL;
    check(kin_process_start(&idler, idle, NULL, &(kin_process_options){.daemon = true}));
    check(kin_process_start(&worker, work, NULL, NULL));
    printf("main returns\n");
    return EXIT_SUCCESS;
}
