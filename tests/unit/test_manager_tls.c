/* test_manager_tls.c: a manager over TLS, with the key as proof of both sides, or certificates. */
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/listener.h>
#include <kin/log.h>
#include <kin/manager.h>
#include <kin/object.h>
#include <kin/queue.h>

#include "support/certificates.h"

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

/* ---- certificates ------------------------------------------------------------------------------- */

static int ends[2]; /* of a pipe, by which the server says its address */

static void say_address(const char *address, void *unused)
{
    (void)unused;
    CHECK_EQ(write(ends[1], address, strlen(address) + 1), (long)strlen(address) + 1);
}

static char *logged; /* shared with the server: the last line */

static void note_line(enum kin_log_level level, const char *line, void *unused)
{
    (void)level;
    (void)unused;
    snprintf(logged, 512, "%s", line);
}

static void serve(void *unused)
{
    kin_log_set(note_line, KIN_LOG_WARNING, NULL);
    static const kin_manager_permission rules[] = {{"dict", KIN_MAY_WRITE}};
    static const kin_manager_credential guest = {
        .name = "guest", .key = "guest", .key_size = 5, .permissions = rules, .permission_count = 1};
    (void)unused;
    CHECK_OK(kin_manager_serve(&(kin_manager_options){.address = "tls://127.0.0.1:0",
                                                      .key = "k",
                                                      .key_size = 1,
                                                      .credentials = &guest,
                                                      .credential_count = 1,
                                                      .certificate = "server.pem",
                                                      .private_key = "server.key",
                                                      .authorities = "authority.pem",
                                                      .ready = say_address}));
}

static int connect_by(const char *address, const char *key, const char *certificate, const char *authorities,
                      kin_manager **manager)
{
    const kin_client_options options = {.key = key,
                                        .key_size = strlen(key),
                                        .certificate = certificate,
                                        .private_key = certificate != NULL ? "client.key" : NULL,
                                        .authorities = authorities};
    return kin_manager_connect_with(manager, address, &options, SOON);
}

TEST(certificates_and_then_the_key)
{
    char address[64];
    kin_manager *manager = NULL, *other = NULL;
    kin_proxy *dict = NULL, *list = NULL;
    certificates_make();
    CHECK_OK(pipe(ends));
    logged = test_shared(512);
    pid_t server = test_child(serve, NULL);
    CHECK_GT(read(ends[0], address, sizeof address), 0);
    /* The files are not needed by those who have connected, nor are the texts that named them. */
    char authority[] = "authority.pem";
    CHECK_OK(connect_by(address, "k", "client.pem", authority, &manager));
    memset(authority, 'x', sizeof authority - 1);
    CHECK_OK(kin_manager_create(manager, &dict, "dict", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(dict, "__setitem__", kin_value_build("(si)", "a", 1), NULL, SOON));
    CHECK_OK(kin_proxy_close(dict));
    /* Each of the two proofs is needed. */
    CHECK_RC(connect_by(address, "wrong", "client.pem", "authority.pem", &other), KIN_EAUTHENTICATION);
    CHECK_RC(connect_by(address, "k", "client.pem", "alone.pem", &other), KIN_ECERTIFICATE);
    CHECK_LT(connect_by(address, "k", NULL, "authority.pem", &other), 0);
    /* There is nobody in the server who could ask kin_tls_text. */
    test_until(strstr(logged, " was refused: peer did not return a certificate") != NULL);
    CHECK_LT(connect_by(address, "k", NULL, NULL, &other), 0);
    /* Further keys are of use here. */
    CHECK_OK(connect_by(address, "guest", "client.pem", "authority.pem", &other));
    CHECK_OK(kin_manager_create(other, &dict, "dict", kin_value_none(), SOON));
    CHECK_RC(kin_manager_create(other, &list, "list", kin_value_none(), SOON), KIN_EREMOTE);
    CHECK_OK(kin_proxy_close(dict));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_shutdown(manager, SOON));
    CHECK_OK(kin_manager_close(manager));
    CHECK_EQ(test_collect(server), 0);
    close(ends[0]);
    close(ends[1]);
    certificates_remove();
}

/* The starter shows and believes what it is told to, and so do the processes that it forks. */
static void add_in_child(void *of_manager)
{
    kin_proxy *dict = NULL;
    CHECK_OK(kin_manager_create(of_manager, &dict, "dict", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(dict, "__setitem__", kin_value_build("(si)", "a", 1), NULL, SOON));
    CHECK_OK(kin_proxy_close(dict));
}

TEST(a_manager_with_certificates_is_started)
{
    char authority[] = "authority.pem", why[200];
    kin_manager *manager = NULL, *other = NULL;
    kin_manager_options options = {.address = "tls://127.0.0.1:0",
                                   .key = "k",
                                   .key_size = 1,
                                   .certificate = "server.pem",
                                   .private_key = "server.key",
                                   .authorities = "authority.pem",
                                   .client_authorities = authority,
                                   .client_certificate = "client.pem",
                                   .client_private_key = "client.key",
                                   .server_name = "localhost"};
    certificates_make();
    CHECK_OK(kin_manager_start(&manager, &options));
    memset(authority, 'x', sizeof authority - 1);
    add_in_child(manager);
    CHECK_EQ(test_collect(test_child(add_in_child, manager)), 0);
    CHECK_OK(connect_by(kin_manager_address(manager), "k", "client.pem", "authority.pem", &other));
    CHECK_OK(kin_manager_close(other));
    CHECK_OK(kin_manager_close(manager));

    options.client_authorities = "authority.pem";
    options.server_name = "elsewhere";
    CHECK_RC(kin_manager_start(&manager, &options), KIN_ECERTIFICATE);
    options.server_name = NULL;
    options.client_authorities = "alone.pem";
    CHECK_RC(kin_manager_start(&manager, &options), KIN_ECERTIFICATE);
    CHECK_OK(kin_tls_text(why, sizeof why));
    CHECK(strstr(why, "certificate verify failed") != NULL);
    /* No authority of this system's has signed it. */
    options.client_authorities = NULL;
    CHECK_RC(kin_manager_start(&manager, &options), KIN_ECERTIFICATE);
    options.client_authorities = "authority.pem";
    options.client_certificate = options.client_private_key = NULL;
    CHECK_LT(kin_manager_start(&manager, &options), 0);
    options.authorities = NULL;
    CHECK_OK(kin_manager_start(&manager, &options));
    CHECK_OK(kin_manager_close(manager));
    certificates_remove();
}

TEST(certificates_that_would_mislead_are_refused)
{
    kin_manager *manager = NULL;
    kin_manager_options options = {
        .address = "tcp://127.0.0.1:0", .key = "k", .key_size = 1, .certificate = "x.pem"};
    /* Nothing would be encrypted. */
    CHECK_RC(kin_manager_serve(&options), -EINVAL);
    options.address = "tls://127.0.0.1:0";
    CHECK_RC(kin_manager_serve(&options), -ENOENT);
    CHECK_RC(kin_manager_start(&manager, &options), -ENOENT);
    options.certificate = NULL;
    options.authorities = "x.pem";
    CHECK_RC(kin_manager_serve(&options), -EINVAL);
    /* It has none that these could have signed. */
    options.authorities = NULL;
    options.client_authorities = "x.pem";
    CHECK_RC(kin_manager_start(&manager, &options), -EINVAL);
}
