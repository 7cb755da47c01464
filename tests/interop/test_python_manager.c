/* test_python_manager.c: kin's clients of a manager of Python's: what they leave there, and what they cannot read. */
#include "program.h"

#include <stdint.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/managers.h"
#include "support/relay.h"

#define SOON   kin_in_s(20)
#define ROUNDS 20
#define MANY   256
#define FEW    3

static struct program server;
static kin_manager *manager;
static char address[64];

/* Returns whether there is a Python at all: its manager has this key. */
static bool begin_with(const char *key)
{
    const char *pythons[16];
    if (program_pythons(pythons, 16) == 0) return false;
    server = program_run(pythons[0], test_source("tests/interop/plain_manager.py"), key);
    const char *port = program_line(&server);
    CHECK(port != NULL);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%.8s", port);
    CHECK_OK(kin_manager_connect(&manager, address, *key != '\0' ? key : NULL, strlen(key), SOON));
    return true;
}

static bool begin(void)
{
    return begin_with("k");
}

static void end(void)
{
    CHECK_OK(kill(server.pid, SIGKILL));
    program_reap(&server);
}

static int64_t count_objects(void)
{
    return manager_count_objects(address, SOON);
}

/* An object that a method made: nobody else refers to it. */
static kin_value iterate(kin_proxy *dict)
{
    kin_value iterator;
    CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    CHECK_EQ(kin_value_kind(&iterator), KIN_VALUE_PROXY);
    return iterator;
}

static kin_proxy *proxy_of(const kin_value *value)
{
    kin_proxy *proxy = NULL;
    CHECK_OK(kin_manager_proxy(manager, &proxy, value, SOON));
    return proxy;
}

TEST(what_a_method_made_goes_with_its_proxies)
{
    if (!begin()) SKIP("there is no python3");
    kin_proxy *dict = manager_object(manager, "dict", SOON);
    for (int i = 0; i < ROUNDS; i++) {
        kin_value iterator = iterate(dict);
        kin_proxy *first = proxy_of(&iterator), *second = proxy_of(&iterator);
        CHECK_OK(kin_proxy_close(first));
        CHECK_EQ(count_objects(), 2);
        CHECK_RC(kin_proxy_call(second, "__next__", kin_value_none(), NULL, SOON), KIN_EREMOTE);
        CHECK_OK(kin_proxy_close(second));
        CHECK_EQ(count_objects(), 1);
        kin_value_clear(&iterator);
    }
    CHECK_OK(kin_proxy_close(dict));
    CHECK_EQ(count_objects(), 0);
    CHECK_OK(kin_manager_close(manager));
    end();
}

TEST(what_nobody_made_a_proxy_of_goes_with_the_handle)
{
    if (!begin()) SKIP("there is no python3");
    kin_call calls[FEW];
    kin_proxy *dict = manager_object(manager, "dict", SOON);
    for (int i = 0; i < FEW; i++) calls[i] = (kin_call){.proxy = dict, .method = "__iter__"};
    CHECK_OK(kin_proxy_call_many(calls, FEW, SOON));
    for (int i = 0; i < FEW; i++) {
        CHECK_OK(calls[i].rc);
        CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), NULL, SOON));
    }
    CHECK_EQ(count_objects(), 1 + 2 * FEW);
    CHECK_OK(kin_proxy_close(proxy_of(&calls[0].result)));
    CHECK_EQ(count_objects(), 2 * FEW);
    for (int i = 0; i < FEW; i++) kin_value_clear(&calls[i].result);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(count_objects(), 0);
    end();
}

static void use_and_close(void *value)
{
    CHECK_OK(kin_proxy_close(proxy_of(value)));
    CHECK_OK(kin_manager_close(manager));
}

/* A child has none of what its parent was given, and gives none of it back. */
TEST(a_child_leaves_its_parent_what_it_was_given)
{
    if (!begin()) SKIP("there is no python3");
    kin_proxy *dict = manager_object(manager, "dict", SOON);
    kin_value iterator = iterate(dict);
    CHECK_EQ(test_collect(test_child(use_and_close, &iterator)), 0);
    CHECK_EQ(count_objects(), 2);
    CHECK_OK(kin_proxy_close(proxy_of(&iterator)));
    CHECK_EQ(count_objects(), 1);
    kin_value_clear(&iterator);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
    end();
}

static void iterate_many(kin_proxy *dict)
{
    kin_call calls[MANY];
    for (int i = 0; i < MANY; i++) calls[i] = (kin_call){.proxy = dict, .method = "__iter__"};
    CHECK_OK(kin_proxy_call_many(calls, MANY, SOON));
    for (int i = 0; i < MANY; i++) kin_value_clear(&calls[i].result);
}

/* One more was given, and no more are there: at once, or after a call for which the server had no time. */
static bool stays_at(kin_proxy *dict, int64_t count)
{
    kin_value iterator = iterate(dict);
    kin_value_clear(&iterator);
    return count_objects() == count;
}

/* A client that goes on for years does not fill the server. */
TEST(what_came_long_ago_is_given_back)
{
    if (!begin()) SKIP("there is no python3");
    kin_proxy *dict = manager_object(manager, "dict", SOON);
    kin_value last;
    for (int i = 0; i < 4096 / MANY; i++) iterate_many(dict);
    CHECK_EQ(count_objects(), 1 + 4096);
    for (int i = 0; i < FEW; i++) test_until(stays_at(dict, 1 + 4096));
    last = iterate(dict);
    CHECK_OK(kin_proxy_close(proxy_of(&last)));
    test_until(count_objects() <= 4096 + 1);
    kin_value_clear(&last);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
    end();
}

/* A handle does not end later for all of them than for one. */
TEST(what_a_slow_server_has_not_taken_stays)
{
    if (!begin()) SKIP("there is no python3");
    /* To give one back takes four ways to the server and back, and so most of a second. */
    struct relay relay = relay_start(address, 100);
    kin_manager *slow = NULL;
    kin_call calls[ROUNDS];
    CHECK_OK(kin_manager_connect(&slow, relay.address, "k", 1, SOON));
    kin_proxy *dict = manager_object(slow, "dict", SOON);
    for (int i = 0; i < ROUNDS; i++) calls[i] = (kin_call){.proxy = dict, .method = "__iter__"};
    CHECK_OK(kin_proxy_call_many(calls, ROUNDS, SOON));
    for (int i = 0; i < ROUNDS; i++) kin_value_clear(&calls[i].result);
    CHECK_EQ(count_objects(), 1 + ROUNDS);
    CHECK_OK(kin_manager_close(slow));
    int64_t left = count_objects();
    CHECK_GE(left, 1 + ROUNDS - 2);
    CHECK_RC(kin_proxy_call(dict, "__iter__", kin_value_none(), NULL, SOON), KIN_ECLOSED);
    CHECK_EQ(count_objects(), left);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
    relay_end(&relay);
    end();
}

static void check_refused(kin_proxy *shelf, const char *method, const char *name, const char *class)
{
    char words[256];
    test_context("%s of %s", method, name);
    CHECK_RC(kin_proxy_call(shelf, method, kin_value_build("(s)", name), NULL, SOON), KIN_EREFUSED);
    CHECK(kin_manager_error(manager) != NULL);
    CHECK_OK(kin_value_text(kin_manager_error(manager), words, sizeof words));
    if (strstr(words, class) == NULL) FAIL("the error says %s", words);
    test_context(NULL);
}

TEST(containers_of_classes_that_kin_does_not_know_are_refused_by_name)
{
    static const struct {
        const char *name, *class;
    } refused[] = {{"ordered", "collections.OrderedDict"},
                   {"default", "collections.defaultdict"},
                   {"deque", "collections.deque"}};
    if (!begin()) SKIP("there is no python3");
    kin_proxy *shelf = manager_object(manager, "Shelf", SOON);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        check_refused(shelf, "get", refused[i].name, refused[i].class);
        check_refused(shelf, "inside", refused[i].name, refused[i].class);
    }
    kin_value date;
    CHECK_OK(kin_proxy_call(shelf, "get", kin_value_build("(s)", "date"), &date, SOON));
    CHECK(kin_value_class_is(&date, "datetime.date"));
    kin_value_clear(&date);
    CHECK_OK(kin_proxy_close(shelf));
    CHECK_OK(kin_manager_close(manager));
    end();
}

/* As a manager of Python's may have. */
TEST(a_key_may_be_of_no_byte)
{
    if (!begin_with("")) SKIP("there is no python3");
    kin_proxy *dict = manager_object(manager, "dict", SOON);
    CHECK_EQ(proxy_number(dict, "__len__", kin_value_none(), SOON), 0);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
    end();
}
