/* L28: where workers run and what each may use: one processor each, and no more open files than 64; and what the
 * counters of a pool tell. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include <kin.h>

#include "check.h"

struct place {
    int processors;
    int files;
};

static int look_around(const int *in, struct place *place)
{
    cpu_set_t usable;
    struct rlimit files;
    (void)in;
    if (sched_getaffinity(0, sizeof usable, &usable) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0) return 1;
    *place = (struct place){CPU_COUNT(&usable), (int)files.rlim_cur};
    return 0;
}
KIN_MAP(look_around, int, struct place)

int main(void)
{
    enum { TASKS = 200 };
    const kin_resource_limit files = {RLIMIT_NOFILE, 64, 64};
    const kin_limits limits = {.resources = &files, .resource_count = 1};
    kin_pool *pool = NULL;
    kin_pool_status status;
    kin_times times;
    struct place place;
    unsigned long timed = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .limits = &limits, .pin_workers = true}));
    for (int i = 0; i < TASKS; i++)
        check(
            kin_pool_apply(pool, KIN_FN(look_around), &i, sizeof i, &place, sizeof place, KIN_FOREVER, NULL));
    printf("processors: %d, files: %d\n", place.processors, place.files);
    check(kin_pool_drain(pool, KIN_FOREVER));
    check(kin_pool_stats(pool, &status));
    printf("done: %d, failed: %d, deaths: %d\n", (int)status.done, (int)status.failed, (int)status.deaths);
    check(kin_pool_times(pool, &times));
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) timed += times.queued[i];
    printf("one of so many has its times counted: %s\n",
           timed > 0 && timed <= TASKS / times.one_of + 1 ? "yes" : "no");
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
