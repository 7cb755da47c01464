/* C07: a queue of tasks: whoever waits for it goes on when all of them are done. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int work(void *argument)
{
    kin_queue *tasks = argument;
    int number;
    while (kin_queue_get(tasks, &number, sizeof number, KIN_FOREVER) >= 0) {
        printf("%d squared is %d\n", number, number * number);
        fflush(stdout);
        check(kin_queue_task_done(tasks));
    }
    return 0;
}

int main(void)
{
    kin_queue *tasks = NULL;
    kin_process *worker = NULL;
    check(kin_queue_open(&tasks, &(kin_queue_options){.joinable = 1}));
    check(kin_process_start(&worker, work, tasks, &(kin_process_options){.daemon = true}));
    for (int number = 1; number <= 5; number++)
        check(kin_queue_put(tasks, &number, sizeof number, KIN_FOREVER));
    check(kin_queue_join(tasks, kin_in_s(10)));
    printf("all tasks are done\n");
    printf("once more: %s\n", kin_strerror(kin_queue_task_done(tasks)));
    check(kin_queue_shutdown(tasks, 0));
    check(kin_process_join(worker, kin_in_s(10)));
    check(kin_process_close(worker));
    check(kin_queue_close(tasks));
    return 0;
}
