/* C13: a task whose worker is killed is handed to another worker, and nobody waits for the dead. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

enum { TASKS = 4, DEADLY = 2 };

/* In a real program a bug kills the worker, or the kernel does, when memory is short. */
static int work_and_die(void *argument)
{
    kin_queue *tasks = argument;
    int number;
    while (check(kin_queue_get(tasks, &number, sizeof number, KIN_FOREVER)) > 0) {
        if (number == DEADLY) kill(getpid(), SIGKILL);
        printf("first worker: task %d\n", number);
        fflush(stdout);
        check(kin_queue_task_done(tasks));
    }
    return 0;
}

static int work(void *argument)
{
    kin_queue *tasks = argument;
    int number;
    while (kin_queue_get(tasks, &number, sizeof number, KIN_FOREVER) > 0) {
        printf("second worker: task %d\n", number);
        fflush(stdout);
        check(kin_queue_task_done(tasks));
    }
    return 0;
}

int main(void)
{
    kin_queue *tasks = NULL;
    kin_process *first = NULL, *second = NULL;
    check(kin_queue_open(&tasks, &(kin_queue_options){.joinable = 1, .redeliver = 3}));
    for (int number = 0; number < TASKS; number++)
        check(kin_queue_put(tasks, &number, sizeof number, KIN_FOREVER));
    check(kin_process_start(&first, work_and_die, tasks, NULL));
    check(kin_process_join(first, KIN_FOREVER));
    check(kin_process_start(&second, work, tasks, NULL));
    check(kin_queue_join(tasks, kin_in_s(10)));
    printf("all tasks are done\n");
    check(kin_queue_shutdown(tasks, 0));
    check(kin_process_join(second, KIN_FOREVER));
    check(kin_process_close(first));
    check(kin_process_close(second));
    check(kin_queue_close(tasks));
    return 0;
}
