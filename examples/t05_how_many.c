/* T05: how many workers?  For work that computes, as many as there are processors; for work that
 * waits, many more.  Measured both ways. */
#include <stdatomic.h>

#include <kin.h>

#include "check.h"

#define TASKS   16
#define WORKERS 16

static atomic_int next_task;
static void (*work)(void);
static kin_queue *silent;

static void compute(void)
{
    volatile unsigned long sum = 0;
    for (int i = 0; i < 3000000; i++) sum = sum * 31 + (unsigned long)i;
}

/* Waits for something that takes its time, like a disk or a network. */
static void wait(void)
{
    char message[8];
    kin_queue_get(silent, message, sizeof message, kin_in_ms(10));
}

static int worker(void *unused)
{
    (void)unused;
    while (atomic_fetch_add(&next_task, 1) < TASKS) work();
    return 0;
}

static long measure(void (*task)(void), int workers)
{
    kin_thread *thread[WORKERS];
    kin_deadline begun = kin_clock();
    next_task = 0;
    work = task;
    for (int i = 0; i < workers; i++) check(kin_thread_start(&thread[i], worker, NULL, NULL));
    for (int i = 0; i < workers; i++) {
        check(kin_thread_join(thread[i], KIN_FOREVER));
        check(kin_thread_close(thread[i]));
    }
    return (long)((kin_clock() - begun) / 1000000);
}

int main(void)
{
    const int workers[] = {1, kin_cpu_count() < WORKERS ? kin_cpu_count() : WORKERS, WORKERS};
    check(kin_queue_open(&silent, NULL));
    for (int i = 0; i < 3; i++) {
        printf("computing: %d tasks by %d threads took %ld ms\n", TASKS, workers[i],
               measure(compute, workers[i]));
        printf("waiting: %d tasks by %d threads took %ld ms\n", TASKS, workers[i], measure(wait, workers[i]));
    }
    check(kin_queue_close(silent));
    return EXIT_SUCCESS;
}
