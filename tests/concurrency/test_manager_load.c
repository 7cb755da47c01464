/* test_manager_load.c: thousands of clients of one manager: what they cost, and that each gets what it waits for.
 *
 * They are connections of one process, which authenticates them one after the other.
 */
#define _GNU_SOURCE
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/pickle.h>

#define SOON kin_in_s(30)

static char address[64];
static int clients_wanted;

static void serve(void *unused)
{
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){
        .address = address, .key = "k", .key_size = 1, .max_clients = (size_t)clients_wanted + 100}));
}

/* Bytes of a process that are its own, in memory. */
static long private_memory(pid_t pid)
{
    char path[64], line[128];
    long kilobytes = 0, part;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Private_Dirty: %ld", &part) == 1 || sscanf(line, "Private_Clean: %ld", &part) == 1)
            kilobytes += part;
    }
    fclose(file);
    return kilobytes * 1024;
}

static void send_value(kin_connection *connection, kin_value value)
{
    kin_buffer bytes = {0};
    CHECK_OK(kin_pickle_dumps(&value, &bytes));
    CHECK_OK(kin_connection_send(connection, bytes.data, bytes.size, SOON));
    kin_buffer_free(&bytes);
    kin_value_clear(&value);
}

static int64_t recv_number(kin_connection *connection)
{
    char bytes[256];
    kin_value answer;
    int64_t number = -1;
    long size = kin_connection_recv(connection, bytes, sizeof bytes, SOON);
    CHECK_OK(size);
    CHECK_OK(kin_pickle_loads(&answer, bytes, (size_t)size, NULL));
    CHECK_STR(kin_value_get_str(kin_value_at(&answer, 0), NULL), "#RETURN");
    kin_value_get_int(kin_value_at(&answer, 1), &number);
    kin_value_clear(&answer);
    return number;
}

/* So many as there may be descriptors, up to `most`. */
static int affordable(int most)
{
    struct rlimit limit;
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    return limit.rlim_max < (rlim_t)most + 200 ? (int)limit.rlim_max - 200 : most;
}

/* Calls that one client makes in a second, while the others do whatever they do. */
static double calls_in_a_second(kin_proxy *queue)
{
    double begin = test_seconds();
    long calls = 0;
    for (; test_seconds() < begin + 0.3; calls++)
        CHECK_OK(kin_proxy_call(queue, "qsize", kin_value_none(), NULL, SOON));
    return (double)calls / (test_seconds() - begin);
}

TEST(ten_thousand_clients, .alone = true, .deadline = 120)
{
    int count = clients_wanted = affordable(test_sanitized() ? 400 : 10000), blocked = count / 10;
    kin_client_options options = {.key = "k", .key_size = 1};
    kin_connection **clients = calloc((size_t)count, sizeof *clients);
    bool *got = calloc((size_t)blocked, sizeof *got);
    kin_manager *manager = NULL;
    kin_proxy *queue = NULL;
    CHECK(clients != NULL && got != NULL);
    if (count < 100) SKIP("there may be only %d descriptors", count + 200);
    snprintf(address, sizeof address, "unix:@kin-test-load-%d", (int)getpid());
    pid_t server = test_child(serve, NULL);
    test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
    CHECK_OK(kin_manager_create(manager, &queue, "Queue", kin_value_none(), SOON));
    double alone = calls_in_a_second(queue);
    long before = private_memory(server);
    for (int i = 0; i < count; i++) {
        CHECK_OK(kin_client_open(&clients[i], address, &options, SOON));
        send_value(clients[i], kin_value_build("(vs(s){})", kin_value_none(), "accept_connection", "c"));
        recv_number(clients[i]);
    }
    long each = (private_memory(server) - before) / count;
    NOTE("%d clients: %ld bytes each in the server", count, each);
    if (!test_sanitized()) CHECK_LE(each, 4096);
    NOTE("one client makes %.0f calls in a second, and %.0f beside those who are idle", alone,
         calls_in_a_second(queue));

    kin_value token = kin_proxy_value(queue), size;
    for (int i = 0; i < blocked; i++)
        send_value(clients[i], kin_value_build("(ss(){})", kin_value_token_id(&token), "get"));
    kin_value_clear(&token);
    /* Those who do not wait are served. */
    CHECK_OK(kin_proxy_call(queue, "qsize", kin_value_none(), &size, SOON));
    for (int i = 0; i < blocked; i++) CHECK_OK(kin_proxy_put(queue, kin_value_int(i), SOON));
    for (int i = 0; i < blocked; i++) {
        int64_t number = recv_number(clients[i]);
        CHECK(number >= 0 && number < blocked && !got[number]);
        got[number] = true;
    }
    for (int i = 0; i < count; i++) CHECK_OK(kin_connection_close(clients[i]));
    CHECK_OK(kin_proxy_close(queue));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
    free(clients);
    free(got);
}
