/* test_manager_hosts.c: a manager and its clients on different hosts, whose links are cut without a word to either end: a
 * client that does not come back loses what it held, one that comes back in time has it still.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/log.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/hosts.h"

#define SOON      kin_in_s(40)
#define SECOND_NS INT64_C(1000000000)
#define HOSTS     2

static const kin_manager_type types[] = {
    {.name = "door", .shared = "Lock"},
    {.name = "tasks", .shared = "TaskQueue"},
    {.name = "results", .shared = "Queue"},
};

static struct {
    char port[16]; /* as ":40123"; empty while nobody serves */
    int stage;
    int away; /* connections that broke and may be made again */
} * shared;

static pid_t owner;
static kin_manager_options serving;

static void note_address(const char *address, void *unused)
{
    (void)unused;
    snprintf(shared->port, sizeof shared->port, "%s", strrchr(address, ':'));
}

static void note_away(enum kin_log_level level, const char *line, void *unused)
{
    (void)level;
    (void)unused;
    if (strstr(line, "may come back") != NULL) __atomic_fetch_add(&shared->away, 1, __ATOMIC_SEQ_CST);
}

static void serve(void *unused)
{
    (void)unused;
    kin_log_set(note_away, KIN_LOG_INFO, NULL);
    hosts_enter(owner, 0);
    CHECK_OK(kin_manager_serve(&serving));
}

static pid_t begin(unsigned silence_s, int64_t grace_ns, int64_t lease_ns)
{
    shared = test_shared(sizeof *shared);
    owner = getpid();
    serving = (kin_manager_options){.address = "tcp://0.0.0.0:0",
                                    .key = "k",
                                    .key_size = 1,
                                    .types = types,
                                    .type_count = 3,
                                    .silence_s = silence_s,
                                    .grace_ns = grace_ns,
                                    .lease_ns = lease_ns,
                                    .ready = note_address};
    hosts_make(HOSTS);
    pid_t server = test_child(serve, NULL);
    test_until(shared->port[0] != '\0');
    return server;
}

static kin_manager *connect_from(int host)
{
    kin_manager *manager = NULL;
    char address[64];
    hosts_enter(owner, host);
    snprintf(address, sizeof address, "tcp://10.83.%d.1%s", host, shared->port);
    CHECK_OK(kin_manager_connect_with(
        &manager, address, &(kin_client_options){.key = "k", .key_size = 1, .silence_s = 1}, SOON));
    return manager;
}

static void reach(int stage)
{
    __atomic_store_n(&shared->stage, stage, __ATOMIC_SEQ_CST);
}

static void wait_for(int stage)
{
    test_until(__atomic_load_n(&shared->stage, __ATOMIC_SEQ_CST) >= stage);
}

static void shut_down(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_from(HOSTS);
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
}

static void finish(pid_t server)
{
    CHECK_EQ(test_collect(test_child(shut_down, NULL)), 0);
    CHECK_EQ(test_collect(server), 0);
    hosts_remove(HOSTS);
}

/* ---- one that does not come back ------------------------------------------------------------------------- */

static void vanish(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_from(1);
    kin_proxy *door = manager_object(manager, "door", SOON), *tasks = manager_object(manager, "tasks", SOON),
              *again = NULL;
    kin_value task;
    CHECK_OK(kin_proxy_put(tasks, kin_value_int(7), SOON));
    CHECK_OK(kin_proxy_get(tasks, &task, SOON));
    CHECK_OK(kin_proxy_acquire(door, SOON));
    reach(1);
    wait_for(3);
    /* It learns that it has nothing any more, and begins anew. */
    CHECK_LT(kin_proxy_release(door), 0);
    test_until(kin_manager_create(manager, &again, "results", kin_value_none(), SOON) == 0);
    CHECK_OK(kin_proxy_put(again, kin_value_int(8), SOON));
    CHECK_OK(kin_proxy_close(again));
    kin_proxy_close(door);
    kin_proxy_close(tasks);
    CHECK_OK(kin_manager_close(manager));
}

static void inherit(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_from(2);
    kin_proxy *door = manager_object(manager, "door", SOON), *tasks = manager_object(manager, "tasks", SOON);
    kin_proxy *results = manager_object(manager, "results", SOON);
    kin_value item;
    int64_t got = 0;
    wait_for(2);
    CHECK_RC(kin_proxy_acquire(door, SOON), KIN_OWNER_DIED);
    CHECK_OK(kin_proxy_get(tasks, &item, SOON));
    CHECK_OK(kin_value_get_int(&item, &got));
    CHECK_EQ(got, 7);
    reach(3);
    CHECK_OK(kin_proxy_get(results, &item, SOON));
    CHECK_OK(kin_value_get_int(&item, &got));
    CHECK_EQ(got, 8);
    CHECK_OK(kin_proxy_release(door));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_manager_close(manager));
}

static void cut_for_good(unsigned silence_s, int64_t lease_ns)
{
    pid_t server = begin(silence_s, 0, lease_ns);
    pid_t first = test_child(vanish, NULL);
    wait_for(1);
    pid_t second = test_child(inherit, NULL);
    hosts_link(1, false);
    reach(2);
    wait_for(3);
    hosts_link(1, true);
    CHECK_EQ(test_collect(first), 0);
    CHECK_EQ(test_collect(second), 0);
    finish(server);
}

TEST(a_host_that_is_cut_off_loses_what_it_held, .deadline = 120)
{
    cut_for_good(1, 0);
}

/* … and by its lease, long before it is noticed that the host does not answer. */
TEST(a_lease_ends_without_a_word, .deadline = 120)
{
    cut_for_good(3600, test_sanitized() ? 3 * SECOND_NS : SECOND_NS);
}

/* ---- one that comes back ----------------------------------------------------------------------------------- */

static void come_back(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_from(1);
    kin_proxy *door = manager_object(manager, "door", SOON), *tasks = manager_object(manager, "tasks", SOON);
    kin_value task;
    CHECK_OK(kin_proxy_put(tasks, kin_value_int(1), SOON));
    CHECK_OK(kin_proxy_put(tasks, kin_value_int(2), SOON));
    CHECK_OK(kin_proxy_get(tasks, &task, SOON));
    CHECK_OK(kin_proxy_acquire(door, SOON));
    reach(1);
    wait_for(2);
    /* It is asked while the link is cut, and answered when it is not any more. */
    CHECK_OK(kin_proxy_get(tasks, &task, SOON));
    int64_t got = 0;
    CHECK_OK(kin_value_get_int(&task, &got));
    CHECK_EQ(got, 2);
    for (int i = 0; i < 2; i++) CHECK_OK(kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_release(door));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_manager_close(manager));
}

static void find_it_held(void *unused)
{
    (void)unused;
    kin_manager *manager = connect_from(2);
    kin_proxy *door = manager_object(manager, "door", SOON), *tasks = manager_object(manager, "tasks", SOON);
    reach(2);
    /* The server has given both its connections up by then, and keeps what their client held. */
    test_until(__atomic_load_n(&shared->away, __ATOMIC_SEQ_CST) == 2);
    CHECK_RC(kin_proxy_acquire(door, kin_in_ms(500)), -ETIMEDOUT);
    reach(3);
    CHECK_RC(kin_proxy_acquire(door, SOON), 0);
    CHECK_OK(kin_proxy_call(tasks, "join", kin_value_none(), NULL, SOON));
    CHECK_OK(kin_proxy_release(door));
    CHECK_OK(kin_proxy_close(door));
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_manager_close(manager));
}

TEST(a_host_that_is_back_in_time_goes_on, .deadline = 120)
{
    pid_t server = begin(1, 60 * SECOND_NS, 0);
    pid_t first = test_child(come_back, NULL);
    wait_for(1);
    hosts_link(1, false);
    pid_t second = test_child(find_it_held, NULL);
    wait_for(3);
    hosts_link(1, true);
    CHECK_EQ(test_collect(first), 0);
    CHECK_EQ(test_collect(second), 0);
    finish(server);
}
