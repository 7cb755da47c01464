/* start.c: servers that a program starts: in a child, or in itself; and their ends. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include <kin/process.h>

#include "ipc/challenge.h"
#include "manager/manager.h"
#include "manager/permission.h"
#include "manager/server.h"
#include "os/os.h"
#include "os/suspend.h"
#include "process/fork.h"
#include "process/words.h"

#define KEY_SIZE 32

/* How long a server may take that has just been started, or is to end at once. */
#define START_SECONDS 10
#define END_SECONDS   1

/* ---- starting ------------------------------------------------------------------------------------------ */

/* PRIVATE to the process of a server that has a socket file, and which file that is: the server itself may be freed
 * already when its starter goes. */
static int serving;
static struct kin__address socket_address;
static uint64_t socket_file;

/* The starter is gone, and whatever the server is at, it ends here; only the file of its socket must not stay. */
static void on_starter_gone(int signal)
{
    (void)signal;
    if (kin__os_pid() == serving) kin__os_socket_file_remove(&socket_address, socket_file);
    kin__os_exit_now(255);
}

/* CRASH: a starter that is killed before leaves the file.  A server that is stopped then goes when it is
 * continued. */
static void watch_starter(const struct kin__server *server)
{
    socket_address = server->socket_address;
    socket_file = server->socket_file;
    serving = kin__os_pid();
    kin__os_signal_handle(SIGIO, on_starter_gone);
    if (kin__child_signal(SIGIO) == -EPIPE) on_starter_gone(SIGIO);
}

static int serve(void *of_server)
{
    struct kin__server *server = of_server;
    if (server->socket_file != 0) watch_starter(server);
    /* Ctrl-C at the terminal is for the program that started it. */
    kin__os_interrupt_ignore();
    int rc = kin__server_run(server);
    kin__server_close(server, true);
    return rc < 0;
}

static int start_server(kin_manager *manager, struct kin__server *server)
{
    /* It has what was made here. */
    const kin_process_options options = {.name = "Manager", .method = KIN_FORK, .daemon = true};
    int rc = kin_process_start(&manager->server, serve, server, &options);
    if (rc < 0) return rc;
    manager->starter = kin__os_pid();
    manager->socket_address = server->socket_address;
    manager->socket_file = server->socket_file;
    return kin__manager_connect(manager, kin_in_s(START_SECONDS));
}

/* Waits for the server that this process has started, and ends it at the deadline. */
static int await_server(kin_manager *manager, kin_deadline deadline)
{
    int rc = kin_process_join(manager->server, deadline);
    if (rc < 0) {
        kin_process_kill(manager->server);
        /* Not by waiting for its descriptor: that may be what has failed. */
        while (kin_process_is_alive(manager->server) == 1) kin__os_pause_until(kin_in_ms(1));
    }
    /* A server that was killed leaves the file of its socket behind. */
    if (manager->socket_file != 0) kin__os_socket_file_remove(&manager->socket_address, manager->socket_file);
    kin_process_close(manager->server);
    manager->server = NULL;
    return rc;
}

static void complete(kin_manager_options *given, const kin_manager_options *options, size_t size)
{
    *given = (kin_manager_options){0};
    if (options != NULL) memcpy(given, options, size < sizeof *given ? size : sizeof *given);
}

/* How the starter connects. */
static kin_client_options as_client(const kin_manager_options *options)
{
    return (kin_client_options){.key = options->key,
                                .key_size = options->key_size,
                                .certificate = options->client_certificate,
                                .private_key = options->client_private_key,
                                .authorities = options->client_authorities,
                                .system_authorities =
                                    options->certificate != NULL && options->client_authorities == NULL,
                                .server_name = options->server_name};
}

/* A text begins with this scheme. */
static bool is_tls(const char *address)
{
    return address != NULL && strncmp(address, "tls:", strlen("tls:")) == 0;
}

static int check_credentials(const kin_manager_options *options)
{
    if (options->credential_count > 0 && options->credentials == NULL)
        return kin__start_say(-EINVAL, "credential_count is given, and credentials is NULL");
    for (size_t i = 0; i < options->credential_count; i++) {
        const kin_manager_credential *credential = &options->credentials[i];
        const char *fault = kin__key_fault(credential->key, credential->key_size);
        if (fault == NULL && credential->key == NULL) fault = "key is NULL";
        if (fault != NULL) return kin__start_say(-EINVAL, "credentials[%zu]: %s", i, fault);
    }
    if (options->credential_count > 0 && is_tls(options->address) && options->certificate == NULL)
        return kin__start_say(-EINVAL, "credentials need a certificate at %.100s", options->address);
    return 0;
}

/* kin_process_error has the words. */
static int check_options(const kin_manager_options *options)
{
    const char *fault = kin__key_fault(options->key, options->key_size);
    kin__start_say_nothing();
    if (fault != NULL) return kin__start_say(-EINVAL, "%s", fault);
    if (options->grace_ns < 0) return kin__start_say(-EINVAL, "grace_ns is negative");
    if (options->lease_ns < 0) return kin__start_say(-EINVAL, "lease_ns is negative");
    if (options->snapshot_ns < 0) return kin__start_say(-EINVAL, "snapshot_ns is negative");
    if (options->snapshot_ns > 0 && options->snapshot == NULL)
        return kin__start_say(-EINVAL, "snapshot_ns is given, and snapshot is NULL");
    return check_credentials(options);
}

static int open_server(struct kin__server **server, const kin_manager_options *options)
{
    int rc = kin__server_open(server, options);
    if (rc == 0) kin__permissions_review(*server);
    return rc;
}

/* What a client is told of certificates means something only where the server has one. */
static bool misleads(const kin_manager_options *options)
{
    return options->certificate == NULL &&
           (options->client_authorities != NULL || options->client_certificate != NULL ||
            options->client_private_key != NULL || options->server_name != NULL);
}

int kin_manager_start_sized(kin_manager **manager, const kin_manager_options *options, size_t size)
{
    kin_manager_options given;
    struct kin__server *server;
    kin_manager *made;
    uint8_t key[KEY_SIZE];
    complete(&given, options, size);
    int rc = check_options(&given);
    if (rc == 0 && manager == NULL) rc = kin__start_say(-EINVAL, "manager is NULL");
    if (rc == 0 && misleads(&given))
        rc = kin__start_say(-EINVAL, "what the client is told of certificates needs a certificate");
    if (rc == 0 && given.key == NULL) {
        rc = kin__os_random(key, sizeof key);
        given.key = key;
        given.key_size = sizeof key;
    }
    given.end_by_signal = true;
    given.ready = NULL;
    if (rc == 0) rc = open_server(&server, &given);
    if (rc < 0) return rc;
    const kin_client_options client = as_client(&given);
    rc = kin__manager_make(&made, kin__server_address(server), &client);
    if (rc == 0) {
        rc = start_server(made, server);
        if (rc < 0) {
            /* Whatever it does, nobody can reach it. */
            if (made->server != NULL) await_server(made, KIN_NOW);
            kin__manager_close(made);
        }
    }
    /* This process's copy; one that has started does not remove the file of the other's socket. */
    kin__server_close(server, rc < 0);
    if (rc == 0) *manager = made;
    return rc;
}

int kin_manager_serve_sized(const kin_manager_options *options, size_t size)
{
    kin_manager_options given;
    struct kin__server *server;
    complete(&given, options, size);
    int rc = check_options(&given);
    if (rc == 0) rc = open_server(&server, &given);
    if (rc < 0) return rc;
    kin__start_say_nothing(); /* of an error that comes hours later the words would be another's */
    rc = kin__server_run(server);
    kin__server_close(server, true);
    return rc;
}

/* ---- ending -------------------------------------------------------------------------------------------- */

static bool has_started(const kin_manager *manager)
{
    return manager->server != NULL && manager->starter == kin__os_pid();
}

int kin_manager_shutdown(kin_manager *manager, kin_deadline deadline)
{
    kin_value result;
    int rc = kin__manager_begin(manager);
    if (rc < 0) return rc;
    rc = kin__manager_server_call(manager, "shutdown", (struct kin__arguments){0}, &result, deadline);
    kin_value_clear(&result);
    if (has_started(manager)) rc = await_server(manager, deadline);
    return kin__manager_end(manager, rc);
}

int kin_manager_close(kin_manager *manager)
{
    if (manager == NULL) return 0;
    int rc = 0;
    if (atomic_exchange(&manager->closed, true)) return KIN_ECLOSED;
    if (has_started(manager)) {
        kin_deadline deadline = kin_in_s(END_SECONDS);
        kin__manager_stop(manager, deadline);
        rc = await_server(manager, deadline);
    }
    kin__manager_close(manager);
    return rc == -ETIMEDOUT ? 0 : rc;
}
