/* L24: tasks that fail are run again: after an error, with a pause that is twice as long each time, and, counted
 * apart from that, after the death of their worker. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

struct job {
    _Atomic int *tried; /* in family memory */
    int errors, deaths; /* so many times it fails */
};

static int fetch(const struct job *job, int *tries)
{
    int before = atomic_fetch_add(job->tried, 1);
    if (before < job->errors) return -ECONNREFUSED;
    if (before < job->errors + job->deaths) kill(getpid(), SIGKILL);
    *tries = before + 1;
    return 0;
}
KIN_MAP(fetch, struct job, int)

static void run(kin_pool *pool, struct job job, const kin_task_options *options)
{
    kin_result *result = NULL;
    kin_failure failure;
    char why[200];
    int tries = 0;
    atomic_store(job.tried, 0);
    check(kin_pool_submit(pool, &result, KIN_FN(fetch), &job, sizeof job, KIN_FOREVER, options));
    long rc = kin_result_get(result, &tries, sizeof tries, KIN_FOREVER);
    if (rc == KIN_EFAILED) {
        check(kin_result_failure(result, &failure));
        kin_failure_text(&failure, why, sizeof why);
        printf("given up in attempt %u: %s\n", failure.attempt, kin_error_name(failure.code));
    } else {
        check(rc);
        printf("there in attempt %d\n", tries);
    }
    check(kin_result_close(result));
}

int main(void)
{
    kin_pool *pool = NULL;
    _Atomic int *tried = kin_alloc(sizeof *tried);
    if (tried == NULL) return EXIT_FAILURE;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .retries = 1, .retries_error = 2}));
    const kin_task_options patient = {.retries_error = 3, .backoff_ns = 10 * 1000000};
    run(pool, (struct job){tried, .errors = 2}, NULL);
    run(pool, (struct job){tried, .errors = 2, .deaths = 1}, NULL);
    run(pool, (struct job){tried, .errors = 3}, NULL);
    kin_deadline begin = kin_clock();
    run(pool, (struct job){tried, .errors = 3}, &patient);
    printf("after pauses of 10, 20 and 40 ms: %s\n", kin_clock() - begin >= 70 * 1000000LL ? "yes" : "no");
    check(kin_pool_free(pool));
    check(kin_free(tried));
    return EXIT_SUCCESS;
}
