/* C12: the order of a queue: by priority, and last in first out. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

enum { NOW = 0, SOON = 1, SOME_DAY = 2 };

static void put(kin_queue *queue, const char *word, int64_t priority)
{
    check(kin_queue_put_priority(queue, word, strlen(word) + 1, priority, KIN_FOREVER));
}

/* Prints what comes until the queue is ended and empty. */
static int show(void *argument)
{
    kin_queue *queue = argument;
    char word[32];
    while (kin_queue_get(queue, word, sizeof word, KIN_FOREVER) >= 0) printf("%s\n", word);
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *reader = NULL;
    check(kin_queue_open(&queue, &(kin_queue_options){.order = KIN_PRIORITY}));
    put(queue, "water the plants", SOON);
    put(queue, "learn the violin", SOME_DAY);
    put(queue, "put out the fire", NOW);
    put(queue, "feed the cat", SOON);
    check(kin_queue_shutdown(queue, 0));
    check(kin_process_start(&reader, show, queue, NULL));
    check(kin_process_join(reader, KIN_FOREVER));
    check(kin_process_close(reader));
    check(kin_queue_close(queue));

    check(kin_queue_open(&queue, &(kin_queue_options){.order = KIN_LIFO}));
    for (const char *page = "abc"; *page != '\0'; page++)
        check(kin_queue_put(queue, (char[]){*page, '\0'}, 2, KIN_FOREVER));
    check(kin_queue_shutdown(queue, 0));
    show(queue);
    check(kin_queue_close(queue));
    return 0;
}
