/* A child by KIN_SPAWN: the program is executed again, and runs the function instead of main's rest.  It
 * has nothing of its parent's but what it is given: a struct, of which it gets a copy, and with it a
 * queue, which is in the family's memory and so the same for both. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int changed_in_main; /* 0 where main has not come so far */

struct job {
    kin_queue *results;
    int first, last;
};

static int add(void *argument)
{
    const struct job *job = argument;
    long sum = changed_in_main;
    for (int i = job->first; i <= job->last; i++) sum += i;
    check(kin_queue_put(job->results, &sum, sizeof sum, KIN_FOREVER));
    return 0;
}

int main(int argc, char **argv)
{
    kin_main(&argc, &argv);
    changed_in_main = 1000;

    struct job job = {.first = 1, .last = 100};
    kin_process *child = NULL;
    long sum = 0;
    check(kin_queue_open(&job.results, NULL));
    check(kin_process_start(&child, add, NULL,
                            &(kin_process_options){.method = KIN_SPAWN, .bytes = &job, .size = sizeof job}));
    check(kin_queue_get(job.results, &sum, sizeof sum, KIN_FOREVER));
    check(kin_process_join(child, KIN_FOREVER));
    printf("the sum is %ld\n", sum);
    check(kin_process_close(child));
    check(kin_queue_close(job.results));
    return EXIT_SUCCESS;
}
