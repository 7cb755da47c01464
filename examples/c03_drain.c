/* C03: the writer is joined before the reader starts; the reader drains the queue until it is
 * empty.  What was put stays in the queue when the process that put it has ended. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int put_values(void *queue)
{
    for (int value = 0; value < 5; value++) check(kin_queue_put(queue, &value, sizeof value, KIN_FOREVER));
    return 0;
}

static int drain(void *queue)
{
    int value;
    long size;
    while ((size = kin_queue_get(queue, &value, sizeof value, KIN_NOW)) >= 0) printf("got %d\n", value);
    if (size != KIN_EMPTY) check(size);
    printf("the queue is empty\n");
    return 0;
}

static void run(kin_process_function *target, kin_queue *queue)
{
    kin_process *process = NULL;
    check(kin_process_start(&process, target, queue, NULL));
    check(kin_process_join(process, KIN_FOREVER));
    check(kin_process_close(process));
}

int main(void)
{
    kin_queue *queue = NULL;
    check(kin_queue_open(&queue, NULL));
    run(put_values, queue);
    run(drain, queue);
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
