/* L07: a queue can be an argument of a pool's task, even one that was made after the workers were
 * started: its address means the same in every process of the family. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct greeting {
    int number;
    int pid;
};

struct errand {
    kin_queue *queue;
    int number;
};

static int greet(const struct errand *errand, char *unused)
{
    (void)unused;
    struct greeting greeting = {errand->number, getpid()};
    return kin_queue_put(errand->queue, &greeting, sizeof greeting, KIN_FOREVER);
}
KIN_MAP(greet, struct errand, char)

int main(void)
{
    kin_pool *pool = NULL;
    kin_queue *queue = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_queue_open(&queue, NULL));
    for (int i = 0; i < 5; i++) {
        struct errand errand = {queue, i};
        kin_result *result = NULL;
        check(kin_pool_submit(pool, &result, KIN_FN(greet), &errand, sizeof errand, KIN_FOREVER, NULL));
        check(kin_result_close(result));
    }
    check(kin_pool_close(pool));
    check(kin_pool_join(pool, KIN_FOREVER));

    struct greeting greeting;
    while (kin_queue_get(queue, &greeting, sizeof greeting, KIN_NOW) >= 0) {
        printf("task %d was here, in process %d\n", greeting.number, greeting.pid);
    }
    printf("the parent is %d\n", getpid());
    check(kin_queue_close(queue));
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
