/* C10: a message queue: messages of any size go in at one end, and each comes out at the other as it
 * was put. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static int put_texts(void *queue)
{
    const char *texts[] = {"short", "a longer message", ""};
    for (int i = 0; i < 3; i++) check(kin_queue_put(queue, texts[i], strlen(texts[i]), KIN_FOREVER));
    return 0;
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    char text[100];
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&child, put_texts, queue, NULL));
    for (int i = 0; i < 3; i++) {
        int size = (int)check(kin_queue_get(queue, text, sizeof text, kin_in_s(10)));
        printf("%d bytes: %.*s\n", size, size, text);
    }
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
