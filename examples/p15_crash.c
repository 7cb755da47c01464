/* P15: a crash stays where it is: one of three children dies of a fault; the others and the parent
 * go on, and the parent learns how it died, and what it wrote to stderr before. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static int work(void *queue)
{
    /* Waits for the parent's word, which comes after the crash. */
    char word[16];
    check(kin_queue_get(queue, word, sizeof word, KIN_FOREVER));
    printf("a healthy child is told to %s\n", word);
    return 0;
}

static int crash(void *address)
{
    fprintf(stderr, "about to write where nothing is\n");
    *(volatile int *)address = 1;
    return 0;
}

static void report(kin_process *child)
{
    kin_exit_status status;
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_exit_status(child, &status));
    if (status.kind == KIN_SIGNALED)
        printf("%s died: %s, after its last words: %s", kin_process_name(child), strsignal(status.signal),
               kin_process_stderr_tail(child, NULL));
    else
        printf("%s ended with code %d\n", kin_process_name(child), status.code);
    check(kin_process_close(child));
}

int main(void)
{
    kin_queue *queue = NULL;
    kin_process *first = NULL, *faulty = NULL, *second = NULL;
    check(kin_queue_open(&queue, NULL));
    check(kin_process_start(&first, work, queue, &(kin_process_options){.name = "first"}));
    check(kin_process_start(&faulty, crash, NULL,
                            &(kin_process_options){.name = "faulty", .stderr_tail = 200}));
    check(kin_process_start(&second, work, queue, &(kin_process_options){.name = "second"}));

    report(faulty);
    for (int i = 0; i < 2; i++) check(kin_queue_put(queue, "go on", sizeof "go on", KIN_FOREVER));
    report(first);
    report(second);
    check(kin_queue_close(queue));
    return EXIT_SUCCESS;
}
