/* test_manager_tls.c: a manager over TLS, with the key as proof of both sides. */
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/queue.h>

#define SOON kin_in_s(20)

static kin_manager *start(void)
{
    static const kin_manager_type types[] = {{.name = "jobs", .shared = "TaskQueue"}};
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){.address = "tls://127.0.0.1:0", .types = types, .type_count = 1}));
    CHECK_EQ(strncmp(kin_manager_address(manager), "tls://127.0.0.1:", 16), 0);
    return manager;
}

/* Values of all sizes around those of TLS's records and of the server's buffers. */
TEST(values_go_there_and_back)
{
    static char bytes[3 << 20];
    kin_manager *manager = start();
    kin_proxy *list = NULL;
    kin_value item;
    size_t size = 0;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7 + i / 251);
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), SOON));
    for (size_t length = 1; length <= sizeof bytes; length = length * 3 + 5) {
        CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(v)", kin_value_bytes(bytes, length)), NULL,
                                SOON));
        CHECK_OK(kin_proxy_call(list, "pop", kin_value_none(), &item, SOON));
        const void *got = kin_value_get_bytes(&item, &size);
        CHECK_EQ(size, length);
        CHECK_MEM(got, bytes, length);
        kin_value_clear(&item);
    }
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

static void work(void *queue)
{
    char bytes[8];
    while (kin_queue_get(queue, bytes, sizeof bytes, SOON) == 3) CHECK_OK(kin_queue_task_done(queue));
}

TEST(processes_share_a_queue_over_tls)
{
    kin_manager *manager = start();
    kin_queue *queue = NULL;
    kin_queue_options options = {.address = kin_manager_address(manager), .name = "jobs"};
    pid_t workers[3];
    options.key = kin_manager_key(manager, &options.key_size);
    CHECK_OK(kin_queue_open(&queue, &options));
    for (int i = 0; i < 3; i++) workers[i] = test_child(work, queue);
    for (int i = 0; i < 100; i++) CHECK_OK(kin_queue_put(queue, "job", 3, SOON));
    CHECK_OK(kin_queue_join(queue, SOON));
    CHECK_OK(kin_queue_shutdown(queue, 0));
    for (int i = 0; i < 3; i++) CHECK_EQ(test_collect(workers[i]), 0);
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_manager_close(manager));
}

TEST(who_has_no_key_or_no_tls_is_refused)
{
    kin_manager *manager = start(), *other = NULL;
    kin_connection *plain = NULL;
    kin_proxy *list = NULL;
    char address[64];
    size_t size;
    const void *key = kin_manager_key(manager, &size);
    CHECK_RC(kin_manager_connect(&other, kin_manager_address(manager), "wrong", 5, SOON),
             KIN_EAUTHENTICATION);
    snprintf(address, sizeof address, "tcp%s", kin_manager_address(manager) + 3);
    CHECK_LT(
        kin_client_open(&plain, address, &(kin_client_options){.key = key, .key_size = size}, kin_in_ms(200)),
        0);
    CHECK_OK(kin_client_open(&plain, address, NULL, SOON));
    CHECK_OK(kin_connection_send(plain, "no record of TLS", 16, SOON));
    CHECK_LT(kin_connection_recv(plain, address, sizeof address, SOON), 0);
    CHECK_OK(kin_connection_close(plain));
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

/* The key of the options is what TLS uses. */
TEST(tls_needs_a_key_of_the_managers)
{
    static const kin_manager_credential only = {.key = "abc", .key_size = 3};
    CHECK_RC(kin_manager_serve(&(kin_manager_options){
                 .address = "tls://127.0.0.1:0", .credentials = &only, .credential_count = 1}),
             -EINVAL);
}
