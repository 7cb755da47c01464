/* C04: a bounded queue: put waits while it is full and get while it is empty, until the deadline;
 * qsize, full and empty tell how it stands. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define PAUSE_MS 100

static const int value = 7;

static void show(kin_queue *queue)
{
    printf("qsize %ld, full %d, empty %d\n", kin_queue_qsize(queue), kin_queue_full(queue),
           kin_queue_empty(queue));
}

static int get_later(void *queue)
{
    int got;
    usleep(PAUSE_MS * 1000);
    check(kin_queue_get(queue, &got, sizeof got, KIN_FOREVER));
    return 0;
}

static int put_later(void *queue)
{
    usleep(PAUSE_MS * 1000);
    check(kin_queue_put(queue, &value, sizeof value, KIN_FOREVER));
    return 0;
}

static const char *waited(kin_deadline since)
{
    return kin_clock() - since >= PAUSE_MS * 1000000LL ? "waited" : "did not wait";
}

int main(void)
{
    int got;
    kin_queue *queue = NULL;
    kin_process *other = NULL;
    check(kin_queue_open(&queue, &(kin_queue_options){.max_items = 2}));
    show(queue);
    for (int i = 0; i < 2; i++) check(kin_queue_put(queue, &value, sizeof value, KIN_NOW));
    show(queue);

    kin_deadline start = kin_clock();
    int rc = kin_queue_put(queue, &value, sizeof value, KIN_NOW);
    printf("put without waiting: %s\n", kin_strerror(rc));
    rc = kin_queue_put(queue, &value, sizeof value, kin_in_ms(PAUSE_MS));
    printf("put with a deadline %s: %s\n", waited(start), kin_strerror(rc));
    start = kin_clock();
    check(kin_process_start(&other, get_later, queue, NULL));
    check(kin_queue_put(queue, &value, sizeof value, KIN_FOREVER));
    printf("put %s until another process got one\n", waited(start));
    check(kin_process_join(other, KIN_FOREVER));
    check(kin_process_close(other));

    for (int i = 0; i < 2; i++) check(kin_queue_get(queue, &got, sizeof got, KIN_NOW));
    show(queue);
    long size = kin_queue_get(queue, &got, sizeof got, KIN_NOW);
    printf("get without waiting: %s\n", kin_strerror((int)size));
    start = kin_clock();
    size = kin_queue_get(queue, &got, sizeof got, kin_in_ms(PAUSE_MS));
    printf("get with a deadline %s: %s\n", waited(start), kin_strerror((int)size));
    start = kin_clock();
    check(kin_process_start(&other, put_later, queue, NULL));
    check(kin_queue_get(queue, &got, sizeof got, KIN_FOREVER));
    printf("get %s until another process put %d\n", waited(start), got);
    check(kin_process_join(other, KIN_FOREVER));
    check(kin_process_close(other));
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
