/* C11: many messages with one call: the queue is entered once for all of them. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

enum { NUMBERS = 100000, BATCH = 64 };

static int produce(void *argument)
{
    kin_queue *queue = argument;
    int numbers[BATCH];
    kin_message batch[BATCH];
    for (int i = 0; i < BATCH; i++) batch[i] = (kin_message){&numbers[i], sizeof numbers[i]};
    for (int next = 0; next < NUMBERS;) {
        int count = 0;
        while (count < BATCH && next < NUMBERS) numbers[count++] = next++;
        check(kin_queue_put_many(queue, batch, (size_t)count, KIN_FOREVER));
    }
    check(kin_queue_shutdown(queue, 0));
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *producer = NULL;
    char buffer[BATCH * 8];
    kin_message batch[BATCH];
    long count, received = 0, sum = 0, largest = 0;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&producer, produce, queue, NULL));
    while ((count = kin_queue_get_many(queue, batch, BATCH, buffer, sizeof buffer, kin_in_s(10))) > 0) {
        for (long i = 0; i < count; i++) sum += *(const int *)batch[i].data;
        received += count;
        if (count > largest) largest = count;
    }
    printf("%ld numbers, sum %ld, at most %d at once: %s\n", received, sum, BATCH,
           largest <= BATCH ? "yes" : "no");
    printf("then: %s\n", kin_strerror((int)count));
    check(kin_process_join(producer, KIN_FOREVER));
    check(kin_process_close(producer));

    /* What does not fit is not put, and the caller is told how much was. */
    const kin_message words[] = {{"one", 4}, {"two", 4}, {"three", 6}};
    kin_queue *small = NULL;
    check(kin_queue_open(&small, &(kin_queue_options){.max_items = 2}));
    printf("put %ld of 3\n", check(kin_queue_put_many(small, words, 3, kin_in_ms(10))));
    check(kin_queue_close(small));
    check(kin_queue_close(queue));
    return 0;
}
