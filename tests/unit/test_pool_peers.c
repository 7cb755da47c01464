/* test_pool_peers.c: what connects to a pool and is no worker of another program: whatever it does, the pool's own
 * workers, its opening and its end are as without it. */
#include "pool_board.h"

#include <stdio.h>

#include <kin/listener.h>

#include "pool/pool.h"

#define KEY "open sesame"

static const kin_listener_options with_key = {.key = KEY, .key_size = sizeof KEY - 1};

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static kin_connection *connect_to(const char *address)
{
    kin_connection *connection = NULL;
    CHECK_OK(kin_client_open(&connection, address, &(kin_client_options){.key = KEY, .key_size = strlen(KEY)},
                             kin_in_s(20)));
    return connection;
}

/* Connects, says something else than a worker does, and is left alone. */
static void be_turned_away(const char *address)
{
    char byte;
    kin_connection *connection = connect_to(address);
    CHECK_OK(kin_connection_send(connection, "hello", 5, kin_in_s(20)));
    CHECK_RC(kin_connection_recv(connection, &byte, 1, kin_in_s(30)), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(connection));
}

/* More of them than workers may die before a pool gives up. */
TEST(many_that_are_no_workers_do_not_end_a_pool)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(
        &pool, &(kin_pool_options){.workers = 1, .address = "tcp://127.0.0.1:0", .listener = &with_key}));
    for (int i = 0; i < 25; i++) {
        int in = i;
        long out = -1;
        be_turned_away(kin_pool_address(pool));
        CHECK_RC(kin_pool_apply(pool, KIN_FN(square), &in, sizeof in, &out, sizeof out, kin_in_s(30), NULL),
                 sizeof out);
        CHECK_EQ(out, i * i);
    }
    end_pool(pool);
}

/* ---- peers while a pool opens and ends ------------------------------------------------------------------ */

static int initialize_when_let(void *of_board)
{
    struct board *board = of_board;
    board->inside = 1;
    test_until(board->open != 0);
    return 0;
}

struct visit {
    const char *address;
    struct board *board;
};

static void come_while_it_opens(void *of_visit)
{
    const struct visit *visit = of_visit;
    test_until(visit->board->inside == 1);
    for (int i = 0; i < 3; i++) be_turned_away(visit->address);
    visit->board->open = 1;
}

TEST(what_comes_while_a_pool_opens_does_it_no_harm)
{
    kin_pool *pool = NULL;
    char address[64];
    snprintf(address, sizeof address, "%s", test_abstract_address());
    struct board *board = make_board();
    struct visit visit = {address, board};
    pid_t peer = test_child(come_while_it_opens, &visit);
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 1,
                                                      .address = address,
                                                      .listener = &with_key,
                                                      .initializer = initialize_when_let,
                                                      .context = board}));
    CHECK_EQ(test_collect(peer), 0);
    end_pool(pool);
    CHECK_OK(kin_free(board));
}

/* One that says nothing may be silent for so long; a pool that has nothing left to do does not wait for it. */
TEST(a_closed_pool_does_not_wait_for_a_peer_that_says_nothing)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.address = "tcp://127.0.0.1:0",
                                                      .listener = &with_key,
                                                      .silence_ns = 1000 * 1000000000LL}));
    char byte;
    kin_connection *silent = connect_to(kin_pool_address(pool));
    test_until(atomic_load(&pool->deputies) == 1);
    end_pool(pool);
    CHECK_LT(kin_connection_recv(silent, &byte, 1, kin_in_s(30)), 0);
    CHECK_OK(kin_connection_close(silent));
}
