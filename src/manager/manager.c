/* manager.c: a client's handle of a manager, and the calls over its lines (line.h).
 *
 * Besides those of the threads there is one, the control line, that is shared by the threads of a process, for what
 * concerns the process: it makes and counts references, and a server of kin's drops those that are left when it
 * ends.  A server of Python's takes such calls one to a connection.
 *
 * With the control line would go all references of the process: a call on it that is given up, because its time
 * is over or its coroutine was cancelled, leaves it as it is.  Whoever calls next hears the answer first, and gives
 * back what was made for nobody.  A request that was sent in part alone breaks the line, and the caller is told
 * so: -EPIPE, where clients may not come back.
 *
 * Whoever closes a handle breaks the calls of others, and closes the lines that nobody uses; the others are closed by
 * whoever uses them.  What a proxy may look at stays until the last one is closed, and a call of it says what has
 * become of the manager.  CRASH: nothing here is another process's; a child that was forked while another thread
 * called a function of the handle counts that use for ever, and keeps the memory.
 */
#include "manager/manager.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/object.h>

#include "ipc/challenge.h"
#include "os/os.h"
#include "os/suspend.h"

/* A manager whose system does not answer for so long is gone. */
#define SILENCE_S 60

/* A call whose connection was made again sees for so long to the control line too, but at most for this part of the
 * time of grace; if that was not enough, calls do nothing for it for so many times as long.  So it costs them a
 * quarter of their time at most, and is tried at least twice in each time of grace. */
#define POKE_MS    10000
#define POKE_PART  8
#define POKE_TIMES 3

/* ---- calls -------------------------------------------------------------------------------------------- */

static void poke_control(kin_manager *manager, int64_t grace_ns, kin_deadline deadline);

/* What a reference was made of by the request whose answer was `result`; NULL: by none. */
static const char *made_by(const char *method, const kin_value *arguments, const kin_value *result)
{
    if (strcmp(method, "create") == 0) return kin_value_get_str(kin_value_at(result, 0), NULL);
    return strcmp(method, "incref") == 0 ? kin_value_get_str(kin_value_at(arguments, 0), NULL) : NULL;
}

static bool is_given_up(int rc)
{
    return rc == -ETIMEDOUT || rc == -ECANCELED;
}

static void push_dropped(kin_manager *manager, struct kin__dropped *dropped)
{
    dropped->next = atomic_load_explicit(&manager->dropped, memory_order_relaxed);
    /* Release: whoever takes it finds it whole. */
    while (!atomic_compare_exchange_weak_explicit(&manager->dropped, &dropped->next, dropped,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* Remembers the reference that a decref, which was not sent, would have given up, and of which era it was.
 * Without memory for that it stays until the line ends. */
static void drop_later(kin_manager *manager, const char *ident, unsigned era)
{
    struct kin__dropped *dropped = ident != NULL ? kin__os_malloc(sizeof *dropped + strlen(ident) + 1) : NULL;
    if (dropped == NULL) return;
    dropped->era = era;
    strcpy(dropped->ident, ident);
    push_dropped(manager, dropped);
}

/* Tells the server, which listens, what was given up while it did not. */
static void drop_now(kin_manager *manager, struct kin__client *client, kin_deadline deadline)
{
    struct kin__dropped *dropped = atomic_exchange(&manager->dropped, NULL), *next;
    for (; dropped != NULL; dropped = next) {
        bool counts = dropped->era == atomic_load(&manager->era) && client->connection != NULL;
        bool told = counts && !client->owed &&
                    (!is_given_up(kin__client_decref(client, dropped->ident, deadline)) || client->owed);
        next = dropped->next;
        if (counts && !told)
            push_dropped(manager, dropped);
        else
            kin__os_free(dropped);
    }
}

/* Hears the answer to a call that was given up; what it has made is nobody's.  -ETIMEDOUT, -ECANCELED: it is
 * still owed.  Another error: the connection is gone, and with it what it had, which somebody has to be told. */
static int settle(kin_manager *manager, struct kin__client *client, kin_deadline deadline)
{
    int rc = 0, answered = 0;
    while (rc == 0 && client->owed) {
        kin_value request, result;
        const kin_value *arguments;
        const char *method, *ident = NULL;
        rc = kin__client_request(client, &request, &method, &arguments);
        answered = kin__client_settle(client, &result, deadline);
        if (client->owed)
            rc = answered;
        else if (rc == 0 && answered == 0)
            ident = made_by(method, arguments, &result);
        if (ident != NULL) answered = kin__client_decref(client, ident, deadline);
        if (ident != NULL && is_given_up(answered) && !client->owed)
            drop_later(manager, ident, atomic_load(&manager->era));
        kin_value_clear(&request);
        kin_value_clear(&result);
    }
    if (client->owed) return rc;
    return client->connection == NULL ? answered : 0;
}

/* What the program can read when the manager was closed. */
static kin_value closed_error(const kin_manager *manager)
{
    return kin_value_errorf("ValueError", "the manager at %s was closed", manager->address);
}

/* What has become of a call over the line, by whoever has its turn: an error of a connection that was broken is none
 * of the network's. */
static int outcome(struct kin__line *line, int rc)
{
    /* A server that ends says so to those who wait. */
    bool lost = rc == -ECONNRESET || (rc < 0 && rc != -ECANCELED && line->client.connection == NULL);
    return lost && kin__breaker_is_broken(&line->breaker) ? KIN_ECLOSED : rc;
}

/* Whoever is `patient` loses nothing by a call that is given up. */
static int enter(kin_manager *manager, struct kin__line *line, bool patient, kin_deadline deadline)
{
    kin__turn_wait(&line->turn);
    if (atomic_load(&manager->closed)) return KIN_ECLOSED;
    /* The object that was called last was closed meanwhile, and the line broken for that. */
    if (atomic_load(&line->breaker.broken)) {
        kin__client_end(&line->client, kin_in_ms(KIN__LEAVE_MS));
        kin__breaker_mend(&line->breaker);
    }
    /* A line that is connected holds its descriptor already, and nobody breaks for an object that was closed before
     * the call said that it is of that one. */
    if (kin__breaker_is_broken(&line->breaker)) {
        kin_value_clear(&line->client.error);
        return KIN_ECLOSED;
    }
    line->client.patient = patient;
    int rc = settle(manager, &line->client, deadline);
    return rc == 0 ? kin__line_connect(manager, line, deadline) : rc;
}

int kin__manager_exit(kin_manager *manager, struct kin__line *line, int rc, kin_deadline deadline)
{
    bool resumed = line->client.resumed;
    rc = outcome(line, rc);
    if (atomic_load(&manager->closed)) {
        /* What a call has raised stays its caller's to read. */
        kin_value error = rc == KIN_ECLOSED ? closed_error(manager) : kin_value_ref(&line->client.error);
        kin__line_leave(line, kin_in_ms(KIN__LEAVE_MS));
        line->client.error = error;
    }
    int64_t grace_ns = line->client.grace_ns;
    line->client.resumed = line->client.patient = false;
    kin__line_turn_end(manager, line);
    /* One that was closed meanwhile may have got some since it gave them back. */
    bool closed = atomic_load(&manager->closed);
    kin__gifts_give_back(manager, closed ? 0 : KIN__GIFTS_MOST, deadline);
    /* The control line is perhaps broken too, and has the references. */
    if (resumed) atomic_compare_exchange_strong(&manager->doubtful, &(kin_deadline){0}, kin_clock());
    if (grace_ns > 0 && atomic_load_explicit(&manager->doubtful, memory_order_relaxed) != 0)
        poke_control(manager, grace_ns, deadline);
    return rc;
}

int kin__manager_enter(kin_manager *manager, struct kin__line **entered, kin_deadline deadline)
{
    struct kin__line *line = kin__line_find(manager);
    if (line == NULL) return -ENOMEM;
    int rc = enter(manager, line, false, deadline);
    *entered = line;
    return rc < 0 ? kin__manager_exit(manager, line, rc, deadline) : rc;
}

static int call_over(kin_manager *manager, struct kin__line *line, bool patient, const char *ident,
                     const char *method, struct kin__arguments arguments, kin_value *result,
                     kin_deadline deadline)
{
    int rc = enter(manager, line, patient, deadline);
    if (rc == 0)
        rc = kin__client_call(&line->client, ident, method, arguments, result, deadline);
    else
        kin__arguments_clear(&arguments);
    return kin__manager_exit(manager, line, rc, deadline);
}

int kin__manager_call(kin_manager *manager, const char *ident, const _Atomic bool *ended, const char *method,
                      struct kin__arguments arguments, kin_value *result, kin_deadline deadline)
{
    struct kin__line *line = kin__line_find(manager);
    *result = kin_value_none();
    if (line == NULL) {
        kin__arguments_clear(&arguments);
        return -ENOMEM;
    }
    kin__breaker_use(&line->breaker, ended);
    int rc = call_over(manager, line, false, ident, method, arguments, result, deadline);
    kin__breaker_use(&line->breaker, NULL);
    return rc;
}

void kin__manager_break(kin_manager *manager, const _Atomic bool *ended)
{
    struct kin__line *line = atomic_load(&manager->lines);
    for (; line != NULL; line = line->next) kin__breaker_break(&line->breaker, ended);
}

/* One call on a connection that is made for it, as Python's servers want it. */
static int call_alone(kin_manager *manager, struct kin__breaker *breaker, const char *method,
                      struct kin__arguments arguments, kin_value *result, kin_value *error,
                      kin_deadline deadline)
{
    struct kin__client client = {.breaker = breaker};
    int rc = kin__client_connect(&client, manager->address, &manager->options, deadline);
    if (rc == 0)
        rc = kin__client_call(&client, NULL, method, arguments, result, deadline);
    else
        kin__arguments_clear(&arguments);
    *error = kin_value_ref(&client.error);
    if (rc < 0 && rc != -ECANCELED && client.connection == NULL && kin__breaker_is_broken(breaker)) {
        rc = KIN_ECLOSED;
        kin_value_clear(error);
        *error = closed_error(manager);
    }
    kin__client_close(&client);
    return rc;
}

/* By whoever has its turn. */
static int connect_control(kin_manager *manager, kin_deadline deadline)
{
    bool anew = manager->control.client.connection == NULL;
    int rc = kin__line_connect(manager, &manager->control, deadline);
    if (anew && rc == 0) atomic_fetch_add(&manager->era, 1);
    return rc;
}

static int call_control(kin_manager *manager, const char *method, struct kin__arguments arguments,
                        kin_value *result, kin_value *error, kin_deadline deadline)
{
    struct kin__client *control = &manager->control.client;
    kin_value given = kin_value_ref(&arguments.positional);
    /* Before the line may be made anew, by this call or while it waits for its turn. */
    unsigned era = atomic_load(&manager->era);
    bool sent = false;
    *result = kin_value_none();
    int rc = kin__turn_take(&manager->control.turn, deadline);
    if (rc == 0) {
        kin__line_own(&manager->control);
        rc = atomic_load(&manager->closed) ? KIN_ECLOSED : settle(manager, control, deadline);
        if (rc == 0) rc = connect_control(manager, deadline);
        if (rc == 0 && control->kin) {
            rc = kin__client_call(control, NULL, method, arguments, result, deadline);
            arguments = (struct kin__arguments){0};
            *error = kin_value_ref(&control->error);
            sent = control->owed;
            if (!is_given_up(rc)) drop_now(manager, control, deadline);
        }
        rc = outcome(&manager->control, rc);
        if (rc == KIN_ECLOSED) {
            kin_value_clear(error);
            *error = closed_error(manager);
        }
        kin__line_turn_end(manager, &manager->control);
    }
    if (is_given_up(rc) && !sent && strcmp(method, "decref") == 0)
        drop_later(manager, kin_value_get_str(kin_value_at(&given, 0), NULL), era);
    kin_value_clear(&given);
    kin__arguments_clear(&arguments);
    return rc;
}

/* Under the turn, for where the process ends everything of the client is copied. */
static void set_error(const kin_manager *manager, struct kin__line *line, kin_value error)
{
    kin__turn_wait(&line->turn);
    kin_value_clear(&line->client.error);
    line->client.error = error;
    kin__line_turn_end(manager, line);
}

int kin__manager_server_call(kin_manager *manager, const char *method, struct kin__arguments arguments,
                             kin_value *result, kin_deadline deadline)
{
    struct kin__line *line = kin__line_find(manager);
    kin_value error = kin_value_none();
    int rc = line != NULL ? 0 : -ENOMEM;
    *result = kin_value_none();
    if (rc < 0) {
        kin__arguments_clear(&arguments);
        return rc;
    }
    set_error(manager, line, kin_value_none());
    /* A reference is given up even when the manager has been closed: a server of Python's keeps it otherwise. */
    struct kin__breaker *breaker = strcmp(method, "decref") == 0 ? NULL : &line->alone;
    if (atomic_load_explicit(&manager->kin, memory_order_relaxed))
        rc = call_control(manager, method, arguments, result, &error, deadline);
    else
        rc = call_alone(manager, breaker, method, arguments, result, &error, deadline);
    set_error(manager, line, error);
    return rc;
}

/* Even by one who is cancelled: the line has to be made again while the server knows whose it was.  Where the time
 * of the call does not suffice a later one tries it again. */
static void poke_control(kin_manager *manager, int64_t grace_ns, kin_deadline deadline)
{
    kin_value result, error = kin_value_none();
    kin_deadline due = atomic_load(&manager->doubtful), began = kin_clock();
    kin_deadline most = kin_in_ms(POKE_MS), part = began + grace_ns / POKE_PART;
    if (due == 0 || began < due || !atomic_compare_exchange_strong(&manager->doubtful, &due, 0)) return;
    if (part < most) most = part;
    kin__shield(1);
    int rc = call_control(manager, "dummy", (struct kin__arguments){0}, &result, &error,
                          deadline < most ? deadline : most);
    kin__shield(-1);
    kin_deadline now = kin_clock();
    if (is_given_up(rc)) atomic_store(&manager->doubtful, now + POKE_TIMES * (now - began));
    kin_value_clear(&result);
    kin_value_clear(&error);
}

int kin_manager_ping(kin_manager *manager, kin_deadline deadline)
{
    kin_value result = kin_value_none();
    int rc = kin__manager_begin(manager);
    if (rc < 0) return rc;
    struct kin__line *line = kin__line_find(manager);
    if (line == NULL) return kin__manager_end(manager, -ENOMEM);
    rc = enter(manager, line, true, deadline);
    bool kin = line->client.kin;
    rc = kin__manager_exit(manager, line, rc, deadline);
    if (rc < 0) return kin__manager_end(manager, rc);
    /* A server of Python's takes such a call over a connection of its own. */
    rc = kin ? call_over(manager, line, true, NULL, "dummy", (struct kin__arguments){0}, &result, deadline)
             : kin__manager_server_call(manager, "dummy", (struct kin__arguments){0}, &result, deadline);
    kin_value_clear(&result);
    return kin__manager_end(manager, rc);
}

/* ---- handles -------------------------------------------------------------------------------------------- */

int kin__manager_begin(kin_manager *manager)
{
    if (manager == NULL) return -EINVAL;
    kin__manager_use(manager);
    if (!atomic_load(&manager->closed)) return 0;
    struct kin__line *line = kin__line_find(manager);
    if (line != NULL) set_error(manager, line, closed_error(manager));
    return kin__manager_end(manager, KIN_ECLOSED);
}

int kin__manager_end(kin_manager *manager, int rc)
{
    kin__manager_disuse(manager);
    return rc;
}

/* All of this process, which a forked one has copies of. */
static struct kin__turn handles_turn;
static kin_manager *handles;

/* The process ends: what its threads hold is given back now, not after the time of grace.  A line over which another
 * thread calls is that thread's.  Who calls once more, in another thread or a function that runs later at exit, is
 * another client. */
static void tell_ends(void)
{
    kin_deadline deadline = kin_in_ms(KIN__LEAVE_MS);
    int self = kin__os_pid();
    if (kin__turn_take(&handles_turn, deadline) < 0) return;
    for (kin_manager *manager = handles; manager != NULL; manager = manager->next) {
        struct kin__line *line = atomic_load_explicit(&manager->lines, memory_order_acquire);
        for (; line != NULL; line = line->next) {
            struct kin__client client = {0};
            if (kin__turn_take(&line->turn, KIN_NOW) < 0) continue;
            if (line->pid == self && line->client.grace_ns > 0) client = kin__client_take(&line->client);
            kin__turn_end(&line->turn);
            kin__client_end(&client, deadline);
        }
        if (kin__turn_take(&manager->control.turn, KIN_NOW) < 0) continue;
        if (manager->control.client.grace_ns > 0) kin__line_leave(&manager->control, deadline);
        kin__turn_end(&manager->control.turn);
    }
    kin__turn_end(&handles_turn);
}

static void tell_ends_at_exit(void)
{
    atexit(tell_ends);
}

/* By whoever has connected, so that what connections need, where it ends at exit, ends after what is registered
 * now. */
static void enlist(kin_manager *manager)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tell_ends_at_exit);
    kin__turn_wait(&handles_turn);
    if (!manager->listed) {
        manager->next = handles;
        handles = manager;
        manager->listed = true;
    }
    kin__turn_end(&handles_turn);
}

static void delist(kin_manager *manager)
{
    kin_manager **at = &handles;
    kin__turn_wait(&handles_turn);
    while (*at != NULL && *at != manager) at = &(*at)->next;
    if (*at != NULL) *at = manager->next;
    kin__turn_end(&handles_turn);
}

int kin__manager_stop(kin_manager *manager, kin_deadline deadline)
{
    struct kin__line *control = &manager->control;
    kin_value result = kin_value_none();
    int rc = kin__turn_take(&control->turn, KIN_NOW);
    if (rc < 0) {
        kin__breaker_break(&control->breaker, NULL);
        rc = kin__turn_take(&control->turn, deadline);
    }
    if (rc < 0) return rc;
    kin__line_own(control);
    /* It is closed for all but us. */
    control->breaker.whole = NULL;
    kin__breaker_mend(&control->breaker);
    rc = settle(manager, &control->client, deadline);
    if (rc == 0) rc = connect_control(manager, deadline);
    if (rc == 0)
        rc = kin__client_call(&control->client, NULL, "shutdown", (struct kin__arguments){0}, &result,
                              deadline);
    kin__line_init(control, manager);
    kin__turn_end(&control->turn);
    kin_value_clear(&result);
    return rc;
}

void kin__manager_close(kin_manager *manager)
{
    kin_deadline deadline = kin_in_ms(KIN__LEAVE_MS);
    delist(manager);
    /* Before the lines are looked for: see unused_line and kin__line_turn_end. */
    atomic_store(&manager->closed, true);
    struct kin__line *line = atomic_load(&manager->lines);
    for (; line != NULL; line = line->next) kin__line_close(line, deadline);
    kin__line_close(&manager->control, deadline);
    /* No later call of the closed handle goes on with that. */
    if (!kin__gifts_give_back(manager, 0, KIN_FOREVER)) kin__gifts_free(&manager->gifts);
    kin__manager_disuse(manager);
}

void kin__manager_disuse(kin_manager *manager)
{
    struct kin__line *next;
    /* What the others have done with it is done before it is freed. */
    if (atomic_fetch_sub_explicit(&manager->users, 1, memory_order_acq_rel) > 1) return;
    /* A thread that ends may be at its line. */
    kin_local_close(manager->line);
    for (struct kin__line *line = atomic_load(&manager->lines); line != NULL; line = next) {
        next = line->next;
        kin__client_close(&line->client);
        kin__os_free(line);
    }
    kin__client_close(&manager->control.client);
    kin__gifts_free(&manager->gifts);
    struct kin__dropped *dropped = atomic_load(&manager->dropped);
    for (struct kin__dropped *after; dropped != NULL; dropped = after) {
        after = dropped->next;
        kin__os_free(dropped);
    }
    kin__os_free(manager->texts);
    kin__os_free(manager->key);
    kin__os_free(manager);
}

/* Copies the texts of the options, one behind the other, and its key. */
static int copy_options(kin_manager *manager, const kin_client_options *options)
{
    const char **texts[] = {&manager->options.certificate, &manager->options.private_key,
                            &manager->options.authorities, &manager->options.server_name};
    const size_t count = sizeof texts / sizeof texts[0];
    size_t size = 1;
    manager->options = *options;
    if (options->silence_s == 0) manager->options.silence_s = SILENCE_S;
    for (size_t i = 0; i < count; i++) size += *texts[i] != NULL ? strlen(*texts[i]) + 1 : 0;
    char *at = manager->texts = kin__os_malloc(size);
    manager->key = kin__os_malloc(options->key_size + 1);
    if (manager->texts == NULL || manager->key == NULL) return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (*texts[i] == NULL) continue;
        size_t length = strlen(*texts[i]) + 1;
        *texts[i] = memcpy(at, *texts[i], length);
        at += length;
    }
    if (options->key_size > 0) memcpy(manager->key, options->key, options->key_size);
    manager->key_size = options->key_size;
    manager->options.key = manager->key;
    return 0;
}

int kin__manager_make(kin_manager **made, const char *address, const kin_client_options *options)
{
    if (strlen(address) >= KIN__ADDRESS_SIZE) return KIN_EADDRESS;
    kin_manager *manager = kin__os_calloc(1, sizeof *manager);
    if (manager == NULL) return -ENOMEM;
    int rc = copy_options(manager, options);
    if (rc == 0) rc = kin_local_open(&manager->line, kin__line_end);
    if (rc < 0) {
        kin__os_free(manager->texts);
        kin__os_free(manager->key);
        kin__os_free(manager);
        return rc;
    }
    strcpy(manager->address, address);
    kin__line_init(&manager->control, manager);
    manager->control.client.patient = true;
    atomic_init(&manager->users, 1);
    *made = manager;
    return 0;
}

int kin__manager_connect(kin_manager *manager, kin_deadline deadline)
{
    int rc = kin__turn_take(&manager->control.turn, deadline);
    if (rc < 0) return rc;
    kin__line_own(&manager->control);
    rc = connect_control(manager, deadline);
    /* A server of Python's has no use for it. */
    if (rc < 0 || !manager->control.client.kin) kin__client_close(&manager->control.client);
    kin__turn_end(&manager->control.turn);
    if (rc == 0) enlist(manager);
    return rc;
}

int kin_manager_connect_with_sized(kin_manager **manager, const char *address,
                                   const kin_client_options *options, size_t size, kin_deadline deadline)
{
    kin_client_options given = {0};
    kin_manager *made;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (manager == NULL || address == NULL || kin__key_fault(given.key, given.key_size) != NULL)
        return -EINVAL;
    int rc = kin__manager_make(&made, address, &given);
    if (rc < 0) return rc;
    rc = kin__manager_connect(made, deadline);
    if (rc < 0) {
        kin__manager_close(made);
        return rc;
    }
    *manager = made;
    return 0;
}

int kin_manager_connect(kin_manager **manager, const char *address, const void *key, size_t key_size,
                        kin_deadline deadline)
{
    const kin_client_options options = {.key = key, .key_size = key_size};
    return kin_manager_connect_with(manager, address, &options, deadline);
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
