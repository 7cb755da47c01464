/* test_worker_serve.c: kin_worker_serve has a pool of its own: how it is started, and what becomes of the service when
 * that can run nothing any more. */
#include "pool_board.h"

#include <kin/listener.h>
#include <kin/start.h>
#include <kin/worker.h>

#include "pool/pool.h"

#define KEY "open sesame"

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)
KIN_TASK(square)

static kin_pool *open_pool_for_others(void)
{
    static const kin_listener_options with_key = {.key = KEY, .key_size = sizeof KEY - 1};
    kin_pool *pool = NULL;
    CHECK_OK(
        kin_pool_open(&pool, &(kin_pool_options){.address = "tcp://127.0.0.1:0", .listener = &with_key}));
    return pool;
}

/* How the process that serves ends with KIN_EBROKEN, and with another error. */
enum { BROKEN = 80, FAILED = 81 };

static void serve(void *address)
{
    static const kin_client_options client = {.key = KEY, .key_size = sizeof KEY - 1};
    int rc = kin_worker_serve(address, &(kin_worker_options){.client = &client, .workers = 1});
    _exit(rc == 0 ? 0 : rc == KIN_EBROKEN ? BROKEN : FAILED);
}

static pid_t start_worker(kin_pool *pool)
{
    return test_child(serve, (void *)(uintptr_t)kin_pool_address(pool));
}

static kin_result *hand_in(kin_pool *pool, const kin_function *function, const void *argument, size_t size)
{
    kin_result *result = NULL;
    CHECK_OK(kin_pool_submit(pool, &result, function, argument, size, kin_in_s(30), NULL));
    return result;
}

/* ---- the end of a worker's own pool ---------------------------------------------------------------------- */

/* Kills what starts the workers there. */
static int kill_supervisor(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument;
    (void)size;
    (void)reply;
    kill(getppid(), SIGKILL);
    while (getppid() >= 0) pause();
    return 0;
}
KIN_BYTES(kill_supervisor)
KIN_TASK(kill_supervisor)

/* It takes no more tasks, that it could only fail. */
TEST(a_worker_that_can_run_nothing_any_more_ends)
{
    kin_pool *pool = open_pool_for_others();
    pid_t worker = start_worker(pool);
    test_until(atomic_load(&pool->deputies) == 1);
    kin_result *lost = hand_in(pool, KIN_FN(kill_supervisor), NULL, 0), *squares[8];
    for (int i = 0; i < 8; i++) squares[i] = hand_in(pool, KIN_FN(square), &i, sizeof i);
    kin_failure failure;
    CHECK_OK(kin_result_wait(lost, kin_in_s(30)));
    CHECK_OK(kin_result_failure(lost, &failure));
    CHECK_EQ(failure.cause, KIN_CAUSE_LOST);
    CHECK_EQ(WEXITSTATUS(test_collect(worker)), BROKEN);
    worker = start_worker(pool);
    for (int i = 0; i < 8; i++) {
        long out = -1;
        CHECK_RC(kin_result_get(squares[i], &out, sizeof out, kin_in_s(30)), sizeof out);
        CHECK_EQ(out, i * i);
        CHECK_OK(kin_result_close(squares[i]));
    }
    CHECK_OK(kin_result_close(lost));
    end_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}

/* ---- start methods -------------------------------------------------------------------------------------- */

/* The functions are the serving program's own, in memory that only a fork has. */
TEST_COLD(a_worker_serves_whatever_the_start_method)
{
    CHECK_OK(kin_set_start_method(KIN_SPAWN));
    kin_pool *pool = open_pool_for_others();
    pid_t worker = start_worker(pool);
    int in = 12;
    long out = -1;
    CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &in, sizeof in, &out, sizeof out, kin_in_s(30), NULL),
             sizeof out);
    CHECK_EQ(out, 144);
    end_pool(pool);
    CHECK_EQ(test_collect(worker), 0);
}
