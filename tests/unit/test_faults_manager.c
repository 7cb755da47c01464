/* test_faults_manager.c: every call of the system that starting a manager, or connecting to one, makes
 * fails once: it is an error, and nothing is left behind. */
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>

#include <kin/error.h>
#include <kin/manager.h>

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

static int connect(void *context)
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
        faults(&(struct faults){.make = connect, .unmake = close_manager, .context = &manager});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_manager_close(server));
}
