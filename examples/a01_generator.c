/* A01: producer and consumer in one thread, by yield: strictly in turn, without a lock. */
#include <kin.h>

#include "check.h"

static int consumer(kin_generator *self, void *unused)
{
    (void)unused;
    static char answer[] = "200 OK";
    void *n, *reply = NULL;
    while (kin_generator_yield(self, reply, &n) == 0) {
        printf("[CONSUMER] consuming %d ...\n", *(int *)n);
        reply = answer;
    }
    puts("[CONSUMER] done");
    return 0;
}

int main(void)
{
    kin_generator *to = NULL;
    check(kin_generator_open(&to, consumer, NULL, NULL));
    check(kin_generator_next(to, NULL)); /* up to its first yield */
    for (int n = 1; n <= 5; n++) {
        void *reply;
        printf("[PRODUCER] producing %d ...\n", n);
        check(kin_generator_send(to, &n, &reply));
        printf("[PRODUCER] consumer returns: %s\n", (char *)reply);
    }
    check(kin_generator_close(to));
    return EXIT_SUCCESS;
}
