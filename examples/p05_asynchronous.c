/* P05: the parent goes on while the child runs: both print, neither waits for the other.
 *
 * Each goes on until both have taken three steps, which they see in memory of the family. */
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct progress {
    atomic_int parent, child;
};

static void step(const char *who, atomic_int *steps)
{
    printf("%s: step %d\n", who, ++*steps);
    usleep(10000);
}

static int run(void *argument)
{
    struct progress *progress = argument;
    while (progress->parent < 3 || progress->child < 3) step("child", &progress->child);
    return 0;
}

int main(void)
{
    struct progress *progress = kin_alloc(sizeof *progress);
    if (progress == NULL) {
        perror("kin_alloc");
        return EXIT_FAILURE;
    }

    kin_process *child = NULL;
    check(kin_process_start(&child, run, progress, NULL));
    while (progress->parent < 3 || progress->child < 3) step("parent", &progress->parent);
    check(kin_process_join(child, KIN_FOREVER));
    printf("both have ended\n");
    check(kin_process_close(child));
    check(kin_free(progress));
    return EXIT_SUCCESS;
}
