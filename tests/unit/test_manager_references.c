/* test_manager_references.c: how long the objects of a manager live: those that a method makes and that values name
 * until the client has made a proxy, and no longer than that proxy.
 */
#include "support/managers.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>

#define SOON   kin_in_s(20)
#define ROUNDS 50
#define MOST   10

static kin_manager *manager;

static void begin(size_t client_objects, size_t max_objects)
{
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.key = "k",
                                                                .key_size = 1,
                                                                .client_objects = client_objects,
                                                                .max_objects = max_objects}));
}

static kin_proxy *make(const char *type)
{
    return manager_object(manager, type, SOON);
}

static int64_t count_objects(void)
{
    return manager_count_objects(kin_manager_address(manager), SOON);
}

static void check_raised(const char *text)
{
    char words[512];
    CHECK(kin_manager_error(manager) != NULL);
    kin_value_repr(kin_manager_error(manager), words, sizeof words);
    if (strstr(words, text) == NULL) FAIL("raised %s, not %s", words, text);
}

static void use_and_close(const kin_value *value)
{
    kin_proxy *proxy = NULL;
    CHECK_OK(kin_manager_proxy(manager, &proxy, value, SOON));
    CHECK_OK(kin_proxy_close(proxy));
}

TEST(what_a_method_made_goes_with_its_proxy)
{
    begin(0, 0);
    kin_proxy *dict = make("dict");
    for (int i = 0; i < ROUNDS; i++) {
        kin_value iterator;
        CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
        CHECK_EQ(count_objects(), 2);
        use_and_close(&iterator);
        CHECK_EQ(count_objects(), 1);
        kin_value_clear(&iterator);
    }
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
}

TEST(what_came_out_of_a_queue_goes_with_its_proxy)
{
    begin(0, 0);
    kin_proxy *queue = make("Queue");
    for (int i = 0; i < ROUNDS; i++) {
        kin_proxy *list = make("list");
        kin_value item;
        CHECK_OK(kin_proxy_put(queue, kin_proxy_value(list), SOON));
        CHECK_OK(kin_proxy_close(list));
        CHECK_OK(kin_proxy_get(queue, &item, SOON));
        CHECK_EQ(count_objects(), 2);
        use_and_close(&item);
        CHECK_EQ(count_objects(), 1);
        kin_value_clear(&item);
    }
    CHECK_OK(kin_proxy_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

static void use_once(void *value)
{
    use_and_close(value);
}

/* Each process has been given it apart, or may have. */
TEST(a_proxy_of_another_process_is_not_the_one_it_was_lent_for)
{
    begin(0, 0);
    kin_proxy *dict = make("dict");
    kin_value iterator;
    CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    CHECK_EQ(test_collect(test_child(use_once, &iterator)), 0);
    CHECK_EQ(count_objects(), 2);
    use_and_close(&iterator);
    CHECK_EQ(count_objects(), 1);
    kin_value_clear(&iterator);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
}

TEST(one_of_which_nobody_makes_a_proxy_is_not_kept_for_ever)
{
    begin(MOST, 0);
    kin_proxy *dict = make("dict"), *proxy = NULL;
    kin_value iterator = kin_value_none();
    for (int i = 0; i < ROUNDS; i++) {
        kin_value_clear(&iterator);
        CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    }
    CHECK_EQ(count_objects(), 1 + MOST);
    /* What was lent last is there. */
    CHECK_OK(kin_manager_proxy(manager, &proxy, &iterator, SOON));
    CHECK_RC(kin_proxy_call(proxy, "__next__", kin_value_none(), NULL, SOON), KIN_EREMOTE);
    check_raised("StopIteration()");
    CHECK_OK(kin_proxy_close(proxy));
    kin_value_clear(&iterator);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
}

/* More than stays of several answers. */
TEST(what_one_answer_names_is_all_there)
{
    begin(MOST, 0);
    kin_proxy *queue = make("Queue");
    kin_value all = kin_value_list(NULL, 0), got;
    for (int i = 0; i < ROUNDS; i++) {
        kin_proxy *list = make("list");
        CHECK_OK(kin_value_list_append(&all, kin_proxy_value(list)));
        CHECK_OK(kin_proxy_put(queue, kin_proxy_value(list), SOON));
        CHECK_OK(kin_proxy_close(list));
    }
    CHECK_OK(kin_proxy_put(queue, all, SOON));
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_OK(kin_proxy_get(queue, &got, SOON));
        kin_value_clear(&got);
    }
    CHECK_OK(kin_proxy_get(queue, &got, SOON));
    for (int i = 0; i < ROUNDS; i++) use_and_close(kin_value_at(&got, i));
    CHECK_EQ(count_objects(), 1);
    kin_value_clear(&got);
    CHECK_OK(kin_proxy_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

TEST(what_methods_make_counts_for_the_limit)
{
    begin(0, 3);
    kin_proxy *dict = make("dict"), *condition = NULL;
    kin_value iterator;
    CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    kin_value_clear(&iterator);
    CHECK_RC(kin_manager_create(manager, &condition, "Condition", kin_value_none(), SOON), KIN_EREMOTE);
    check_raised("MemoryError: this manager has as many objects as it may");
    CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    kin_value_clear(&iterator);
    CHECK_RC(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON), KIN_EREMOTE);
    check_raised("MemoryError('this manager has as many objects as it may')");
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
}

TEST(a_proxy_of_what_a_value_names_counts_for_the_limit)
{
    begin(2, 0);
    kin_proxy *dict = make("dict"), *first = NULL, *second = NULL;
    kin_value iterator;
    CHECK_OK(kin_proxy_call(dict, "__iter__", kin_value_none(), &iterator, SOON));
    CHECK_OK(kin_manager_proxy(manager, &first, &iterator, SOON));
    CHECK_RC(kin_manager_proxy(manager, &second, &iterator, SOON), KIN_EREMOTE);
    check_raised("MemoryError: this client has as many objects as it may");
    CHECK_OK(kin_proxy_close(first));
    kin_value_clear(&iterator);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(manager));
}
