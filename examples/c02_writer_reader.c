/* C02: a writer puts A, B, C at random moments, a reader gets for ever.  The parent waits for the
 * writer and terminates the reader; the queue it was waiting on survives that. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct queues {
    kin_queue *letters;
    kin_queue *read; /* what the reader has printed */
};

static int write_letters(void *argument)
{
    const struct queues *queues = argument;
    srand(getpid());
    for (char letter = 'A'; letter <= 'C'; letter++) {
        printf("put %c\n", letter);
        check(kin_queue_put(queues->letters, &letter, 1, KIN_FOREVER));
        usleep(rand() % 30000);
    }
    return 0;
}

static int read_letters(void *argument)
{
    const struct queues *queues = argument;
    char letter;
    while (kin_queue_get(queues->letters, &letter, 1, KIN_FOREVER) == 1) {
        printf("got %c\n", letter);
        check(kin_queue_put(queues->read, &letter, 1, KIN_FOREVER));
    }
    return 1; /* not reached: the letters never end */
}

int main(void)
{
    struct queues queues;
    kin_process *writer = NULL, *reader = NULL;
    check(kin_queue_open(&queues.letters, NULL));
    check(kin_queue_open(&queues.read, NULL));
    check(kin_process_start(&writer, write_letters, &queues, NULL));
    check(kin_process_start(&reader, read_letters, &queues, NULL));
    check(kin_process_join(writer, KIN_FOREVER));
    char letter = '-';
    while (letter != 'C') check(kin_queue_get(queues.read, &letter, 1, KIN_FOREVER));
    check(kin_process_terminate(reader));
    check(kin_process_join(reader, KIN_FOREVER));

    letter = 'D';
    check(kin_queue_put(queues.letters, &letter, 1, KIN_NOW));
    check(kin_queue_get(queues.letters, &letter, 1, KIN_NOW));
    printf("the reader is gone, the queue still works: %c\n", letter);
    check(kin_process_close(writer));
    check(kin_process_close(reader));
    check(kin_queue_close(queues.letters));
    check(kin_queue_close(queues.read));
    return EXIT_SUCCESS;
}
