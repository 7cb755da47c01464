/* L26: results as they come, whatever came first; the first failure ends the waiting; and a map that nobody
 * waits in, whose progress can be read at any time. */
#include <errno.h>
#include <stdio.h>

#include <kin.h>

#include "check.h"

struct job {
    int number;
    kin_event *go; /* NULL: at once */
};

static int work(const struct job *job, int *out)
{
    int rc = job->go != NULL ? kin_event_wait(job->go, KIN_FOREVER) : 0;
    *out = job->number;
    return job->number < 0 ? -EDOM : rc;
}
KIN_MAP(work, struct job, int)

static int square(const int *in, int *out)
{
    *out = *in * *in;
    return 0;
}
KIN_MAP(square, int, int)

int main(void)
{
    enum { ITEMS = 1000 };
    static int in[ITEMS];
    kin_pool *pool = NULL;
    kin_event *go = NULL;
    kin_result *results[3], *map = NULL;
    const void *view = NULL;
    check(kin_event_open(&go, NULL));
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));

    const struct job jobs[] = {{0, go}, {1, NULL}, {2, NULL}};
    for (int i = 0; i < 3; i++)
        check(kin_pool_submit(pool, &results[i], KIN_FN(work), &jobs[i], sizeof *jobs, KIN_FOREVER, NULL));
    for (int left = 3; left > 0; left--) {
        long next = check(kin_results_next(results, 3, KIN_FOREVER));
        printf("result %ld\n", next);
        check(kin_result_close(results[next]));
        results[next] = NULL;
        if (left == 2) check(kin_event_set(go));
    }

    const struct job bad[] = {{-1, NULL}, {4, NULL}};
    for (int i = 0; i < 2; i++)
        check(kin_pool_submit(pool, &results[i], KIN_FN(work), &bad[i], sizeof *bad, KIN_FOREVER, NULL));
    check(kin_results_wait(results, 2, KIN_FIRST_FAILED, KIN_FOREVER));
    printf("the first has failed: %s\n", kin_result_successful(results[0]) == 0 ? "yes" : "no");

    for (int i = 0; i < ITEMS; i++) in[i] = i;
    check(kin_pool_map_async(pool, &map, KIN_FN(square), (const void *[]){in}, ITEMS, KIN_FOREVER, NULL));
    check(kin_result_wait(map, KIN_FOREVER));
    check(kin_result_view(map, &view));
    printf("%d squared is %d\n", ITEMS - 1, ((const int *)view)[ITEMS - 1]);
    check(kin_pool_free(pool));
    check(kin_event_close(go));
    return EXIT_SUCCESS;
}
