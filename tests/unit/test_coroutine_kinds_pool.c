/* test_coroutine_kinds_pool.c: coroutines wait for the pool: for room, for results, for its end. */
#include "coroutine_kinds.h"

enum { RESULTS = 8 };

/* What the kinds wait for; each opens what it needs. */
static struct {
    kin_event *event;
    kin_pool *pool;
    kin_imap *imap;
    kin_result *results[RESULTS];
    int count;
} at;

/* Every task waits for the event. */
typedef kin_event *event_pointer;
static int task(const event_pointer *event, int *out)
{
    *out = 1;
    return kin_event_wait(*event, KIN_FOREVER);
}
KIN_MAP(task, event_pointer, int)

static int task_of_two(const event_pointer *event, const int *in, int *out)
{
    *out = *in;
    return kin_event_wait(*event, KIN_FOREVER);
}
KIN_STARMAP2(task_of_two, event_pointer, int, int)

static int submit(kin_deadline deadline)
{
    int rc = kin_pool_submit(at.pool, &at.results[at.count], KIN_FN(task), &at.event, sizeof at.event,
                             deadline, NULL);
    if (rc == 0) at.count++;
    return rc;
}
static void event_set(void)
{
    CHECK_OK(kin_event_set(at.event));
}

static void open_idle_pool(unsigned workers)
{
    CHECK_OK(kin_event_open(&at.event, NULL));
    CHECK_OK(kin_pool_open(&at.pool, &(kin_pool_options){.workers = workers, .max_queued = 2}));
    at.count = 0;
}
static void pool_open(void)
{
    open_idle_pool(1);
    CHECK_OK(submit(KIN_FOREVER));
}
static void two_open(void)
{
    open_idle_pool(2);
    for (int i = 0; i < 2; i++) CHECK_OK(submit(KIN_FOREVER));
}
static void full_pool_open(void)
{
    pool_open();
    kin_pool_status status;
    do CHECK_OK(kin_pool_stats(at.pool, &status));
    while (status.queued > 0);
    int rc;
    do CHECK_LT(at.count, RESULTS - 1);
    while ((rc = submit(KIN_NOW)) == 0);
    CHECK_RC(rc, -ETIMEDOUT);
}
static void closed_pool_open(void)
{
    pool_open();
    CHECK_OK(kin_pool_close(at.pool));
}
static void pool_close(void)
{
    for (int i = 0; i < at.count; i++) CHECK_OK(kin_result_close(at.results[i]));
    CHECK_OK(kin_pool_free(at.pool));
    CHECK_OK(kin_event_close(at.event));
}

/* ---- one result --------------------------------------------------------------------------------------------- */

static int result_get(kin_deadline deadline)
{
    int out = 0;
    long rc = kin_result_get(at.results[0], &out, sizeof out, deadline);
    return rc == sizeof out && out == 1 ? 0 : (int)rc;
}
static int result_await(kin_deadline deadline)
{
    return kin_result_wait(at.results[0], deadline);
}
static int result_wait(kin_deadline deadline)
{
    return wait_for(kin_on_result(at.results[0]), deadline);
}
static int pool_apply(kin_deadline deadline)
{
    int out = 0;
    long rc =
        kin_pool_apply(at.pool, KIN_FN(task), &at.event, sizeof at.event, &out, sizeof out, deadline, NULL);
    return rc == sizeof out && out == 1 ? 0 : (int)rc;
}

/* ---- several ------------------------------------------------------------------------------------------------ */

static int results_next(kin_deadline deadline)
{
    long rc = kin_results_next(at.results, 2, deadline);
    return rc >= 0 ? 0 : (int)rc;
}
static int results_all(kin_deadline deadline)
{
    long rc = kin_results_wait(at.results, 2, KIN_ALL_COMPLETED, deadline);
    return rc == 2 ? 0 : rc >= 0 ? -EIO : (int)rc;
}
static int pool_map(kin_deadline deadline)
{
    int out[2];
    event_pointer in[2] = {at.event, at.event};
    return kin_pool_map(at.pool, KIN_FN(task), in, out, 2, deadline);
}
static int pool_starmap(kin_deadline deadline)
{
    int numbers[2] = {3, 4}, out[2];
    event_pointer events[2] = {at.event, at.event};
    const void *in[2] = {events, numbers};
    int rc = kin_pool_starmap(at.pool, KIN_FN(task_of_two), in, out, 2, deadline, NULL);
    return rc == 0 && out[0] + out[1] != 7 ? -EIO : rc;
}

/* A stream of one input. */
static long bring(void *brought, const void **input)
{
    if (*(bool *)brought) return KIN_EMPTY;
    *(bool *)brought = true;
    *input = &at.event;
    return sizeof at.event;
}
static int imap_next(kin_deadline deadline)
{
    bool brought = false;
    const void *out = NULL;
    CHECK_OK(kin_imap_open(&at.imap, at.pool, KIN_FN(task), bring, &brought, NULL));
    long rc = kin_imap_next(at.imap, &out, deadline);
    if (rc >= 0) rc = rc == sizeof(int) && *(const int *)out == 1 ? 0 : -EIO;
    CHECK_OK(kin_imap_close(at.imap));
    return (int)rc;
}

/* ---- the pool ----------------------------------------------------------------------------------------------- */

static int map_async(kin_deadline deadline)
{
    event_pointer events[1] = {at.event};
    const void *in[1] = {events};
    int rc = kin_pool_map_async(at.pool, &at.results[at.count], KIN_FN(task), in, 1, deadline, NULL);
    if (rc == 0) at.count++;
    return rc;
}
static int pool_drain(kin_deadline deadline)
{
    return kin_pool_drain(at.pool, deadline);
}
static int pool_join(kin_deadline deadline)
{
    return kin_pool_join(at.pool, deadline);
}

static void when_done(kin_result *result, void *context)
{
    (void)result;
    (void)context;
}
static void called_open(void)
{
    pool_open();
    CHECK_OK(kin_result_add_done_callback(at.results[0], when_done, NULL, NULL));
}
static int pool_poll(kin_deadline deadline)
{
    return waited(kin_pool_poll(at.pool, deadline));
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

const struct kind kinds[] = {
    {"result, get", pool_open, result_get, event_set, pool_close, -ETIMEDOUT},
    {"result", pool_open, result_await, event_set, pool_close, -ETIMEDOUT},
    {"result, wait", pool_open, result_wait, event_set, pool_close, -ETIMEDOUT},
    {"results, next", two_open, results_next, event_set, pool_close, -ETIMEDOUT},
    {"results, all", two_open, results_all, event_set, pool_close, -ETIMEDOUT},
    {"pool, apply", pool_open, pool_apply, event_set, pool_close, -ETIMEDOUT},
    {"pool, map", pool_open, pool_map, event_set, pool_close, -ETIMEDOUT},
    {"pool, starmap", pool_open, pool_starmap, event_set, pool_close, -ETIMEDOUT},
    {"pool, imap", pool_open, imap_next, event_set, pool_close, -ETIMEDOUT},
    {"pool, submit", full_pool_open, submit, event_set, pool_close, -ETIMEDOUT},
    {"pool, map_async", full_pool_open, map_async, event_set, pool_close, -ETIMEDOUT},
    {"pool, drain", pool_open, pool_drain, event_set, pool_close, -ETIMEDOUT},
    {"pool, join", closed_pool_open, pool_join, event_set, pool_close, -ETIMEDOUT},
    {"pool, poll", called_open, pool_poll, event_set, pool_close, -ETIMEDOUT},
    {NULL, NULL, NULL, NULL, NULL, 0},
};
