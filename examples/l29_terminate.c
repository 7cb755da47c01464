/* L29: the end of a pool in all its ways: it may be paused, and drained, and be as before; closed and joined with
 * a deadline it runs what is in it; terminated, what has not ended fails, and nobody waits for ever. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int wait_for(kin_event *const *event, int *out)
{
    *out = 1;
    return kin_event_wait(*event, KIN_FOREVER);
}
KIN_MAP(wait_for, kin_event *, int)

static kin_pool *open_pool(void)
{
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 1}));
    return pool;
}

static kin_result *hand_in(kin_pool *pool, kin_event *event)
{
    kin_result *result = NULL;
    check(kin_pool_submit(pool, &result, KIN_FN(wait_for), &event, sizeof event, KIN_FOREVER, NULL));
    return result;
}

int main(void)
{
    kin_event *go = NULL, *never = NULL;
    kin_failure failure;
    check(kin_event_open(&go, NULL));
    check(kin_event_open(&never, NULL));

    kin_pool *pool = open_pool();
    check(kin_pool_pause(pool));
    kin_result *result = hand_in(pool, go);
    check(kin_event_set(go));
    printf("paused, and it is there within 20 ms: %s\n",
           kin_result_wait(result, kin_in_ms(20)) == 0 ? "yes" : "no");
    check(kin_pool_resume(pool));
    check(kin_pool_drain(pool, KIN_FOREVER));
    printf("drained, and it is there: %s\n", kin_result_ready(result) == 1 ? "yes" : "no");

    check(kin_event_clear(go));
    result = hand_in(pool, go);
    check(kin_pool_close(pool));
    printf("closed, joined within 20 ms: %s\n", kin_error_name(kin_pool_join(pool, kin_in_ms(20))));
    check(kin_event_set(go));
    check(kin_pool_join(pool, KIN_FOREVER));
    printf("what was in it has been run: %s\n", kin_result_successful(result) == 1 ? "yes" : "no");
    check(kin_pool_free(pool));

    pool = open_pool();
    result = hand_in(pool, never);
    check(kin_pool_terminate(pool));
    check(kin_pool_join(pool, KIN_FOREVER));
    printf("terminated: %s\n", kin_error_name((int)kin_result_get(result, NULL, 0, KIN_FOREVER)));
    check(kin_result_failure(result, &failure));
    printf("because of that: %s\n", failure.cause == KIN_CAUSE_TERMINATED ? "yes" : "no");
    check(kin_pool_free(pool));
    check(kin_event_close(go));
    check(kin_event_close(never));
    return EXIT_SUCCESS;
}
