/* test_pool_method.c: pools whose workers have nothing of the caller's memory: their supervisor is begun by
 * spawn or by a start server. */
#define _GNU_SOURCE
#include "support/start.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int where = 1;

static int tell_where(const int *in, int *out)
{
    *out = where * 100 + *in;
    return 0;
}
KIN_MAP(tell_where, int, int)

struct board {
    atomic_int begun;
    atomic_int tries;
};

static int begin_worker(void *board)
{
    if (board != NULL) atomic_fetch_add(&((struct board *)board)->begun, 1);
    where += 4;
    return 0;
}

static int fail_to_begin(void *code)
{
    return (int)(intptr_t)code;
}

static int die_once(const void *argument, size_t size, kin_reply *reply)
{
    struct board *board;
    CHECK_EQ(size, sizeof board);
    memcpy(&board, argument, sizeof board);
    if (atomic_fetch_add(&board->tries, 1) == 0) raise(SIGKILL);
    return kin_reply_printf(reply, "%d", where) < 0;
}
KIN_BYTES(die_once)

static kin_pool *open_by(enum kin_start_method method, kin_pool_options options)
{
    kin_pool *pool = NULL;
    options.method = method;
    CHECK_OK(kin_pool_open(&pool, &options));
    return pool;
}

static void end(kin_pool *pool)
{
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, KIN_FOREVER));
    CHECK_OK(kin_pool_free(pool));
}

START_TEST(tasks_run_with_what_the_method_gives)
{
    struct board *board = kin_alloc(sizeof *board);
    int in[50], out[50];
    char text[8];
    where = 2;
    kin_pool *pool = open_by(
        method,
        (kin_pool_options){.workers = 2, .initializer = begin_worker, .context = board, .retries = 1});
    CHECK_EQ(board->begun, 2);
    for (int i = 0; i < 50; i++) in[i] = i;
    CHECK_OK(kin_pool_map(pool, KIN_FN(tell_where), in, out, 50, KIN_FOREVER));
    /* By fork it is what the caller has set; otherwise what it was before main. */
    int base = method == KIN_FORK ? 6 : 5;
    for (int i = 0; i < 50; i++) CHECK_EQ(out[i], base * 100 + i);
    /* A worker that dies is replaced by one that begins as the first did. */
    long rc =
        kin_pool_apply(pool, KIN_FN(die_once), &board, sizeof board, text, sizeof text, KIN_FOREVER, NULL);
    CHECK_OK(rc);
    CHECK_EQ(text[0], '0' + base);
    CHECK_EQ(board->begun, 3);
    /* The supervisor is no child of the program's. */
    CHECK_EQ(kin_process_active_children(NULL, 0), 0);
    end(pool);
    CHECK_OK(kin_free(board));
}

START_TEST(another_process_may_submit_to_it)
{
    kin_pool *pool = open_by(method, (kin_pool_options){.workers = 1});
    kin_result *result = NULL;
    int seven = 7, out = 0;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(tell_where), &seven, sizeof seven, KIN_FOREVER, NULL));
    CHECK_RC((int)kin_result_get(result, &out, sizeof out, KIN_FOREVER), (int)sizeof out);
    CHECK_EQ(out, 107);
    CHECK_OK(kin_result_close(result));
    end(pool);
}

static int submit_one(void *pool)
{
    int nine = 9, out = 0;
    CHECK_RC((int)kin_pool_apply(pool, KIN_FN(tell_where), &nine, sizeof nine, &out, sizeof out, KIN_FOREVER,
                                 NULL),
             (int)sizeof out);
    return out;
}

START_TEST(children_of_any_method_may_submit_to_it)
{
    kin_pool *pool = open_by(method, (kin_pool_options){.workers = 1});
    for (enum kin_start_method by = KIN_FORK; by <= KIN_FORKSERVER; by++)
        CHECK_EQ(finish(start(by, submit_one, pool)), 109);
    end(pool);
}

static atomic_bool over;

static void *allocate_for_ever(void *unused)
{
    while (!atomic_load(&over)) free(malloc(50000));
    return unused;
}

TEST(a_program_with_threads_opens_pools)
{
    pthread_t thread;
    int in[4] = {1, 2, 3, 4}, out[4];
    CHECK_EQ(pthread_create(&thread, NULL, allocate_for_ever, NULL), 0);
    for (int i = 0; i < (test_sanitized() ? 2 : 8); i++) {
        kin_pool *pool = open_by(i % 2 == 0 ? KIN_FORKSERVER : KIN_SPAWN, (kin_pool_options){.workers = 2});
        CHECK_OK(kin_pool_map(pool, KIN_FN(tell_where), in, out, 4, KIN_FOREVER));
        end(pool);
    }
    over = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(the_programs_method_is_that_of_its_pools)
{
    int in = 3, out = 0;
    where = 7;
    CHECK_OK(kin_set_start_method(KIN_FORKSERVER));
    kin_pool *pool = open_by(KIN_START_DEFAULT, (kin_pool_options){.workers = 1});
    CHECK_OK(kin_pool_map(pool, KIN_FN(tell_where), &in, &out, 1, KIN_FOREVER));
    CHECK_EQ(out, 103);
    end(pool);
    /* With an address it is forked, if nothing is said. */
    pool = open_by(KIN_START_DEFAULT, (kin_pool_options){.workers = 1, .address = "tcp://127.0.0.1:0"});
    CHECK_OK(kin_pool_map(pool, KIN_FN(tell_where), &in, &out, 1, KIN_FOREVER));
    CHECK_EQ(out, 703);
    end(pool);
}

TEST(what_means_nothing_there_is_refused)
{
    kin_pool *pool = NULL;
    int mine = 0;
    kin_pool_options options = {.workers = 1, .initializer = begin_worker, .context = &mine};
    for (options.method = KIN_SPAWN; options.method <= KIN_FORKSERVER; options.method++) {
        CHECK_RC(kin_pool_open(&pool, &options), KIN_EPOINTER);
        kin_pool_options remote = {.address = "tcp://127.0.0.1:0", .method = options.method};
        CHECK_RC(kin_pool_open(&pool, &remote), -EINVAL);
        kin_failure failure;
        kin_pool_options failing = {.workers = 1,
                                    .method = options.method,
                                    .initializer = fail_to_begin,
                                    .context = (void *)9,
                                    .failure = &failure};
        CHECK_RC(kin_pool_open(&pool, &failing), KIN_EINITIALIZER);
        CHECK_EQ(failure.code, 9);
    }
    CHECK_RC(kin_pool_open(&pool, &(kin_pool_options){.method = (enum kin_start_method)7}), -EINVAL);
    CHECK(pool == NULL);
}

static int hold_a_pool(void *argument)
{
    struct board *board = argument;
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(
        &pool, &(kin_pool_options){
                   .workers = 2, .method = KIN_FORKSERVER, .initializer = begin_worker, .context = board}));
    board->tries = 1;
    return run_for_ever(NULL);
}

TEST(it_ends_with_the_process_that_opened_it)
{
    struct board *board = kin_alloc(sizeof *board);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    kin_process *owner = start(KIN_FORK, hold_a_pool, board);
    test_until(board->tries == 1);
    CHECK_OK(kin_process_kill(owner));
    CHECK_EQ(finish(owner), -SIGKILL);
    /* Server, supervisor and workers come to us, and end. */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
    CHECK_EQ(errno, ECHILD);
    CHECK_OK(kin_free(board));
}
