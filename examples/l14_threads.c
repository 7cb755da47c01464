/* L14: a pool of threads: eight waits of a tenth of a second at once, into the program's own memory; and a
 * task that is told that its time is up. */
#include <stdio.h>
#include <time.h>

#include <kin.h>

#include "check.h"

static int fetch(char *const *page, int *length)
{
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL); /* a server answers */
    *length = sprintf(*page, "page %d", kin_worker_number() >= 0);
    return 0;
}
KIN_MAP(fetch, char *, int)

static int poll_for_ever(const int *in, int *out)
{
    while (!kin_task_cancelled()) nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    *out = *in;
    return 1;
}
KIN_MAP(poll_for_ever, int, int)

int main(void)
{
    enum { PAGES = 8 };
    static char text[PAGES][32];
    char *page[PAGES];
    int length[PAGES], in = 0;
    for (int i = 0; i < PAGES; i++) page[i] = text[i];

    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.kind = KIN_POOL_THREADS, .workers = PAGES}));
    kin_deadline begin = kin_clock();
    check(kin_pool_map(pool, KIN_FN(fetch), page, length, PAGES, KIN_FOREVER));
    printf("%s, %d bytes, one after the other it would have taken longer: %s\n", text[PAGES - 1], length[0],
           kin_clock() - begin < 800 * 1000000LL ? "yes" : "no");

    kin_result *result = NULL;
    kin_failure failure;
    char why[200];
    check(kin_pool_submit(pool, &result, KIN_FN(poll_for_ever), &in, sizeof in, KIN_FOREVER,
                          &(kin_task_options){.timeout_ns = 50 * 1000000}));
    check(kin_result_wait(result, KIN_FOREVER));
    check(kin_result_failure(result, &failure));
    failure.worker_pid = 0;
    kin_failure_text(&failure, why, sizeof why);
    printf("%s\n", why);
    check(kin_result_close(result));
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
