/* test_connection_value.c: values over pipes and streams. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <sys/socket.h>

#include <kin/connection_value.h>
#include <kin/container.h>
#include <kin/error.h>
#include <kin/process.h>

struct ends {
    kin_connection *here;
    kin_connection *there;
};

static struct ends open_ends(bool stream)
{
    struct ends ends = {NULL, NULL};
    int sockets[2];
    if (!stream) {
        CHECK_OK(kin_pipe_open(&ends.here, &ends.there, NULL));
        return ends;
    }
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    CHECK_OK(kin_connection_open(&ends.here, sockets[0]));
    CHECK_OK(kin_connection_open(&ends.there, sockets[1]));
    return ends;
}

static void close_ends(struct ends *ends)
{
    CHECK_OK(kin_connection_close(ends->here));
    CHECK_OK(kin_connection_close(ends->there));
}

static int echo(void *end)
{
    kin_value value;
    int rc;
    while ((rc = kin_connection_recv_value(end, &value, NULL, KIN_FOREVER)) == 0) {
        CHECK_RC(kin_connection_send_value(end, &value, KIN_FOREVER), 0);
        kin_value_clear(&value);
    }
    return rc != KIN_ECLOSED;
}

TEST(values_come_back_as_they_went)
{
    static char large[3000000];
    kin_value values[] = {kin_value_none(), kin_value_build("{s:[idb], s:(N)}", "x", 1, 0.5, 1, "y"),
                          kin_value_bytes(large, 4000), kin_value_bytes(large, 5000),
                          kin_value_bytes(large, sizeof large)};
    for (int stream = 0; stream < 2; stream++) {
        struct ends ends = open_ends(stream);
        kin_process *child = NULL;
        int code = -1;
        CHECK_OK(kin_process_start(&child, echo, ends.there, NULL));
        CHECK_OK(kin_connection_close(ends.there));
        for (int i = 0; i < 5; i++) {
            kin_value back;
            CHECK_RC(kin_connection_send_value(ends.here, &values[i], KIN_FOREVER), 0);
            CHECK_RC(kin_connection_recv_value(ends.here, &back, NULL, KIN_FOREVER), 0);
            CHECK_EQ(kin_value_equal(&values[i], &back), 1);
            kin_value_clear(&back);
        }
        CHECK_OK(kin_connection_close(ends.here));
        CHECK_OK(kin_process_join(child, KIN_FOREVER));
        CHECK_OK(kin_process_exit_code(child, &code));
        CHECK_EQ(code, 0);
        CHECK_OK(kin_process_close(child));
    }
    for (int i = 0; i < 5; i++) kin_value_clear(&values[i]);
}

TEST(errors_are_exact_and_lose_nothing)
{
    static char large[10000];
    for (int stream = 0; stream < 2; stream++) {
        struct ends ends = open_ends(stream);
        kin_value value = kin_value_bytes(large, sizeof large), back = value;
        CHECK_RC(kin_connection_recv_value(ends.there, &back, NULL, KIN_NOW), -ETIMEDOUT);
        CHECK_EQ(kin_value_kind(&back), KIN_VALUE_NONE);
        CHECK_RC(kin_connection_recv_value(ends.there, NULL, NULL, KIN_NOW), -EINVAL);
        CHECK_RC(kin_connection_recv_value(NULL, &back, NULL, KIN_NOW), -EINVAL);
        CHECK_RC(kin_connection_send_value(ends.here, NULL, KIN_NOW), -EINVAL);
        CHECK_RC(kin_connection_send_value(NULL, &value, KIN_NOW), -EINVAL);
        kin_value failed = kin_value_failed(-EPERM);
        CHECK_RC(kin_connection_send_value(ends.here, &failed, KIN_NOW), -EPERM);
        CHECK_RC(kin_connection_send_value(ends.here, &value, KIN_FOREVER), 0);
        /* What is too long stays. */
        const kin_pickle_options little[] = {{.max_size = 100}, {.max_size = 9000}, {.max_size = 11000}};
        for (int i = 0; i < 2; i++) {
            CHECK_RC(kin_connection_recv_value(ends.there, &back, &little[i], KIN_NOW), KIN_ETOOSMALL);
            CHECK(kin_needed_size() > sizeof large);
        }
        CHECK_RC(kin_connection_recv_value(ends.there, &back, &little[2], KIN_NOW), 0);
        CHECK_EQ(kin_value_equal(&value, &back), 1);
        kin_value_clear(&back);
        kin_value_clear(&value);
        /* What is no value does not stay. */
        CHECK_RC(kin_connection_send(ends.here, "no pickle", 9, KIN_NOW), 0);
        CHECK_RC(kin_connection_recv_value(ends.there, &back, NULL, KIN_NOW), KIN_EPICKLE);
        CHECK_RC(kin_connection_recv_value(ends.there, &back, NULL, KIN_NOW), -ETIMEDOUT);
        close_ends(&ends);
    }
}
