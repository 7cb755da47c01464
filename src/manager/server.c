/* server.c: the manager's server: listening, accepting, its loop, its end. */
#include "manager/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/address.h"
#include "ipc/challenge.h"
#include "ipc/secure.h"
#include "manager/absence.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/place.h"
#include "manager/reference.h"
#include "manager/session.h"
#include "manager/snapshot.h"
#include "manager/tasks.h"
#include "manager/types.h"
#include "os/os.h"
#include "os/socket.h"
#include "os/tls.h"

#define SESSIONS_DEFAULT 10000
#define MESSAGE_DEFAULT  ((uint64_t)256 * 1024 * 1024)
#define SILENCE_DEFAULT  60

/* What is left to be answered at the end has so long to get out. */
#define FAREWELL_MS 1000

/* So many may be authenticating at a time; then each new one ends the oldest, so that silent ones do
 * not keep others out. */
#define STRANGERS_MOST 1024

/* Accepted at once, before those who are connected get their turn. */
#define ACCEPT_AT_ONCE 64
#define BACKLOG        1024

/* After descriptors were short. */
#define AGAIN_MS 100

/* A lease is looked at so often while it lasts. */
#define LEASE_PARTS 4

/* ---- accepting --------------------------------------------------------------------------------- */

static void on_connections(uv_poll_t *poll, int status, int events);

static void set_accepting(struct kin__server *server, bool accepting)
{
    if (server->accepting == accepting) return;
    server->accepting = accepting;
    if (accepting)
        uv_poll_start(&server->listener, UV_READABLE, on_connections);
    else
        uv_poll_stop(&server->listener);
}

static void on_again(uv_timer_t *timer)
{
    set_accepting(timer->data, true);
}

void kin__server_make_room(struct kin__server *server)
{
    if (!server->stopping && !kin__places_full(server)) set_accepting(server, true);
}

static void end_oldest_stranger(struct kin__server *server)
{
    kin__session_end(kin__links_entry(server->strangers.next, struct kin__session, link));
}

/* Who is accepted next needs the room of another one that has asked for nothing; false: none gives way now. */
static bool make_way(struct kin__server *server)
{
    uint64_t left_ms;
    struct kin__session *silent = kin__place_silent(server, &left_ms);
    if (silent != NULL && left_ms == 0) {
        kin__session_end(silent);
        return true;
    }
    /* The others wait in the socket's queue until somebody leaves. */
    set_accepting(server, false);
    if (silent != NULL) uv_timer_start(&server->again, on_again, left_ms, 0);
    return false;
}

static void on_connections(uv_poll_t *poll, int status, int events)
{
    struct kin__server *server = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        if (kin__places_full(server) && !make_way(server)) break;
        struct kin__address from;
        int descriptor = kin__os_accept(server->descriptor, &from);
        if (descriptor == -EAGAIN) break;
        if (descriptor == -ECONNABORTED) continue;
        if (descriptor < 0) {
            kin__log(KIN_LOG_WARNING, "manager: cannot accept: %s", kin_strerror(descriptor));
            set_accepting(server, false);
            uv_timer_start(&server->again, on_again, AGAIN_MS, 0);
            break;
        }
        uint64_t network = kin__os_address_network(&from);
        if (kin__is_offender(server, network)) {
            kin__log_refusal(server, descriptor, "its address has failed to authenticate too often");
            kin__os_close(descriptor);
            continue;
        }
        if (server->stranger_count >= STRANGERS_MOST) end_oldest_stranger(server);
        kin__session_open(server, descriptor, network);
    }
    kin__sessions_settle(server);
}

/* ---- the loop ------------------------------------------------------------------------------------ */

static void on_stop(uv_timer_t *timer)
{
    struct kin__server *server = timer->data;
    server->stopping = true;
    uv_stop(&server->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    on_stop(&((struct kin__server *)handle->data)->stop);
}

static void watch_signals(struct kin__server *server)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&server->loop, &server->signals[i]);
        server->signals[i].data = server;
        if (server->end_by_signal) uv_signal_start(&server->signals[i], on_signal, numbers[i]);
    }
}

static uint64_t lease_period(const struct kin__server *server)
{
    return (uint64_t)server->lease_ns / LEASE_PARTS / 1000000 + 1;
}

/* Has the client been silent for as long as its lease is?  While it waits for an answer, or has not got the whole
 * of one (for which silence_s is its time), it is the server that speaks; and what it has said may not have been
 * read yet. */
static bool is_silent(const struct kin__session *session, uint64_t now)
{
    return !kin__session_is_parked(session) && !session->paused && !kin__links_empty(&session->holdings) &&
           kin__buffer_size(&session->output) == 0 &&
           now - session->heard >= (uint64_t)session->server->lease_ns / 1000000 &&
           kin__os_wait_ready(session->descriptor, KIN__READABLE, KIN_NOW) < 0;
}

/* Ends those who hold something and have been silent.  Time in which this server did not run, for it was stopped
 * or had too much to do, does not count: it could not have heard them. */
static void on_leases(uv_timer_t *timer)
{
    struct kin__server *server = timer->data;
    uint64_t now = uv_now(&server->loop), due = server->leases_seen + lease_period(server);
    uint64_t late = now > due ? now - due : 0;
    struct kin__links *link = server->sessions.next, seen;
    server->leases_seen = now;
    kin__links_init(&seen);
    /* To end one may end others: whichever are still there go through a list of their own. */
    while (link != &server->sessions) {
        struct kin__session *session = kin__links_entry(link, struct kin__session, link);
        kin__links_remove(link);
        kin__links_append(&seen, link);
        session->heard = session->heard + late < now ? session->heard + late : now;
        if (is_silent(session, now)) {
            kin__log(KIN_LOG_WARNING, "manager: a client that held something was silent for %llu ms",
                     (unsigned long long)(now - session->heard));
            kin__session_end_after_answers(session);
            kin__session_end(session);
        }
        link = server->sessions.next;
    }
    while (!kin__links_empty(&seen)) {
        link = seen.next;
        kin__links_remove(link);
        kin__links_append(&server->sessions, link);
    }
    kin__sessions_settle(server);
}

static int begin(struct kin__server *server)
{
    int rc = uv_poll_init(&server->loop, &server->listener, server->descriptor);
    if (rc != 0) return rc;
    uv_timer_init(&server->loop, &server->again);
    uv_timer_init(&server->loop, &server->stop);
    uv_timer_init(&server->loop, &server->leases);
    server->listener.data = server->again.data = server->stop.data = server->leases.data = server;
    watch_signals(server);
    rc = kin__tasks_begin(server);
    if (rc < 0) return rc;
    kin__snapshots_begin(server);
    set_accepting(server, true);
    if (server->lease_ns > 0) {
        server->leases_seen = uv_now(&server->loop);
        uv_timer_start(&server->leases, on_leases, lease_period(server), lease_period(server));
    }
    if (server->stop_at != 0) {
        kin_deadline left = server->stop_at - kin_clock();
        uv_timer_start(&server->stop, on_stop, left > 0 ? (uint64_t)(left / 1000000 + 1) : 0, 0);
    }
    return 0;
}

static void end_all(struct kin__links *sessions)
{
    while (!kin__links_empty(sessions))
        kin__session_end(kin__links_entry(sessions->next, struct kin__session, link));
}

static bool has_unsent(const struct kin__server *server)
{
    for (struct kin__links *link = server->sessions.next; link != &server->sessions; link = link->next) {
        if (kin__buffer_size(&kin__links_entry(link, struct kin__session, link)->output) > 0) return true;
    }
    return false;
}

static void on_farewell(uv_timer_t *timer)
{
    timer->data = NULL;
}

/* Everybody who waits is told that there is nothing to wait for, and gets what was answered before. */
static void say_farewell(struct kin__server *server)
{
    struct kin__links told;
    kin__links_init(&told);
    /* An answer may end any session: whatever list it is in then. */
    while (!kin__links_empty(&server->sessions)) {
        struct kin__links *link = server->sessions.next;
        kin__links_remove(link);
        kin__links_append(&told, link);
        kin__session_dismiss(kin__links_entry(link, struct kin__session, link));
    }
    kin__sessions_settle(server);
    while (!kin__links_empty(&told)) {
        struct kin__links *link = told.next;
        kin__links_remove(link);
        kin__links_append(&server->sessions, link);
    }
    uv_timer_start(&server->stop, on_farewell, FAREWELL_MS, 0);
    while (server->stop.data != NULL && has_unsent(server)) uv_run(&server->loop, UV_RUN_ONCE);
}

static void finish(struct kin__server *server)
{
    server->stopping = true;
    set_accepting(server, false);
    uv_timer_stop(&server->again);
    kin__snapshots_end(server);
    end_all(&server->strangers);
    say_farewell(server);
    end_all(&server->sessions);
    kin__absences_end(server);
    kin__tasks_stop(server);
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)&server->again, NULL);
    uv_close((uv_handle_t *)&server->stop, NULL);
    uv_close((uv_handle_t *)&server->leases, NULL);
    for (int i = 0; i < 2; i++) uv_close((uv_handle_t *)&server->signals[i], NULL);
    /* Again if it was stopped: what was settled on the way here did so. */
    while (uv_run(&server->loop, UV_RUN_DEFAULT) != 0) continue;
}

int kin__server_run(struct kin__server *server)
{
    int rc = kin__tasks_open(server);
    if (rc < 0) return rc;
    rc = uv_loop_init(&server->loop);
    if (rc != 0) {
        kin__tasks_close(server);
        return rc;
    }
    rc = begin(server);
    if (rc == 0) {
        if (server->ready != NULL) server->ready(server->address, server->context);
        uv_run(&server->loop, UV_RUN_DEFAULT);
        finish(server);
    }
    uv_loop_close(&server->loop);
    /* What clients had in their hands has been given back. */
    if (rc == 0 && server->snapshot != NULL) rc = kin__snapshot_write(server);
    kin__registry_drop(server);
    kin__tasks_close(server);
    return rc;
}

/* ---- making and freeing ---------------------------------------------------------------------------- */

/* An abstract name that nobody else has. */
static int invent_address(char address[KIN__ADDRESS_SIZE])
{
    uint64_t number[2];
    int rc = kin__os_random(number, sizeof number);
    snprintf(address, KIN__ADDRESS_SIZE, "unix:@kin-manager-%016" PRIx64 "%016" PRIx64, number[0], number[1]);
    return rc;
}

/* By the key alone: whoever has it is who may connect, and is sure of whom it talks to.  Or by certificates:
 * then the key is proved behind them, as without TLS. */
static int encrypt(struct kin__server *server, const kin_manager_options *options)
{
    char why[KIN__TLS_WHY];
    struct kin__tls_options given = {.accepts = true,
                                     .certificate = options->certificate,
                                     .private_key = options->private_key,
                                     .authorities = options->authorities};
    if (options->certificate == NULL) {
        /* Of several keys TLS could not tell which one is proved. */
        if (!server->has_own_key || options->credential_count > 0 || options->authorities != NULL)
            return -EINVAL;
        given.key = server->keys[0].key;
        given.key_size = server->keys[0].size;
    }
    /* "tls" is as long as "tcp". */
    memcpy(server->address, "tls", 3);
    int rc = kin__tls_context_make(&server->tls, &given, why);
    if (rc < 0)
        kin__tls_text_set(server->address, why);
    else
        server->tls_proves = kin__tls_by_key(server->tls);
    return rc;
}

/* Listens at the first of the addresses that the text means where that can be done. */
static int listen_at(struct kin__server *server, const kin_manager_options *options)
{
    const char *text = options->address;
    struct kin__address addresses[KIN__ADDRESSES_MOST];
    bool tls = false;
    int rc = text == NULL ? invent_address(server->address) : 0;
    int count = rc < 0 ? rc
                       : kin__address_parse(text != NULL ? text : server->address, true, addresses, &tls,
                                            KIN_FOREVER);
    rc = count;
    for (int i = 0; i < count; i++) {
        rc = kin__os_listen(&addresses[i], BACKLOG);
        if (rc < 0) continue;
        server->descriptor = rc;
        rc = kin__os_address_of(server->descriptor, &server->socket_address);
        if (rc == 0) rc = kin__os_address_text(&server->socket_address, server->address, KIN__ADDRESS_SIZE);
        server->socket_file = kin__os_socket_file(&server->socket_address);
        break;
    }
    if (rc >= 0 && tls) rc = encrypt(server, options);
    /* Who gives certificates must not find that nothing is encrypted. */
    if (rc >= 0 && !tls && (options->certificate != NULL || options->authorities != NULL)) rc = -EINVAL;
    return rc < 0 ? rc : 0;
}

static int set_up(struct kin__server *server, const kin_manager_options *options)
{
    server->session_most = options->max_clients != 0 ? options->max_clients : SESSIONS_DEFAULT;
    server->message_most = options->max_message != 0 ? options->max_message : MESSAGE_DEFAULT;
    server->request_most = options->client_requests;
    server->byte_most = options->client_bytes;
    server->reference_most = options->client_objects;
    server->object_most = options->max_objects;
    server->silence_s = options->silence_s != 0 ? options->silence_s : SILENCE_DEFAULT;
    server->stop_at = options->stop;
    server->end_by_signal = options->end_by_signal;
    server->ready = options->ready;
    server->context = options->context;
    kin__links_init(&server->strangers);
    kin__links_init(&server->sessions);
    kin__links_init(&server->resumed);
    kin__links_init(&server->doomed);
    kin__links_init(&server->waiting);
    kin__links_init(&server->silent);
    kin__links_init(&server->pools);
    kin__links_init(&server->away);
    server->grace_ns = options->grace_ns;
    server->lease_ns = options->lease_ns;
    server->descriptor = server->snapshot_lock = -1;
    server->functions = options->tasks;
    server->task_count = options->task_count;
    server->workers = options->workers;
    server->retries = options->retries;
    int rc = kin__keys_open(server, options);
    if (rc == 0) rc = kin__types_check_tasks(options->tasks, options->task_count);
    if (rc == 0) rc = kin__types_register(server, options->types, options->type_count);
    if (rc == 0 && options->snapshot != NULL) rc = kin__snapshot_open(server, options);
    if (rc < 0) return rc;
    return listen_at(server, options);
}

const char *kin__server_address(const struct kin__server *server)
{
    return server->address;
}

int kin__server_open(struct kin__server **server, const kin_manager_options *options)
{
    struct kin__server *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    int rc = set_up(made, options);
    if (rc < 0) {
        kin__server_close(made, true);
        return rc;
    }
    *server = made;
    return 0;
}

void kin__server_close(struct kin__server *server, bool remove)
{
    if (server->descriptor >= 0) kin__os_close(server->descriptor);
    if (server->socket_file != 0 && remove)
        kin__os_socket_file_remove(&server->socket_address, server->socket_file);
    kin__registry_drop(server);
    kin__references_free(&server->references);
    kin__types_drop(server);
    kin__snapshot_close(server, remove);
    kin__buffer_free(&server->out);
    kin__tls_context_free(server->tls);
    kin__keys_close(server);
    kin__os_free(server);
}
