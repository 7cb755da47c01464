/* P06: without a join: the program waits for its children before it ends, and leaves no zombies. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int work(void *name)
{
    usleep(50000);
    printf("child %s has done its work\n", (const char *)name);
    return 0;
}

int main(void)
{
    kin_process *first = NULL, *second = NULL;
    check(kin_process_start(&first, work, "one", NULL));
    check(kin_process_start(&second, work, "two", NULL));
    printf("main returns\n");
    return EXIT_SUCCESS;
}
