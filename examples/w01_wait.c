/* W01: one loop that waits for a queue, a pipe, a process and an event at once. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

struct work {
    kin_queue *queue;
    kin_connection *out;
    kin_event *over;
};

static int worker(void *argument)
{
    struct work *work = argument;
    for (int i = 1; i <= 3; i++) check(kin_queue_put(work->queue, &i, sizeof i, KIN_FOREVER));
    check(kin_connection_send(work->out, "by pipe", 7, KIN_FOREVER));
    check(kin_event_set(work->over));
    return 0;
}

int main(void)
{
    struct work work = {NULL, NULL, NULL};
    kin_connection *in = NULL;
    kin_process *child = NULL;
    int numbers = 0, number;
    char text[20];
    check(kin_queue_open(&work.queue, NULL));
    check(kin_event_open(&work.over, NULL));
    check(kin_pipe_open(&in, &work.out, &(kin_pipe_options){.simplex = true}));
    check(kin_process_start(&child, worker, &work,
                            &(kin_process_options){.connections = (kin_connection *[]){work.out, NULL}}));
    kin_connection_close(work.out);

    kin_waitable items[] = {kin_on_queue(work.queue), kin_on_connection(in), kin_on_event(work.over),
                            kin_on_process(child)};
    for (int left = 4; left > 0;) {
        check(kin_wait(items, 4, kin_in_s(10)));
        if (items[0].ready && kin_queue_get(work.queue, &number, sizeof number, KIN_NOW) > 0) {
            printf("queue: %d\n", number);
            if (++numbers == 3) items[0].kind = KIN_WAITABLE_NONE, left--;
        }
        if (items[1].ready) {
            long size = kin_connection_recv(in, text, sizeof text, KIN_NOW);
            printf("pipe: %.*s\n", size > 0 ? (int)size : 0, text);
            items[1].kind = KIN_WAITABLE_NONE;
            left--;
        }
        if (items[2].ready) {
            printf("event: set\n");
            items[2].kind = KIN_WAITABLE_NONE;
            left--;
        }
        if (items[3].ready) {
            printf("process: ended\n");
            items[3].kind = KIN_WAITABLE_NONE;
            left--;
        }
    }
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    kin_connection_close(in);
    kin_event_close(work.over);
    check(kin_queue_close(work.queue));
    return EXIT_SUCCESS;
}
