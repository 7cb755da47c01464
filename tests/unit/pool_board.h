/* pool_board.h: tasks of the tests of pools, and the board on which they and their submitter write. */
#ifndef POOL_BOARD_H
#define POOL_BOARD_H

#define _GNU_SOURCE
#include "support/books.h"
#include "support/pools.h"
#include "support/test.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/memory.h>
#include <kin/pool.h>

/* What tasks and their submitter share. */
struct board {
    _Atomic int open;
    _Atomic int inside;
    _Atomic int most;
    _Atomic int count;
    _Atomic int order[256];
    kin_pool *pool;
};

struct order {
    struct board *board;
    int number;
};

static int wait_at_gate(const struct order *order, int *out)
{
    order->board->inside++;
    test_until(order->board->open != 0 || kin_task_cancelled() == 1);
    order->board->inside--;
    *out = order->number;
    return order->board->open != 0 ? 0 : -ECANCELED;
}
KIN_MAP(wait_at_gate, struct order, int)

static int note(const struct order *order, int *out)
{
    order->board->order[order->board->count++] = order->number;
    *out = gettid();
    return 0;
}
KIN_MAP(note, struct order, int)

static inline kin_pool *open_pool(unsigned workers)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = workers}));
    return pool;
}

static inline void end_pool(kin_pool *pool)
{
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(pool));
}

static inline kin_result *submit(kin_pool *pool, const kin_function *function, struct board *board,
                                 int number, const kin_task_options *options)
{
    kin_result *result = NULL;
    struct order order = {board, number};
    CHECK_OK(kin_pool_submit(pool, &result, function, &order, sizeof order, kin_in_s(30), options));
    return result;
}

static inline struct board *make_board(void)
{
    struct board *board = kin_alloc(sizeof *board);
    CHECK(board != NULL);
    memset(board, 0, sizeof *board);
    return board;
}

static inline int value(kin_result *result)
{
    int out = -1;
    CHECK_RC(kin_result_get(result, &out, sizeof out, kin_in_s(30)), sizeof out);
    CHECK_OK(kin_result_close(result));
    return out;
}

static inline kin_failure failure_of(kin_result *result)
{
    kin_failure failure;
    CHECK_OK(kin_result_wait(result, kin_in_s(30)));
    CHECK_OK(kin_result_failure(result, &failure));
    return failure;
}

#endif
