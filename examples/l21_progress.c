/* L21: how far a map is, told while the caller waits for it, and how far all tasks of a pool are. */
#include <stdio.h>
#include <time.h>

#include <kin.h>

#include "check.h"

static int rest(const int *in, int *out)
{
    nanosleep(&(struct timespec){.tv_nsec = *in * 1000000l}, NULL);
    *out = 0;
    return 0;
}
KIN_MAP(rest, int, int)

/* How often it was told, and whether it ever went back.  A program would draw a bar of it: there are the rate
 * and the estimated time that is left, too. */
struct told {
    unsigned times;
    int backwards;
    uint64_t last;
};

static void tell(const kin_progress *progress, void *context)
{
    struct told *told = context;
    told->times++;
    told->backwards |= progress->done < told->last;
    told->last = progress->done;
}

int main(void)
{
    enum { ITEMS = 100 };
    static int ms[ITEMS], out[ITEMS];
    struct told told = {0};
    kin_progress progress;
    kin_pool *pool = NULL;
    for (int i = 0; i < ITEMS; i++) ms[i] = 1;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_pool_map_with(
        pool, KIN_FN(rest), ms, out, ITEMS, KIN_FOREVER,
        &(kin_map_options){.progress = tell, .progress_context = &told, .progress_ns = 10 * 1000000}));
    printf("told several times: %s; backwards: %s; at the end: %llu\n", told.times > 1 ? "yes" : "no",
           told.backwards ? "yes" : "no", (unsigned long long)told.last);
    check(kin_pool_progress(pool, &progress));
    printf("tasks: %llu of %llu\n", (unsigned long long)progress.done, (unsigned long long)progress.count);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
