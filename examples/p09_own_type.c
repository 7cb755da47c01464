/* P09: a process type of one's own: a struct with its data, the run function that the child calls,
 * and a start function that hands the one to the other. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct countdown {
    const char *what;
    int from;
    kin_process *process;
};

static int countdown_run(void *argument)
{
    const struct countdown *self = argument;
    for (int i = self->from; i > 0; i--) printf("%s in %d\n", self->what, i);
    printf("%s now, in process %d\n", self->what, getpid());
    return 0;
}

static void countdown_start(struct countdown *self)
{
    check(kin_process_start(&self->process, countdown_run, self, &(kin_process_options){.name = self->what}));
}

static void countdown_join(struct countdown *self)
{
    check(kin_process_join(self->process, KIN_FOREVER));
    check(kin_process_close(self->process));
}

int main(void)
{
    struct countdown launch = {.what = "launch", .from = 3}, landing = {.what = "landing", .from = 2};
    printf("main, in process %d\n", getpid());
    countdown_start(&launch);
    countdown_join(&launch);
    countdown_start(&landing);
    countdown_join(&landing);
    return EXIT_SUCCESS;
}
