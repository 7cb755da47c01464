/* test_coroutine_kinds_manager.c: coroutines wait for what a manager holds, which another one changes, and for a
 * manager that does not answer. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "coroutine_kinds.h"

/* What the kinds wait for; each opens what it needs. */
static struct {
    kin_manager *manager;
    kin_manager *second;
    kin_proxy *proxy;
    kin_proxy *other;
    pid_t server;
    bool ends; /* it has been told to, or will be */
} at;

static char address[64];

/* ---- another coroutine calls the same object while one waits ------------------------------------------------------ */

static void make_proxy(const char *type, kin_value arguments)
{
    CHECK_OK(kin_manager_start(&at.manager, NULL));
    CHECK_OK(kin_manager_create(at.manager, &at.proxy, type, arguments, KIN_FOREVER));
}
static void queue_open(void)
{
    make_proxy("Queue", kin_value_none());
}
static int get(kin_deadline deadline)
{
    kin_value item = kin_value_none();
    int rc = kin_proxy_get(at.proxy, &item, deadline);
    kin_value_clear(&item);
    return rc;
}
static int put(kin_deadline deadline)
{
    return kin_proxy_put(at.proxy, kin_value_int(7), deadline);
}
static void queue_fill(void)
{
    CHECK_OK(put(KIN_FOREVER));
}
static void full_queue_open(void)
{
    make_proxy("Queue", kin_value_build("(i)", 1));
    queue_fill();
}
static void queue_drain(void)
{
    get(KIN_FOREVER);
}
static void semaphore_open(void)
{
    make_proxy("Semaphore", kin_value_build("(i)", 0));
}
static int acquire(kin_deadline deadline)
{
    return kin_proxy_acquire(at.proxy, deadline);
}
static void release(void)
{
    CHECK_OK(kin_proxy_release(at.proxy));
}
static void manager_close(void)
{
    CHECK_OK(kin_proxy_close(at.proxy));
    CHECK_OK(kin_manager_close(at.manager));
}

/* ---- a manager that is stopped ------------------------------------------------------------------------------------ */

static void serve(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = address, .key = "k", .key_size = 1}));
}
static int connect_to(kin_manager **manager, kin_deadline deadline)
{
    return kin_manager_connect(manager, address, "k", 1, deadline);
}
static void stopped_open(void)
{
    snprintf(address, sizeof address, "unix:@kin-test-kinds-%d", (int)getpid());
    at.server = test_child(serve, NULL);
    at.ends = false;
    test_until(connect_to(&at.manager, KIN_FOREVER) == 0);
    CHECK_OK(kin_manager_create(at.manager, &at.proxy, "list", kin_value_none(), KIN_FOREVER));
    CHECK_OK(kill(at.server, SIGSTOP));
}
static void let_go_on(void)
{
    CHECK_OK(kill(at.server, SIGCONT));
}
static void stopped_close(void)
{
    /* A connection that was given up may have been all that kept the object. */
    int rc = kin_proxy_close(at.proxy);
    if (rc != KIN_EREMOTE) CHECK_OK(rc);
    if (!at.ends) CHECK_OK(kin_manager_shutdown(at.manager, KIN_FOREVER));
    CHECK_OK(kin_manager_close(at.manager));
    CHECK_EQ(test_collect(at.server), 0);
}

static int connect_again(kin_deadline deadline)
{
    int rc = connect_to(&at.second, deadline);
    return rc == 0 ? kin_manager_close(at.second) : rc;
}
static int connect_with(kin_deadline deadline)
{
    kin_client_options options = {.key = "k", .key_size = 1};
    int rc = kin_manager_connect_with(&at.second, address, &options, deadline);
    return rc == 0 ? kin_manager_close(at.second) : rc;
}
static int ping(kin_deadline deadline)
{
    return kin_manager_ping(at.manager, deadline);
}
static int call(kin_deadline deadline)
{
    return kin_proxy_call(at.proxy, "append", kin_value_build("(i)", 1), NULL, deadline);
}
static int call_many(kin_deadline deadline)
{
    kin_call calls[2];
    for (int i = 0; i < 2; i++)
        calls[i] = (kin_call){.proxy = at.proxy, .method = "append", .arguments = kin_value_build("(i)", i)};
    int rc = kin_proxy_call_many(calls, 2, deadline);
    for (int i = 0; i < 2; i++) CHECK_RC(calls[i].rc, rc);
    return rc;
}
static int create(kin_deadline deadline)
{
    int rc = kin_manager_create(at.manager, &at.other, "list", kin_value_none(), deadline);
    return rc == 0 ? kin_proxy_close(at.other) : rc;
}
static int proxy(kin_deadline deadline)
{
    kin_value value = kin_proxy_value(at.proxy);
    int rc = kin_manager_proxy(at.manager, &at.other, &value, deadline);
    kin_value_clear(&value);
    return rc == 0 ? kin_proxy_close(at.other) : rc;
}
/* What was sent before the deadline is heard. */
static int shut_down(kin_deadline deadline)
{
    at.ends = true;
    return kin_manager_shutdown(at.manager, deadline);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

const struct kind kinds[] = {
    {"manager, get", queue_open, get, queue_fill, manager_close, KIN_EMPTY},
    {"manager, put", full_queue_open, put, queue_drain, manager_close, KIN_FULL},
    {"manager, acquire", semaphore_open, acquire, release, manager_close, -ETIMEDOUT},
    {"manager, connect", stopped_open, connect_again, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, connect with", stopped_open, connect_with, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, ping", stopped_open, ping, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, call", stopped_open, call, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, call many", stopped_open, call_many, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, create", stopped_open, create, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, proxy", stopped_open, proxy, let_go_on, stopped_close, -ETIMEDOUT},
    {"manager, shutdown", stopped_open, shut_down, let_go_on, stopped_close, -ETIMEDOUT},
    {NULL, NULL, NULL, NULL, NULL, 0},
};
