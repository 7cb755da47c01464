/* manager.c: a client's handle of a manager: its connections, and the server that it started.
 *
 * Each thread of each process has a *line*: a connection over which it calls objects, so that what it
 * acquires is its own, as in Python.  One more, the control line, is shared by the threads of a
 * process, for what concerns the process: it makes and counts references, and a server of kin's
 * drops those that are left when it ends.  A server of Python's takes such calls one to a
 * connection.
 *
 * A process that was forked finds lines that are not its own: it closes its copies, when it comes
 * across them, and makes new ones.
 */
#include "manager/manager.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <kin/error.h>
#include <kin/process.h>

#include "manager/server.h"
#include "os/network.h"
#include "os/os.h"

#define KEY_SIZE     32
#define ADDRESS_SIZE 256

/* How long a server may take that has just been started, or is to end at once. */
#define START_SECONDS 10
#define END_SECONDS   1

struct line {
    struct kin__client client;
    int pid; /* whose it is */
    _Atomic bool used;
    struct line *next;
};

struct kin_manager {
    char address[ADDRESS_SIZE];
    uint8_t *key;
    size_t key_size;
    _Atomic bool kin;                   /* the server is kin's */
    kin_process *server;                /* NULL: not started by this handle */
    int starter;                        /* the process that started it */
    struct kin__address socket_address; /* of that server */
    uint64_t socket_file;               /* see kin__os_socket_file; 0: none */
    pthread_key_t thread;
    _Atomic(struct line *) lines; /* of threads; grows only, those that are not used are used again */
    struct line control;
    _Atomic int control_owner; /* the process in which a thread uses it; 0: none */
};

/* ---- lines ------------------------------------------------------------------------------------------ */

/* A thread ends: what it has acquired is given back by the server. */
static void on_thread_end(void *of_thread)
{
    struct line *line = of_thread;
    kin__client_close(&line->client);
    atomic_store_explicit(&line->used, false, memory_order_release);
}

static struct line *unused_line(kin_manager *manager)
{
    struct line *line = atomic_load_explicit(&manager->lines, memory_order_acquire);
    for (; line != NULL; line = line->next) {
        bool used = false;
        /* Acquire: pairs with the release of the thread that had it. */
        if (atomic_compare_exchange_strong_explicit(&line->used, &used, true, memory_order_acquire,
                                                    memory_order_relaxed))
            return line;
    }
    line = kin__os_calloc(1, sizeof *line);
    if (line == NULL) return NULL;
    atomic_init(&line->used, true);
    line->next = atomic_load_explicit(&manager->lines, memory_order_relaxed);
    /* Release: whoever finds it finds it whole. */
    while (!atomic_compare_exchange_weak_explicit(&manager->lines, &line->next, line, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    return line;
}

/* In a process that was forked, a line is a copy of its parent's: nothing may go over it. */
static void own(struct line *line)
{
    int self = kin__os_pid();
    if (line->pid == self) return;
    kin__client_close(&line->client);
    line->pid = self;
}

/* The calling thread's line, connected or not.  NULL: no memory. */
static struct line *own_line(kin_manager *manager)
{
    struct line *line = pthread_getspecific(manager->thread);
    if (line == NULL) {
        line = unused_line(manager);
        if (line == NULL) return NULL;
        if (pthread_setspecific(manager->thread, line) != 0) {
            on_thread_end(line);
            return NULL;
        }
    }
    own(line);
    return line;
}

static int connect_line(kin_manager *manager, struct line *line, kin_deadline deadline)
{
    struct kin__client *client = &line->client;
    if (client->connection != NULL) return 0;
    int rc = kin__client_connect(client, manager->address, manager->key, manager->key_size, deadline);
    if (rc == 0) rc = kin__client_accept(client, deadline);
    if (rc == 0) atomic_store_explicit(&manager->kin, client->kin, memory_order_relaxed);
    return rc;
}

/* The control line is held for one short call at a time.  A holder in another process is none: it
 * was copied by a fork. */
static int lock_control(kin_manager *manager, kin_deadline deadline)
{
    int self = kin__os_pid();
    for (;;) {
        int owner = atomic_load_explicit(&manager->control_owner, memory_order_relaxed);
        if (owner != self &&
            atomic_compare_exchange_strong_explicit(&manager->control_owner, &owner, self,
                                                    memory_order_acquire, memory_order_relaxed))
            return 0;
        if (kin_clock() >= deadline) return -ETIMEDOUT;
        kin__os_yield();
    }
}

static void unlock_control(kin_manager *manager)
{
    atomic_store_explicit(&manager->control_owner, 0, memory_order_release);
}

/* ---- calls -------------------------------------------------------------------------------------------- */

int kin__manager_call(kin_manager *manager, const char *ident, const char *method,
                      struct kin__arguments arguments, kin_value *result, kin_deadline deadline)
{
    struct line *line = own_line(manager);
    *result = kin_value_none();
    int rc = line != NULL ? connect_line(manager, line, deadline) : -ENOMEM;
    if (rc == 0) return kin__client_call(&line->client, ident, method, arguments, result, deadline);
    kin__arguments_clear(&arguments);
    return rc;
}

/* One call on a connection that is made for it, as Python's servers want it. */
static int call_alone(kin_manager *manager, const char *method, struct kin__arguments arguments,
                      kin_value *result, kin_value *error, kin_deadline deadline)
{
    struct kin__client client = {0};
    int rc = kin__client_connect(&client, manager->address, manager->key, manager->key_size, deadline);
    if (rc == 0)
        rc = kin__client_call(&client, NULL, method, arguments, result, deadline);
    else
        kin__arguments_clear(&arguments);
    *error = kin_value_ref(&client.error);
    kin__client_close(&client);
    return rc;
}

static int call_control(kin_manager *manager, const char *method, struct kin__arguments arguments,
                        kin_value *result, kin_value *error, kin_deadline deadline)
{
    struct line *control = &manager->control;
    int rc = lock_control(manager, deadline);
    if (rc == 0) {
        own(control);
        rc = connect_line(manager, control, deadline);
        if (rc == 0 && control->client.kin) {
            rc = kin__client_call(&control->client, NULL, method, arguments, result, deadline);
            arguments = (struct kin__arguments){0};
            *error = kin_value_ref(&control->client.error);
        }
        unlock_control(manager);
    }
    kin__arguments_clear(&arguments);
    return rc;
}

int kin__manager_server_call(kin_manager *manager, const char *method, struct kin__arguments arguments,
                             kin_value *result, kin_deadline deadline)
{
    struct line *line = own_line(manager);
    kin_value error = kin_value_none();
    int rc = line != NULL ? 0 : -ENOMEM;
    *result = kin_value_none();
    if (rc < 0) {
        kin__arguments_clear(&arguments);
        return rc;
    }
    kin_value_clear(&line->client.error);
    if (atomic_load_explicit(&manager->kin, memory_order_relaxed))
        rc = call_control(manager, method, arguments, result, &error, deadline);
    else
        rc = call_alone(manager, method, arguments, result, &error, deadline);
    line->client.error = error;
    return rc;
}

const kin_value *kin_manager_error(kin_manager *manager)
{
    struct line *line = manager != NULL ? own_line(manager) : NULL;
    if (line == NULL || kin_value_kind(&line->client.error) == KIN_VALUE_NONE) return NULL;
    return &line->client.error;
}

/* ---- handles -------------------------------------------------------------------------------------------- */

static void free_handle(kin_manager *manager)
{
    struct line *next;
    for (struct line *line = atomic_load(&manager->lines); line != NULL; line = next) {
        next = line->next;
        kin__client_close(&line->client);
        kin__os_free(line);
    }
    kin__client_close(&manager->control.client);
    pthread_key_delete(manager->thread);
    kin__os_free(manager->key);
    kin__os_free(manager);
}

static int make_handle(kin_manager **made, const char *address, const void *key, size_t key_size)
{
    if (strlen(address) >= ADDRESS_SIZE) return KIN_EADDRESS;
    kin_manager *manager = kin__os_calloc(1, sizeof *manager);
    if (manager == NULL) return -ENOMEM;
    manager->key = kin__os_malloc(key_size + 1);
    int rc = manager->key == NULL ? -ENOMEM : -pthread_key_create(&manager->thread, on_thread_end);
    if (rc < 0) {
        kin__os_free(manager->key);
        kin__os_free(manager);
        return rc;
    }
    if (key_size > 0) memcpy(manager->key, key, key_size);
    manager->key_size = key_size;
    strcpy(manager->address, address);
    *made = manager;
    return 0;
}

static int connect_handle(kin_manager *manager, kin_deadline deadline)
{
    int rc = lock_control(manager, deadline);
    if (rc < 0) return rc;
    own(&manager->control);
    rc = connect_line(manager, &manager->control, deadline);
    /* A server of Python's has no use for it. */
    if (rc < 0 || !manager->control.client.kin) kin__client_close(&manager->control.client);
    unlock_control(manager);
    return rc;
}

int kin_manager_connect(kin_manager **manager, const char *address, const void *key, size_t key_size,
                        kin_deadline deadline)
{
    kin_manager *made;
    if (manager == NULL || address == NULL || (key == NULL && key_size > 0)) return -EINVAL;
    int rc = make_handle(&made, address, key, key_size);
    if (rc < 0) return rc;
    rc = connect_handle(made, deadline);
    if (rc < 0) {
        free_handle(made);
        return rc;
    }
    *manager = made;
    return 0;
}

const char *kin_manager_address(const kin_manager *manager)
{
    return manager != NULL ? manager->address : NULL;
}

const void *kin_manager_key(const kin_manager *manager, size_t *size)
{
    if (manager == NULL) return NULL;
    if (size != NULL) *size = manager->key_size;
    return manager->key;
}

/* ---- starting and ending a server ---------------------------------------------------------------------- */

static int serve(void *of_server)
{
    struct kin__server *server = of_server;
    /* Ctrl-C at the terminal is for the program that started it. */
    kin__os_interrupt_ignore();
    int rc = kin__server_run(server);
    kin__server_close(server, true);
    return rc < 0;
}

static int start_server(kin_manager *manager, struct kin__server *server)
{
    int rc = kin_process_start(&manager->server, serve, server,
                               &(kin_process_options){.name = "Manager", .daemon = true});
    if (rc < 0) return rc;
    manager->starter = kin__os_pid();
    manager->socket_address = server->socket_address;
    manager->socket_file = server->socket_file;
    return connect_handle(manager, kin_in_s(START_SECONDS));
}

/* Waits for the server that this process has started, and ends it at the deadline. */
static int await_server(kin_manager *manager, kin_deadline deadline)
{
    int rc = kin_process_join(manager->server, deadline);
    if (rc < 0) {
        kin_process_kill(manager->server);
        /* Not by waiting for its descriptor: that may be what has failed. */
        while (kin_process_is_alive(manager->server) == 1) kin__os_sleep_until(kin_in_ms(1));
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

int kin_manager_start_sized(kin_manager **manager, const kin_manager_options *options, size_t size)
{
    kin_manager_options given;
    struct kin__server *server;
    kin_manager *made;
    uint8_t key[KEY_SIZE];
    int rc = manager != NULL ? 0 : -EINVAL;
    complete(&given, options, size);
    if (rc == 0 && given.key == NULL && given.key_size == 0) {
        rc = kin__os_random(key, sizeof key);
        given.key = key;
        given.key_size = sizeof key;
    }
    given.end_by_signal = true;
    given.ready = NULL;
    if (rc == 0) rc = kin__server_open(&server, &given);
    if (rc < 0) return rc;
    rc = make_handle(&made, kin__server_address(server), given.key, given.key_size);
    if (rc == 0) {
        rc = start_server(made, server);
        if (rc < 0) {
            /* Whatever it does, nobody can reach it. */
            if (made->server != NULL) await_server(made, KIN_NOW);
            free_handle(made);
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
    int rc = kin__server_open(&server, &given);
    if (rc < 0) return rc;
    rc = kin__server_run(server);
    kin__server_close(server, true);
    return rc;
}

int kin_manager_shutdown(kin_manager *manager, kin_deadline deadline)
{
    kin_value result;
    if (manager == NULL) return -EINVAL;
    int rc = kin__manager_server_call(manager, "shutdown", (struct kin__arguments){0}, &result, deadline);
    kin_value_clear(&result);
    if (manager->server == NULL || manager->starter != kin__os_pid()) return rc;
    return await_server(manager, deadline);
}

int kin_manager_close(kin_manager *manager)
{
    if (manager == NULL) return 0;
    int rc = 0;
    if (manager->server != NULL && manager->starter == kin__os_pid())
        rc = kin_manager_shutdown(manager, kin_in_s(END_SECONDS));
    free_handle(manager);
    return rc == -ETIMEDOUT ? 0 : rc;
}
