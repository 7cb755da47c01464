/* test_manager_returns.c: clients that come back to a manager: while there is no place for anybody else, and in the middle
 * of a call that has no deadline of its own; or do not, before their time of grace is over.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/loopback.h"
#include "support/relay.h"

#define SOON    kin_in_s(20)
#define BRIEFLY kin_in_ms(50)
#define GRACE   INT64_C(60000000000)

/* As many as are accepted without a place. */
#define FURTHER 64

static const kin_manager_type types[] = {{.name = "door", .shared = "Lock"},
                                         {.name = "gate", .shared = "Lock"}};

static kin_manager *start(size_t max_clients, int64_t grace_ns)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.address = "tcp://127.0.0.1:0",
                                                                .key = "k",
                                                                .key_size = 1,
                                                                .types = types,
                                                                .type_count = 2,
                                                                .max_clients = max_clients,
                                                                .grace_ns = grace_ns}));
    return manager;
}

static kin_manager *connect_at(const char *address)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
    return manager;
}

/* ---- places -------------------------------------------------------------------------------------- */

/* A connection of which only its client knows that it is broken. */
static kin_connection *tell_name(const char *address, const char *told)
{
    kin_connection *client = NULL;
    kin_value answer;
    int64_t answered = 0;
    CHECK_OK(kin_client_open(&client, address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    client_ask(client, kin_value_none(), "accept_connection", kin_value_build("(s)", told), SOON);
    client_hear(client, &answer, SOON);
    CHECK_STR(kin_value_get_str(kin_value_at(&answer, 0), NULL), "#RETURN");
    /* It is known, or was not here before. */
    CHECK_OK(kin_value_get_int(kin_value_at(kin_value_at(&answer, 1), 2), &answered));
    CHECK_EQ(answered, 0);
    kin_value_clear(&answer);
    return client;
}

static void *come_later(void *address)
{
    CHECK_OK(kin_manager_close(connect_at(address)));
    return NULL;
}

static void check_full(const char *address)
{
    kin_manager *late = NULL;
    CHECK_RC(kin_manager_connect(&late, address, "k", 1, BRIEFLY), -ETIMEDOUT);
}

TEST(who_comes_back_needs_no_further_place)
{
    static const char first[] = "kin/1 0123456789abcdef0123456789abcdef 0",
                      again[] = "kin/1 0123456789abcdef0123456789abcdef 1",
                      stranger[] = "kin/1 ffffffffffffffffffffffffffffffff 1";
    kin_connection *unplaced = NULL;
    pthread_t later;
    char byte;
    /* One place is this process's own. */
    kin_manager *manager = start(2, GRACE);
    const char *address = kin_manager_address(manager);
    kin_connection *old = tell_name(address, first);
    check_full(address);
    /* A name that nobody knows does not help. */
    CHECK_OK(kin_client_open(&unplaced, address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    client_ask(unplaced, kin_value_none(), "accept_connection", kin_value_build("(s)", stranger), SOON);
    kin_connection *new = tell_name(address, again);
    CHECK_RC(kin_connection_recv(old, &byte, 1, SOON), KIN_ECLOSED);
    CHECK_OK(kin_connection_close(old));
    CHECK_RC(kin_connection_recv(unplaced, &byte, 1, BRIEFLY), -ETIMEDOUT);
    CHECK_OK(kin_connection_close(unplaced));
    check_full(address);
    /* Away, and back in a place of its own although another client has its former one. */
    CHECK_OK(kin_connection_close(new));
    kin_connection *other = tell_name(address, "kin/1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0");
    new = tell_name(address, again);
    CHECK_OK(pthread_create(&later, NULL, come_later, (void *)(uintptr_t)address));
    CHECK_OK(kin_connection_close(new));
    CHECK_OK(kin_connection_close(other));
    CHECK_OK(pthread_join(later, NULL));
    CHECK_OK(kin_manager_close(manager));
}

static kin_connection *tell_number(const char *address, int number, bool again)
{
    char told[64];
    snprintf(told, sizeof told, "kin/1 %032x %d", number, again);
    return tell_name(address, told);
}

/* Those that have proved a key and those that have not; and all that there are in the queue before the one. */
TEST(who_asks_for_nothing_keeps_nobody_out)
{
    kin_connection *silent[FURTHER];
    int strangers[FURTHER + 1];
    kin_manager *manager = start(2, GRACE);
    const char *address = kin_manager_address(manager);
    kin_connection *old = tell_number(address, 1, false);
    for (int i = 0; i < FURTHER; i++)
        CHECK_OK(
            kin_client_open(&silent[i], address, &(kin_client_options){.key = "k", .key_size = 1}, SOON));
    for (int i = 0; i <= FURTHER; i++) strangers[i] = loopback_connect("127.0.0.1", address);
    kin_connection *new = tell_number(address, 1, true);
    CHECK_OK(kin_connection_close(old));
    CHECK_OK(kin_connection_close(new));
    for (int i = 0; i < FURTHER; i++) CHECK_OK(kin_connection_close(silent[i]));
    for (int i = 0; i <= FURTHER; i++) CHECK_OK(close(strangers[i]));
    CHECK_OK(kin_manager_close(manager));
}

static void close_all(kin_connection **clients, int count)
{
    for (int i = 0; i < count; i++) CHECK_OK(kin_connection_close(clients[i]));
}

/* After a break that all have had, and others have come; and after the next one. */
TEST(all_come_back_over_the_limit)
{
    enum { CLIENTS = FURTHER + 2 };
    kin_connection *first[CLIENTS], *others[CLIENTS];
    kin_manager *manager = start(CLIENTS + 1, GRACE);
    const char *address = kin_manager_address(manager);
    for (int i = 0; i < CLIENTS; i++) first[i] = tell_number(address, i, false);
    close_all(first, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) others[i] = tell_number(address, CLIENTS + i, false);
    check_full(address);
    for (int i = 0; i < CLIENTS; i++) first[i] = tell_number(address, i, true);
    check_full(address);
    close_all(first, CLIENTS);
    close_all(others, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        first[i] = tell_number(address, i, true);
        others[i] = tell_number(address, CLIENTS + i, true);
    }
    close_all(first, CLIENTS);
    close_all(others, CLIENTS);
    CHECK_OK(kin_manager_close(manager));
}

/* ---- calls without a deadline ----------------------------------------------------------------------- */

static void *go_on_later(void *relay)
{
    double since = test_seconds();
    /* Longer than the answer to an acquire is waited for. */
    test_until(test_seconds() > since + 1.3);
    CHECK_OK(kill(((struct relay *)relay)->process, SIGCONT));
    return NULL;
}

TEST(a_release_waits_for_the_link)
{
    kin_manager *here = start(0, GRACE);
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *door = manager_object(there, "door", SOON), *door_here = manager_object(here, "door", SOON);
    pthread_t later;
    siginfo_t info;
    CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_EQ(relay_cut(&relay), 2);
    CHECK_OK(kill(relay.process, SIGSTOP));
    CHECK_OK(waitid(P_PID, (id_t)relay.process, &info, WSTOPPED));
    CHECK_OK(pthread_create(&later, NULL, go_on_later, &relay));
    CHECK_OK(kin_proxy_release(door));
    CHECK_RC(kin_proxy_acquire(door_here, KIN_NOW), 0);
    CHECK_OK(pthread_join(later, NULL));
    CHECK_OK(kin_proxy_release(door_here));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(there));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}

/* Another one may have the lock: -ETIMEDOUT would say that it is the caller's still. */
TEST(who_cannot_come_back_is_told_so)
{
    kin_manager *here = start(0, INT64_C(300000000));
    struct relay relay = relay_start(kin_manager_address(here), 0);
    kin_manager *there = connect_at(relay.address);
    kin_proxy *door = manager_object(there, "door", SOON), *gate = manager_object(there, "gate", SOON),
              *door_here = manager_object(here, "door", SOON);
    siginfo_t info;
    CHECK_OK(kin_proxy_acquire(door, SOON));
    CHECK_EQ(relay_cut(&relay), 2);
    CHECK_OK(kill(relay.process, SIGSTOP));
    CHECK_OK(waitid(P_PID, (id_t)relay.process, &info, WSTOPPED));
    CHECK_RC(kin_proxy_acquire(gate, KIN_FOREVER), -ECONNRESET);
    CHECK_GE(kin_proxy_acquire(door_here, SOON), 0);
    CHECK_OK(kin_proxy_release(door_here));
    CHECK_OK(kill(relay.process, SIGCONT));
    /* The references are gone too. */
    kin_proxy_close(door);
    kin_proxy_close(gate);
    CHECK_OK(kin_proxy_close(door_here));
    CHECK_OK(kin_manager_close(there));
    relay_end(&relay);
    CHECK_OK(kin_manager_close(here));
}
