/* test_faults_manager.c: every call of the system that starting a manager, or connecting to one, makes
 * fails once: it is an error, and nothing is left behind.  So does memory while an object is changed: then it is as it was. */
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "manager/object.h"
#include "manager/sequence.h"

static int start(void *context)
{
    return kin_manager_start(context, NULL);
}

static int close_manager(void *context)
{
    return kin_manager_close(*(kin_manager **)context);
}

TEST(starting_under_faults)
{
    kin_manager *manager = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = start, .unmake = close_manager, .context = &manager});
    CHECK_GT(report.failures, 0);
}

static kin_manager *server;

static int connect_to_it(void *context)
{
    size_t size;
    const void *key = kin_manager_key(server, &size);
    return kin_manager_connect(context, kin_manager_address(server), key, size, kin_in_s(20));
}

TEST(connecting_under_faults)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(&server, NULL));
    struct faults_report report =
        faults(&(struct faults){.make = connect_to_it, .unmake = close_manager, .context = &manager});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_manager_close(server));
}

/* ---- changing a list ------------------------------------------------------------------------------------ */

#define OLD 3
#define NEW 40 /* for which a list gets memory several times */

static struct {
    struct kin__server server;
    kin_value list, slice, items;
} keeper;

static void fill(void)
{
    keeper.list = kin_value_build("[iii]", 1, 2, 3);
    CHECK_EQ(kin_value_len(&keeper.list), OLD);
}

static int set_slice(void *unused)
{
    (void)unused;
    struct kin__call call = {
        .server = &keeper.server, .has_proxies = true, .argument = {&keeper.slice, &keeper.items}};
    enum kin__outcome outcome = kin__set_slice(&call, &keeper.list);
    kin_value_clear(&call.result);
    if (outcome == KIN__RETURN) return 0;
    int64_t item = 0;
    CHECK_EQ(kin_value_len(&keeper.list), OLD);
    for (long i = 0; i < OLD; i++) {
        CHECK_OK(kin_value_get_int(kin_value_at(&keeper.list, i), &item));
        CHECK_EQ(item, i + 1);
    }
    CHECK_EQ(keeper.server.kept_proxies, 0);
    return -ENOMEM;
}

static int unset_slice(void *unused)
{
    (void)unused;
    CHECK_EQ(kin_value_len(&keeper.list), 2 + NEW);
    CHECK_EQ(keeper.server.kept_proxies, NEW);
    kin__unkeep(&keeper.server, &keeper.list);
    CHECK_EQ(keeper.server.kept_proxies, 0);
    fill();
    return 0;
}

/* numbers[1:2] = forty proxies of one object. */
TEST(a_slice_is_set_or_nothing_has_changed)
{
    static const struct kin__type type = {.name = "thing", .size = sizeof(struct kin__managed)};
    struct kin__managed *object = kin__managed_make(&keeper.server, &type);
    char ident[KIN__IDENT_SIZE];
    CHECK(object != NULL);
    kin__managed_ident(object, ident);
    keeper.slice = kin_value_slice(kin_value_int(1), kin_value_int(2), kin_value_none());
    keeper.items = kin_value_list(NULL, 0);
    for (int i = 0; i < NEW; i++)
        CHECK_OK(kin_value_list_append(&keeper.items, kin_value_token("thing", kin_value_none(), ident)));
    fill();
    struct faults_report report =
        faults(&(struct faults){.make = set_slice, .unmake = unset_slice, .kinds = 1U << KIN__FAULT_MEMORY});
    CHECK_GT(report.failures, 0);
    kin_value_clear(&keeper.list);
    kin_value_clear(&keeper.slice);
    kin_value_clear(&keeper.items);
    kin__registry_drop(&keeper.server);
}
