/* listener.c: listening, and authenticating many peers at once while waiting for one that has.
 *
 * Invariants:
 *  - Whoever has not authenticated can make us hold a `struct kin__pending` and nothing else: their number
 *    is bounded, each has a deadline, each message a size.  Nobody waits for one of them.
 *  - One thread at a time talks with them; what the others wait for is `lock`, with their deadline.
 *  - A process that inherits a listener by fork begins with nobody pending: who was belongs to its
 *    parent.
 */
#include <kin/listener.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "ipc/address.h"
#include "ipc/challenge.h"
#include "ipc/connection.h"
#include "ipc/offenders.h"
#include "ipc/pending.h"
#include "ipc/secure.h"
#include "memory/waitable.h"
#include "os/epoll.h"
#include "os/network.h"
#include "os/os.h"

#define PENDING_DEFAULT      64
#define PENDING_MOST         100000
#define HANDSHAKE_DEFAULT_MS 10000
#define BACKLOG_DEFAULT      128
#define ADDRESS_SIZE         256

/* How many connections are taken from the kernel, or looked at, before one is handed out. */
#define AT_ONCE 16

/* What the set tells: one of these, or the address of somebody pending. */
enum token { TOKEN_LISTENING, TOKEN_ALARM };

/* So many lines about clients go into the log in that time. */
#define COMPLAINTS_MOST 10
#define COMPLAINTS_NS   1000000000

/* Private memory.
 *   handle     what listens.
 *   owner      the process that opened it, and removes the socket file.
 *   set        a set of descriptors: what listens and all that are pending; the process's own.
 *   context    how TLS is spoken; NULL: it is not.
 *   authenticates   there is a key that TLS does not prove.
 *   shown      the set's descriptor, -1 while a child has none of its own: for who does not have the lock.
 *   alarm      in the set too: when the time of the first pending is over.
 *   alarm_at   when it rings, KIN_FOREVER: not; under `lock`.
 *   spare      a descriptor that is given up for a moment when there is no other for a client.
 *   first      the pending, in the order in which they came; under `lock`.
 *   complaints   lines about clients since then, whether or not they are in the log; likewise.
 *   offenders  who has failed to authenticate; likewise. */
struct kin_listener {
    struct kin__handle handle;
    struct kin__handle set;
    _Atomic int shown;
    struct kin__handle alarm;
    struct kin__handle spare;
    kin_deadline alarm_at;
    int owner;
    struct kin__private_lock lock;
    struct kin__pending *first;
    unsigned pending;
    unsigned max_pending;
    unsigned max_failures;
    struct kin__offenders offenders;
    int64_t handshake_ns;
    struct kin__tls_context *context;
    bool authenticates;
    bool refuse_md5;
    unsigned silence_s;
    struct kin__address bound;
    uint64_t file; /* 0: none */
    kin_deadline complaints_since;
    unsigned complaints;
    char address[ADDRESS_SIZE];
    size_t key_size;
    uint8_t key[];
};

/* In a forked child: a thread of its parent may wait for clients, and hold the lock as long. */
static void renew_in_child(struct kin__handle *handle)
{
    kin_listener *listener = (kin_listener *)handle;
    kin__private_lock_renew(&listener->lock);
    atomic_store_explicit(&listener->shown, -1, memory_order_relaxed);
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static int none(void)
{
    return -1;
}

/* Closes what the handle has, and gives it what `make` makes, if it does.  That, or the error. */
static int renew(struct kin__handle *handle, int (*make)(void))
{
    kin__handle_close(handle);
    kin__handles_enter();
    int made = make();
    kin__handle_add(handle, made >= 0 ? made : -1, true);
    kin__handles_leave();
    return made;
}

static int make_set(kin_listener *listener)
{
    int set = renew(&listener->set, kin__os_epoll_make), rc = set;
    if (rc >= 0) rc = kin__os_epoll_add(set, listener->handle.descriptor, KIN__READABLE, TOKEN_LISTENING);
    int alarm = rc >= 0 ? renew(&listener->alarm, kin__os_alarm_make) : rc;
    rc = alarm >= 0 ? kin__os_epoll_add(set, alarm, KIN__READABLE, TOKEN_ALARM) : alarm;
    if (rc < 0) {
        renew(&listener->set, none);
        listener->set.withheld = true;
        return rc;
    }
    renew(&listener->spare, kin__os_event_make);
    listener->alarm_at = KIN_FOREVER;
    atomic_store_explicit(&listener->shown, set, memory_order_release);
    return 0;
}

/* The handle stays in the list. */
static void drop_socket(struct kin__handle *handle)
{
    kin__handles_enter();
    if (handle->descriptor >= 0) kin__os_close(handle->descriptor);
    handle->descriptor = -1;
    kin__handles_leave();
}

/* Lists the handle in any case. */
static int listen_at(struct kin__handle *handle, const char *text, const kin_listener_options *options,
                     struct kin__address *bound, bool *tls)
{
    struct kin__address addresses[KIN__ADDRESSES_MOST];
    int count = kin__address_parse(text, true, addresses, tls, KIN_FOREVER), rc = count;
    *handle = (struct kin__handle){.descriptor = -1, .renew = renew_in_child};
    kin__handle_list(handle);
    for (int i = 0; i < count; i++) {
        kin__handles_enter();
        rc = handle->descriptor = kin__os_socket_to(&addresses[i]);
        kin__handles_leave();
        if (rc >= 0)
            rc = kin__os_listen_with(handle->descriptor, &addresses[i],
                                     options->backlog > 0 ? options->backlog : BACKLOG_DEFAULT);
        if (rc >= 0) break;
        drop_socket(handle);
    }
    return rc < 0 ? rc : kin__os_address_of(handle->descriptor, bound);
}

/* Gets ready to speak TLS, if the address asks for it. */
static int make_context(kin_listener *listener, const char *address, const kin_listener_options *options,
                        bool tls)
{
    char why[KIN__TLS_WHY];
    const struct kin__tls_options given = {.accepts = true,
                                           .certificate = options->certificate,
                                           .private_key = options->private_key,
                                           .authorities = options->authorities,
                                           .key = options->key,
                                           .key_size = options->key_size};
    bool wants_tls =
        options->certificate != NULL || options->private_key != NULL || options->authorities != NULL;
    /* Who gives a certificate must not find that nothing is encrypted. */
    if (wants_tls && (!tls || (options->private_key != NULL && options->certificate == NULL))) {
        kin__tls_text_set(address, tls ? KIN__TLS_NO_CERTIFICATE : KIN__TLS_UNUSED);
        return -EINVAL;
    }
    if (!tls) return 0;
    int rc = kin__tls_context_make(&listener->context, &given, why);
    if (rc < 0) kin__tls_text_set(address, why);
    if (rc == 0 && kin__tls_by_key(listener->context)) listener->authenticates = false;
    return rc;
}

static void fill(kin_listener *listener, const kin_listener_options *options)
{
    listener->max_pending = options->max_pending > 0 ? options->max_pending : PENDING_DEFAULT;
    listener->max_failures = options->max_failures > 0 ? options->max_failures : KIN__FAILURES_DEFAULT;
    listener->handshake_ns =
        (options->handshake_ms > 0 ? options->handshake_ms : HANDSHAKE_DEFAULT_MS) * 1000000;
    listener->authenticates = options->key != NULL;
    listener->refuse_md5 = options->refuse_md5;
    listener->silence_s = options->silence_s;
    listener->key_size = options->key_size;
    if (options->key_size > 0) memcpy(listener->key, options->key, options->key_size);
}

static bool is_absurd(const kin_listener_options *options)
{
    return kin__key_fault(options->key, options->key_size) != NULL || options->key_size > INT32_MAX ||
           options->max_pending > PENDING_MOST || options->handshake_ms < 0 ||
           options->handshake_ms > INT64_MAX / 1000000 || options->backlog < 0 ||
           options->silence_s > KIN__SILENCE_MOST;
}

int kin_listener_open_sized(kin_listener **listener, const char *address, const kin_listener_options *options,
                            size_t size)
{
    kin_listener_options given = {0};
    kin__tls_text_clear();
    if (listener == NULL || address == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (is_absurd(&given)) return -EINVAL;
    kin_listener *made = kin__os_calloc(1, sizeof *made + given.key_size);
    if (made == NULL) return -ENOMEM;
    fill(made, &given);
    bool tls = false;
    made->owner = kin__os_pid();
    kin__handle_add(&made->set, -1, true);
    kin__handle_add(&made->alarm, -1, true);
    kin__handle_add(&made->spare, -1, true);
    int rc = listen_at(&made->handle, address, &given, &made->bound, &tls);
    if (rc >= 0) made->file = kin__os_socket_file(&made->bound);
    if (rc >= 0) rc = make_set(made);
    if (rc == 0) rc = make_context(made, address, &given, tls);
    if (rc == 0) rc = kin__os_address_text(&made->bound, made->address, sizeof made->address);
    if (rc == 0 && tls) memcpy(made->address, "tls", strlen("tls"));
    if (rc < 0) {
        kin_listener_close(made);
        return rc;
    }
    *listener = made;
    return 0;
}

const char *kin_listener_address(const kin_listener *listener)
{
    return listener != NULL ? listener->address : NULL;
}

/* Says what became of a client in the log, where a crowd of them must not drown what else is there. */
static void complain(kin_listener *listener, const char *what, const char *why)
{
    if (!kin__log_wanted(KIN_LOG_WARNING)) return;
    kin_deadline now = kin__os_clock();
    if (now - listener->complaints_since >= COMPLAINTS_NS) {
        if (listener->complaints > COMPLAINTS_MOST)
            kin__log(KIN_LOG_WARNING, "%s: %u more like these", listener->address,
                     listener->complaints - COMPLAINTS_MOST);
        listener->complaints_since = now;
        listener->complaints = 0;
    }
    if (++listener->complaints > COMPLAINTS_MOST) return;
    kin__log(KIN_LOG_WARNING, "%s: %s%s%s", listener->address, what, why != NULL ? ": " : "",
             why != NULL ? why : "");
}

/* ---- the pending -------------------------------------------------------------------------------------- */

static void forget(kin_listener *listener, struct kin__pending *pending)
{
    struct kin__pending **at = &listener->first;
    while (*at != pending) at = &(*at)->next;
    *at = pending->next;
    listener->pending--;
    if (!listener->set.withheld && pending->handle.descriptor >= 0)
        kin__os_epoll_remove(listener->set.descriptor, pending->handle.descriptor);
    kin__handle_close(&pending->handle);
    kin__secure_free(pending->secure);
    kin__os_free(pending);
}

/* Forgets one that has failed to authenticate, and notes that. */
static void blame(kin_listener *listener, struct kin__pending *pending)
{
    kin__offenders_note(&listener->offenders, pending->network, listener->max_failures, kin__os_clock());
    forget(listener, pending);
}

/* Poses the challenge, once that can be done. */
static int challenge(kin_listener *listener, struct kin__pending *pending)
{
    struct kin__challenge_message reply;
    pending->challenge = (struct kin__challenge){.role = KIN__CHALLENGE_ACCEPTS,
                                                 .key = listener->key,
                                                 .key_size = listener->key_size,
                                                 .refuse_md5 = listener->refuse_md5};
    int rc = kin__os_random(pending->challenge.nonce, sizeof pending->challenge.nonce);
    if (rc == 0) rc = kin__challenge_begin(&pending->challenge, &reply);
    kin__os_acknowledge(pending->handle.descriptor);
    /* A peer that is gone already is found gone when it is read. */
    if (rc == 0) kin__pending_send(pending, &reply);
    return rc;
}

/* The handshake of TLS as far as it can be done: -EAGAIN, or 1. */
static int secure(kin_listener *listener, struct kin__pending *pending)
{
    int rc = kin__secure_handshake(pending->secure, pending->handle.descriptor, KIN_NOW);
    kin__os_acknowledge(pending->handle.descriptor);
    if (rc < 0) return rc == -ETIMEDOUT ? -EAGAIN : rc;
    pending->secured = true;
    if (!listener->authenticates) return 1;
    rc = challenge(listener, pending);
    /* What came with the last bytes of the handshake the set does not show. */
    return rc < 0 ? rc : kin__pending_talk(pending);
}

/* 1: it is welcome now; 0: it is not yet, or is forgotten; or an error. */
static int go_on(kin_listener *listener, struct kin__pending *pending)
{
    int rc = pending->secured ? kin__pending_talk(pending) : secure(listener, pending);
    if (rc == -EAGAIN) return 0;
    pending->welcome = rc == 1;
    if (rc == 1) return 1;
    complain(listener, "a client was refused",
             rc == KIN_ETLS || rc == KIN_ECERTIFICATE ? kin__tls_why(pending->secure->tls)
                                                      : kin_strerror(rc));
    if (!kin__is_our_failure(rc)) {
        blame(listener, pending);
        return 0;
    }
    /* The caller has to know. */
    forget(listener, pending);
    return rc;
}

/* Begins to talk with somebody who has just come. */
static int greet(kin_listener *listener, struct kin__pending *pending)
{
    pending->secured = listener->context == NULL;
    pending->welcome = pending->secured && !listener->authenticates;
    if (pending->welcome) return 0;
    int rc = kin__os_epoll_add(listener->set.descriptor, pending->handle.descriptor, KIN__READABLE,
                               (uintptr_t)pending);
    if (rc < 0) return rc;
    return pending->secured ? challenge(listener, pending)
                            : kin__secure_make(&pending->secure, listener->context, NULL, listener->address);
}

/* There is no descriptor left for a client.  In the kernel it would keep us awake, and wait for nothing: so it
 * is taken at the cost of the spare one, and let go.  1, 0 if there is none, or `error`. */
static int turn_away(kin_listener *listener, int error)
{
    if (listener->spare.descriptor < 0) return error;
    renew(&listener->spare, none);
    kin__handles_enter();
    int descriptor = kin__os_accept(listener->handle.descriptor, NULL);
    if (descriptor >= 0) kin__os_close(descriptor);
    kin__handles_leave();
    renew(&listener->spare, kin__os_event_make);
    if (descriptor < 0) return descriptor == -EAGAIN ? 0 : error;
    complain(listener, "a client was turned away", kin_strerror(error));
    return 1;
}

/* Takes one connection from the kernel: 1, 0 if there is none, or an error. */
static int take_one(kin_listener *listener)
{
    struct kin__address from;
    struct kin__pending *pending = kin__os_calloc(1, sizeof *pending);
    if (pending == NULL) return -ENOMEM;
    kin__handles_enter();
    int descriptor = kin__os_accept(listener->handle.descriptor, &from);
    if (descriptor >= 0) kin__handle_add(&pending->handle, descriptor, true);
    kin__handles_leave();
    if (descriptor < 0) {
        kin__os_free(pending);
        if (descriptor == -EMFILE || descriptor == -ENFILE) return turn_away(listener, descriptor);
        return descriptor == -EAGAIN ? 0 : descriptor;
    }
    pending->network = kin__os_address_network(&from);
    if (kin__offenders_refuse(&listener->offenders, pending->network, listener->max_failures,
                              kin__os_clock())) {
        kin__handle_close(&pending->handle);
        kin__os_free(pending);
        complain(listener, "a client was turned away", "its address has failed to authenticate too often");
        return 1;
    }
    kin__watch_silence(descriptor, listener->silence_s);
    pending->expires = kin__os_clock() + listener->handshake_ns;
    struct kin__pending **last = &listener->first;
    while (*last != NULL) last = &(*last)->next;
    *last = pending;
    listener->pending++;
    int rc = greet(listener, pending);
    if (rc < 0) forget(listener, pending);
    return rc < 0 ? rc : 1;
}

/* The oldest that has not authenticated: of all, or of a network. */
static struct kin__pending *oldest_of(kin_listener *listener, bool any, uint64_t network)
{
    struct kin__pending *pending = listener->first;
    while (pending != NULL && (pending->welcome || !(any || pending->network == network)))
        pending = pending->next;
    return pending;
}

/* The only network that more than half of them can be of (the vote of Boyer and Moore). */
static uint64_t candidate(const kin_listener *listener)
{
    uint64_t network = 0;
    unsigned votes = 0;
    for (const struct kin__pending *pending = listener->first; pending != NULL; pending = pending->next) {
        if (votes == 0) network = pending->network;
        votes += pending->network == network ? 1u : -1u;
    }
    return network;
}

/* When they are too many one gives way: of the network that more than half are of, or else of all, the oldest,
 * since an honest peer needs no longer than the way there and back. */
static void make_room(kin_listener *listener)
{
    if (listener->pending <= listener->max_pending) return;
    uint64_t network = candidate(listener);
    unsigned count = 0;
    for (const struct kin__pending *pending = listener->first; pending != NULL; pending = pending->next)
        count += pending->network == network;
    struct kin__pending *oldest = count > listener->pending / 2 ? oldest_of(listener, false, network) : NULL;
    if (oldest == NULL) oldest = oldest_of(listener, true, 0);
    if (oldest == NULL) return;
    complain(listener, "too many clients have not authenticated; the oldest is dropped", NULL);
    forget(listener, oldest);
}

/* One that need not authenticate is enough: other processes may listen here too, and be idle. */
static int take_new(kin_listener *listener)
{
    int most = listener->authenticates || listener->context != NULL ? AT_ONCE : 1;
    for (int i = 0; i < most; i++) {
        int rc = take_one(listener);
        if (rc <= 0) return rc;
        make_room(listener);
    }
    return 0;
}

/* Drops those whose time is over, and returns when the next one's will be: all have equally long. */
static kin_deadline expire(kin_listener *listener)
{
    kin_deadline now = kin__os_clock();
    for (struct kin__pending *pending = listener->first, *following; pending != NULL; pending = following) {
        following = pending->next;
        if (pending->welcome) continue;
        if (pending->expires > now) return pending->expires;
        complain(listener, "a client did not authenticate in time", NULL);
        blame(listener, pending);
    }
    return KIN_FOREVER;
}

/* The caller leaves those who have not authenticated.  An alarm for somebody who is gone makes one look in vain. */
static void set_alarm(kin_listener *listener)
{
    const struct kin__pending *oldest = oldest_of(listener, true, 0);
    if (oldest == NULL || listener->set.withheld || oldest->expires >= listener->alarm_at) return;
    if (kin__os_alarm_set(listener->alarm.descriptor, oldest->expires) == 0)
        listener->alarm_at = oldest->expires;
}

static void silence_alarm(kin_listener *listener)
{
    kin__os_alarm_set(listener->alarm.descriptor, KIN_FOREVER);
    listener->alarm_at = KIN_FOREVER;
}

static struct kin__pending *find_welcome(kin_listener *listener)
{
    struct kin__pending *pending = listener->first;
    while (pending != NULL && !pending->welcome) pending = pending->next;
    return pending;
}

/* ---- accepting ---------------------------------------------------------------------------------------- */

/* Looks at what is ready, until somebody is welcome: the caller takes that one, and of the others, whose messages
 * are still unread, the set goes on telling.  Returns how much was ready. */
static int look_around(kin_listener *listener, kin_deadline deadline)
{
    uint64_t tokens[AT_ONCE];
    int count = kin__os_epoll_tokens(listener->set.descriptor, tokens, AT_ONCE, deadline), rc = 0;
    for (int i = 0; i < count && rc == 0; i++) {
        /* What listens comes last: dropping the oldest must not meet a token still to be looked at. */
        if (tokens[i] == TOKEN_ALARM)
            silence_alarm(listener);
        else if (tokens[i] != TOKEN_LISTENING)
            rc = go_on(listener, (struct kin__pending *)(uintptr_t)tokens[i]);
    }
    for (int i = 0; i < count && rc == 0; i++)
        if (tokens[i] == TOKEN_LISTENING) rc = take_new(listener);
    return rc < 0 ? rc : count;
}

static int hand_out(kin_listener *listener, struct kin__pending *pending, kin_connection **connection)
{
    int descriptor = pending->handle.descriptor;
    if (listener->authenticates || pending->secure != NULL)
        kin__os_epoll_remove(listener->set.descriptor, descriptor);
    kin__handles_enter();
    int rc = kin__connection_take(connection, descriptor, pending->secure);
    if (rc == 0) pending->handle.descriptor = -1;
    kin__handles_leave();
    if (rc == 0) pending->secure = NULL;
    forget(listener, pending);
    return rc;
}

/* After a fork: the set is the parent's, and so are the pending. */
static int take_over(kin_listener *listener)
{
    if (!listener->set.withheld) return 0;
    while (listener->first != NULL) forget(listener, listener->first);
    /* A thread of the parent may have been counting. */
    listener->pending = 0;
    return make_set(listener);
}

static int accept_locked(kin_listener *listener, kin_connection **connection, kin_deadline deadline)
{
    int rc = take_over(listener);
    while (rc >= 0) {
        struct kin__pending *pending = find_welcome(listener);
        if (pending != NULL) return hand_out(listener, pending, connection);
        kin_deadline next = expire(listener);
        rc = look_around(listener, next < deadline ? next : deadline);
        /* However many come, the caller's deadline is kept. */
        if (rc >= 0 && kin__os_clock() >= deadline && find_welcome(listener) == NULL) return -ETIMEDOUT;
    }
    return rc;
}

int kin_listener_accept(kin_listener *listener, kin_connection **connection, kin_deadline deadline)
{
    if (listener == NULL || connection == NULL) return -EINVAL;
    if (listener->handle.withheld) return KIN_ENOTGIVEN;
    int rc = kin__private_lock(&listener->lock, deadline);
    kin__tls_text_clear();
    if (rc < 0) return rc;
    rc = accept_locked(listener, connection, deadline);
    set_alarm(listener);
    kin__private_unlock(&listener->lock);
    return rc;
}

/* A child that was given it waits for it before it accepts: it needs a set of its own. */
int kin_listener_fileno(const kin_listener *listener)
{
    kin_listener *own = (kin_listener *)(uintptr_t)listener;
    int rc = 0, set = -1;
    if (listener == NULL) return -EINVAL;
    if (listener->handle.withheld) return KIN_ENOTGIVEN;
    while (rc >= 0 && (set = atomic_load_explicit(&own->shown, memory_order_acquire)) < 0) {
        /* Who has the lock takes it over, or waits with what was taken over. */
        if (kin__private_lock(&own->lock, KIN_NOW) < 0) {
            kin__os_yield();
            continue;
        }
        rc = take_over(own);
        kin__private_unlock(&own->lock);
    }
    return rc < 0 ? rc : set;
}

int kin_listener_close(kin_listener *listener)
{
    if (listener == NULL) return 0;
    while (listener->first != NULL) forget(listener, listener->first);
    if (listener->owner == kin__os_pid() && !listener->handle.withheld)
        kin__os_socket_file_remove(&listener->bound, listener->file);
    kin__handle_close(&listener->set);
    kin__handle_close(&listener->alarm);
    kin__handle_close(&listener->spare);
    kin__handle_close(&listener->handle);
    kin__tls_context_free(listener->context);
    if (listener->key_size > 0) kin__os_forget(listener->key, listener->key_size);
    kin__os_free(listener);
    return 0;
}

/* ---- waiting for it together with others ----------------------------------------------------- */

static int look(const kin_waitable *item)
{
    int rc = kin_listener_fileno(item->object);
    return rc < 0 ? rc : 0;
}

static int descriptor_of(const kin_waitable *item)
{
    return atomic_load_explicit(&((const kin_listener *)item->object)->shown, memory_order_acquire);
}

__attribute__((constructor)) static void register_waitable(void)
{
    static const struct kin__waitable_class listeners = {.look = look, .descriptor = descriptor_of};
    kin__waitable_classes[KIN_WAITABLE_LISTENER] = &listeners;
}
