/* C06: a producer puts six random pairs; the consumer gets pairs and prints their sums until
 * nothing has come for a second. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct pair {
    int x, y;
};

static int produce(void *queue)
{
    srand(getpid());
    for (int i = 0; i < 6; i++) {
        struct pair pair = {rand() % 100, rand() % 100};
        usleep(rand() % 20000);
        check(kin_queue_put(queue, &pair, sizeof pair, KIN_FOREVER));
    }
    return 0;
}

static int consume(void *queue)
{
    struct pair pair;
    long size;
    while ((size = kin_queue_get(queue, &pair, sizeof pair, kin_in_s(1))) >= 0) {
        printf("%d + %d = %d\n", pair.x, pair.y, pair.x + pair.y);
    }
    printf("the consumer ends: %s\n", kin_strerror((int)size));
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *consumer = NULL, *producer = NULL;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&consumer, consume, queue, NULL));
    check(kin_process_start(&producer, produce, queue, NULL));
    check(kin_process_join(producer, KIN_FOREVER));
    check(kin_process_join(consumer, KIN_FOREVER));
    check(kin_process_close(producer));
    check(kin_process_close(consumer));
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
