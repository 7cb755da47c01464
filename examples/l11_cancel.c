/* L11: a task that runs is cancelled; its worker is replaced, and nobody else notices. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

static int spin(const int *in, int *out)
{
    for (*out = *in; *in < 0; pause())
        ;
    return 0;
}
KIN_MAP(spin, int, int)

int main(void)
{
    kin_pool *pool = NULL;
    kin_result *endless = NULL, *other = NULL;
    kin_pool_status status = {0};
    int forever = -1, once = 5, out = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    check(kin_pool_submit(pool, &endless, KIN_FN(spin), &forever, sizeof forever, KIN_FOREVER, NULL));
    check(kin_pool_submit(pool, &other, KIN_FN(spin), &once, sizeof once, KIN_FOREVER, NULL));
    while (status.running == 0) check(kin_pool_stats(pool, &status));

    check(kin_result_cancel(endless));
    check(kin_result_wait(endless, KIN_FOREVER));
    kin_failure failure;
    check(kin_result_failure(endless, &failure));
    printf("the endless task: %s\n", failure.cause == KIN_CAUSE_CANCELLED ? "cancelled" : "?");
    check((int)kin_result_get(other, &out, sizeof out, KIN_FOREVER));
    printf("the other one: %d\n", out);
    printf("once more: %s\n", kin_error_name(kin_result_cancel(other)));
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
