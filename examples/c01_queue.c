/* C01: a queue between processes: a child puts the squares of a list, the parent gets them until
 * the queue is empty. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static const int list[] = {1, 2, 3, 4};

static int put_squares(void *queue)
{
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        int square = list[i] * list[i];
        check(kin_queue_put(queue, &square, sizeof square, KIN_FOREVER));
    }
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&child, put_squares, queue, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));

    while (kin_queue_empty(queue) == 0) {
        int square;
        check(kin_queue_get(queue, &square, sizeof square, KIN_FOREVER));
        printf("%d\n", square);
    }
    printf("the queue is empty\n");
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
