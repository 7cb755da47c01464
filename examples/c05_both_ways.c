/* C05: one queue, on which the parent and the child both put and get. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int answer(void *queue)
{
    char question[64];
    check(kin_queue_get(queue, question, sizeof question, KIN_FOREVER));
    printf("child got: %s\n", question);
    check(kin_queue_put(queue, "fine, thanks", sizeof "fine, thanks", KIN_FOREVER));
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    check(kin_queue_open(&queue, NULL));
    check(kin_queue_put(queue, "how are you?", sizeof "how are you?", KIN_FOREVER));
    check(kin_process_start(&child, answer, queue, NULL));
    check(kin_process_join(child, KIN_FOREVER));

    char text[64];
    check(kin_queue_get(queue, text, sizeof text, KIN_FOREVER));
    printf("parent got: %s\n", text);
    check(kin_process_close(child));
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
