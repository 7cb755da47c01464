/* T04: processes that each run several threads, all of which use the same lock, the same queue, the
 * same pool and the same memory. */
#include <pthread.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

#define PROCESSES 3
#define THREADS   4
#define ROUNDS    50

struct common {
    kin_lock *lock;
    kin_queue *queue;
    kin_pool *pool;
    long sum; /* guarded by the lock */
};

static int square(const int *number, int *result)
{
    *result = *number * *number;
    return 0;
}
KIN_MAP(square, int, int)

static void *run_thread(void *argument)
{
    struct common *common = argument;
    for (int i = 1; i <= ROUNDS; i++) {
        int result;
        check(kin_pool_apply(common->pool, KIN_FN(square), &i, sizeof i, &result, sizeof result, KIN_FOREVER,
                             NULL));
        check(kin_lock_acquire(common->lock, KIN_FOREVER));
        common->sum += result;
        check(kin_lock_release(common->lock));
        check(kin_queue_put(common->queue, &result, sizeof result, KIN_FOREVER));
    }
    return NULL;
}

static int run_threads(void *common)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run_thread, common) != 0) return EXIT_FAILURE;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return EXIT_SUCCESS;
}

int main(void)
{
    kin_process *processes[PROCESSES];
    struct common *common = kin_alloc(sizeof *common);
    if (common == NULL) {
        perror("kin_alloc");
        return EXIT_FAILURE;
    }
    check(kin_lock_open(&common->lock));
    check(kin_queue_open(&common->queue, &(kin_queue_options){.max_items = 16}));
    check(kin_pool_open(&common->pool, &(kin_pool_options){.workers = 2}));
    for (int i = 0; i < PROCESSES; i++) check(kin_process_start(&processes[i], run_threads, common, NULL));

    long received = 0;
    for (int i = 0; i < PROCESSES * THREADS * ROUNDS; i++) {
        int result;
        check(kin_queue_get(common->queue, &result, sizeof result, KIN_FOREVER));
        received += result;
    }
    for (int i = 0; i < PROCESSES; i++) {
        check(kin_process_join(processes[i], KIN_FOREVER));
        check(kin_process_close(processes[i]));
    }
    printf("%d threads in %d processes: summed up %ld, received %ld\n", PROCESSES * THREADS, PROCESSES,
           common->sum, received);
    check(kin_pool_free(common->pool));
    check(kin_queue_close(common->queue));
    check(kin_lock_close(common->lock));
    check(kin_free(common));
    return EXIT_SUCCESS;
}
