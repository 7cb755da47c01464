/* remote.c: queues and locks of a manager through the calls of local ones (memory/remote.h).
 *
 * What all processes share of such an object is where it is.  Each process has connections, proxies and
 * what it took and could not use, in a list of its own: an entry for each object it has used, found by
 * the place and the serial number of the object.  Objects of one manager share a handle of it.
 *
 * A queue's messages are bytes there too, which Python programs see as `bytes`; a str that one of them
 * put is the bytes of its UTF-8.  An item of another kind, or one larger than the buffer, stays in the
 * entry, and is what this process gets next.
 */
#include "memory/remote.h"

#include <stdlib.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/object.h>

#include "base/error.h"
#include "ipc/challenge.h"
#include "ipc/message.h"
#include "manager/peer.h"
#include "manager/raised.h"

#define NAME_SIZE 96

/* SHARED.  Constant once it is open, but for the magic word, which whoever closes it overwrites.  The key is a block of
 * its own, which is freed then. */
struct kin__remote {
    uint64_t magic;
    uint64_t serial; /* random: this one, not another that was at its place */
    char address[KIN__ADDRESS_SIZE];
    char type[NAME_SIZE];
    char ident[NAME_SIZE]; /* its name on the wire */
    size_t key_size;
    uint8_t *key;
};

struct held {
    kin_value item;
    struct held *next;
};

struct entry {
    const void *object;
    uint64_t serial;
    unsigned users; /* the list, and the calls that are at it */
    struct kin__peer *peer;
    kin_proxy *proxy;
    struct held *held; /* oldest first */
    struct entry *next;
};

/* Of this process, or copied by a fork: then proxies and managers see to it (manager.h). */
static struct kin__turn turn;

static struct entry *entries;

/* ---- this process's side ------------------------------------------------------------------------ */

static void free_entry(struct entry *entry)
{
    struct held *next;
    for (struct held *held = entry->held; held != NULL; held = next) {
        next = held->next;
        kin_value_clear(&held->item);
        kin__os_free(held);
    }
    kin_proxy_close(entry->proxy);
    kin__peer_leave(entry->peer);
    kin__os_free(entry);
}

/* Whoever has used an entry last, when it is not in the list any more, frees it. */
static void leave_entry(struct entry *entry)
{
    kin__turn_wait(&turn);
    bool last = --entry->users == 0;
    kin__turn_end(&turn);
    if (last) free_entry(entry);
}

/* By whoever has the turn. */
static struct entry **place_of(const void *object)
{
    struct entry **at = &entries;
    while (*at != NULL && (*at)->object != object) at = &(*at)->next;
    return at;
}

/* Takes the entry of an object out of the list. */
static struct entry *remove_entry(const void *object)
{
    kin__turn_wait(&turn);
    struct entry **at = place_of(object), *entry = *at;
    if (entry != NULL) *at = entry->next;
    kin__turn_end(&turn);
    return entry;
}

/* Puts an entry into the list, and returns what has to be freed for that: one of another object that was
 * at the place before, or the new one, if another thread was faster. */
static struct entry *insert_entry(struct entry *entry)
{
    kin__turn_wait(&turn);
    struct entry **at = place_of(entry->object), *old = *at;
    if (old != NULL && old->serial == entry->serial) {
        old = entry;
    } else {
        if (old != NULL) *at = old->next;
        entry->next = entries;
        entries = entry;
    }
    kin__turn_end(&turn);
    return old;
}

/* Is to be left. */
static struct entry *find_entry(const struct kin__remote *remote)
{
    kin__turn_wait(&turn);
    struct entry *entry = entries;
    while (entry != NULL && (entry->object != remote || entry->serial != remote->serial)) entry = entry->next;
    if (entry != NULL) entry->users++;
    kin__turn_end(&turn);
    return entry;
}

/* An entry that has a proxy already, which it takes over; after a failure it does not. */
static int add_entry(const struct kin__remote *remote, struct kin__peer *peer, kin_proxy *proxy)
{
    struct entry *entry = kin__os_calloc(1, sizeof *entry), *old;
    if (entry == NULL) return -ENOMEM;
    *entry =
        (struct entry){.object = remote, .serial = remote->serial, .users = 1, .peer = peer, .proxy = proxy};
    old = insert_entry(entry);
    if (old != NULL) leave_entry(old);
    return 0;
}

/* What has become of a call of the manager, by the thread that made it. */
static int outcome(const struct kin__peer *peer, int rc)
{
    if (rc < 0) kin__raised_set(kin_manager_error(peer->manager));
    return rc;
}

/* Connects this process to an object that another one has opened. */
static int join(const struct kin__remote *remote)
{
    struct kin__peer *peer = NULL;
    kin_proxy *proxy = NULL;
    int rc = kin__peer_use(&peer, remote->address, remote->key, remote->key_size);
    if (rc < 0) return rc;
    kin_deadline deadline = kin__manager_soon(peer->manager);
    kin_value token = kin_value_token(remote->type, kin_value_none(), remote->ident);
    rc = kin_value_error_code(&token);
    if (rc == 0) rc = kin__manager_connect(peer->manager, deadline);
    if (rc == 0) rc = outcome(peer, kin_manager_proxy(peer->manager, &proxy, &token, deadline));
    kin_value_clear(&token);
    if (rc == 0) rc = add_entry(remote, peer, proxy);
    if (rc == 0) return 0;
    kin_proxy_close(proxy);
    kin__peer_leave(peer);
    return rc;
}

/* The calling process's entry, to be left. */
static int entry_of(const void *object, struct entry **entry)
{
    const struct kin__remote *remote = object;
    kin__raised_set(NULL);
    if (__atomic_load_n(&remote->magic, __ATOMIC_SEQ_CST) != KIN__MAGIC_REMOTE) return KIN_ECLOSED;
    *entry = find_entry(remote);
    if (__builtin_expect(*entry != NULL, 1)) return 0;
    int rc = join(remote);
    if (rc == 0) *entry = find_entry(remote);
    return rc < 0 ? rc : *entry != NULL ? 0 : KIN_ECLOSED;
}

static kin_deadline soon(const struct entry *entry)
{
    return kin__manager_soon(entry->peer->manager);
}

/* The call of it is over. */
static int leave(struct entry *entry, int rc)
{
    outcome(entry->peer, rc);
    leave_entry(entry);
    return rc;
}

/* The same, where an exception of Python's is an error of kin's. */
static int leave_as(struct entry *entry, int rc, const char *class, int code)
{
    const kin_value *error = rc == KIN_EREMOTE ? kin_manager_error(entry->peer->manager) : NULL;
    const char *name = error != NULL ? kin_value_class_name(error) : NULL;
    bool means = name != NULL && strcmp(name, class) == 0;
    leave(entry, rc);
    return means ? code : rc;
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static void free_note(struct kin__remote *remote)
{
    kin_free(remote->key);
    kin__free(remote, NULL);
}

/* CRASH: what is allocated stays. */
static int allocate_note(struct kin__remote **allocated, size_t key_size)
{
    int rc;
    struct kin__remote *remote = kin__allocate_object(KIN__OBJECT_REMOTE, sizeof *remote, &rc);
    if (remote == NULL) return rc;
    kin__allocate_finish();
    remote->key_size = key_size;
    remote->key = kin_alloc(key_size + 1);
    rc = remote->key == NULL ? -ENOMEM : kin__os_random(&remote->serial, sizeof remote->serial);
    if (rc < 0) free_note(remote);
    *allocated = remote;
    return rc;
}

static int make_note(struct kin__remote **made, struct kin__peer *peer, kin_proxy *proxy)
{
    const kin_manager *manager = peer->manager;
    struct kin__remote *remote = NULL;
    kin_value token = kin_proxy_value(proxy);
    const char *type = kin_value_token_type(&token), *ident = kin_value_token_id(&token);
    int rc = type == NULL || ident == NULL ? KIN_EPROTOCOL : 0;
    if (rc == 0 && (strlen(type) >= NAME_SIZE || strlen(ident) >= NAME_SIZE)) rc = KIN_EPROTOCOL;
    if (rc == 0) rc = allocate_note(&remote, manager->key_size);
    if (rc == 0) {
        strcpy(remote->address, manager->address);
        strcpy(remote->type, type);
        strcpy(remote->ident, ident);
        memcpy(remote->key, manager->key, manager->key_size);
        *made = remote;
    }
    kin_value_clear(&token);
    return rc;
}

int kin__remote_open(void **object, const struct kin__place *place)
{
    struct kin__peer *peer = NULL;
    kin_proxy *proxy = NULL;
    struct kin__remote *remote = NULL;
    kin__raised_set(NULL);
    if (kin__key_fault(place->key, place->key_size) != NULL) return -EINVAL;
    int rc = kin__peer_use(&peer, place->address, place->key, place->key_size);
    if (rc < 0) return rc;
    kin_deadline deadline = kin__manager_soon(peer->manager);
    rc = kin__manager_connect(peer->manager, deadline);
    if (rc == 0)
        rc =
            outcome(peer, kin_manager_create(peer->manager, &proxy, place->name, kin_value_none(), deadline));
    if (rc == 0 && !kin__proxy_has(proxy, place->method)) rc = KIN_EKIND;
    if (rc == 0) rc = make_note(&remote, peer, proxy);
    if (rc == 0) rc = add_entry(remote, peer, proxy);
    if (rc < 0) {
        if (remote != NULL) free_note(remote);
        kin_proxy_close(proxy);
        kin__peer_leave(peer);
        return rc;
    }
    /* Release: who gets the pointer finds the note whole. */
    __atomic_store_n(&remote->magic, KIN__MAGIC_REMOTE, __ATOMIC_RELEASE);
    *object = remote;
    return 0;
}

int kin__remote_close(void *object)
{
    struct kin__remote *remote = object;
    uint64_t magic = KIN__MAGIC_REMOTE;
    if (!__atomic_compare_exchange_n(&remote->magic, &magic, KIN__MAGIC_REMOTE_CLOSED, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return KIN_ECLOSED;
    struct entry *entry = remove_entry(remote);
    if (entry != NULL) {
        kin__proxy_end(entry->proxy);
        leave_entry(entry);
    }
    memset(remote->key, 0, remote->key_size);
    free_note(remote);
    return 0;
}

/* ---- calls ---------------------------------------------------------------------------------------- */

/* Calls a method that returns an int or a bool, or None (0), and may raise an exception of that class, which is `code`; the
 * arguments are used up. */
static long call_with(const void *object, const char *method, kin_value arguments, const char *class,
                      int code)
{
    struct entry *entry;
    kin_value result;
    int64_t number = 0;
    int rc = entry_of(object, &entry);
    if (rc < 0) {
        kin_value_clear(&arguments);
        return rc;
    }
    rc = leave_as(entry, kin_proxy_call(entry->proxy, method, arguments, &result, soon(entry)), class, code);
    if (rc == 0 && kin_value_kind(&result) != KIN_VALUE_NONE) rc = kin_value_get_int(&result, &number);
    kin_value_clear(&result);
    return rc < 0 ? rc : (long)number;
}

static long call_number(const void *object, const char *method)
{
    return call_with(object, method, kin_value_none(), "", KIN_EREMOTE);
}

/* What is refused without asking the manager is nothing that it has raised. */
static int refused(void)
{
    kin__raised_set(NULL);
    return -EINVAL;
}

/* What ended a call that has done something did not fail. */
static long partly(size_t done)
{
    kin__raised_set(NULL);
    return (long)done;
}

/* ---- queues: putting ---------------------------------------------------------------------------- */

static int put(void *queue, kin_value item, kin_deadline deadline)
{
    struct entry *entry;
    int rc = kin_value_error_code(&item);
    kin__raised_set(NULL);
    if (rc == 0) rc = entry_of(queue, &entry);
    if (rc < 0) {
        kin_value_clear(&item);
        return rc;
    }
    return leave(entry, kin_proxy_put(entry->proxy, item, deadline));
}

int kin__remote_put(void *queue, const void *message, size_t size, kin_deadline deadline)
{
    if (message == NULL && size > 0) return refused();
    return put(queue, kin_value_bytes_in_place(message != NULL ? message : "", size), deadline);
}

int kin__remote_put_value(void *queue, const kin_value *value, kin_deadline deadline)
{
    return value == NULL ? refused() : put(queue, kin_value_ref(value), deadline);
}

int kin__remote_reserve(void *queue, void **message, size_t size)
{
    struct kin__message *made = NULL;
    (void)queue;
    if (message == NULL) return refused();
    int rc = kin__message_make(&made, size, KIN_FOREVER);
    if (rc == 0) *message = kin__message_bytes(made);
    return rc;
}

int kin__remote_commit(void *queue, void *message, kin_deadline deadline)
{
    struct kin__message *found = NULL;
    if (message == NULL) return refused();
    int rc = kin__message_find(message, &found);
    if (rc == KIN_EFOREIGN) return refused();
    if (rc < 0) return rc;
    rc = kin__remote_put(queue, message, found->size, deadline);
    if (rc == 0) kin__message_free(found);
    return rc;
}

long kin__remote_put_many(void *queue, const kin_message *messages, size_t count, kin_deadline deadline)
{
    int rc = 0;
    size_t done = 0;
    if (messages == NULL && count > 0) return refused();
    while (done < count && rc == 0) {
        rc = kin__remote_put(queue, messages[done].data, messages[done].size, deadline);
        if (rc == 0) done++;
    }
    return done > 0 || rc == 0 ? partly(done) : rc;
}

/* ---- queues: getting ---------------------------------------------------------------------------- */

/* Keeps an item that was taken for this process's next get; both are used up. */
static int keep(struct entry *entry, kin_value item, int rc)
{
    struct held *held = kin__os_calloc(1, sizeof *held);
    if (held == NULL) {
        /* Nothing is lost but its place in the line. */
        kin_proxy_put(entry->proxy, item, soon(entry));
        leave_entry(entry);
        return rc;
    }
    held->item = item;
    kin__turn_wait(&turn);
    held->next = entry->held;
    entry->held = held;
    kin__turn_end(&turn);
    leave_entry(entry);
    return rc;
}

/* After success the entry is to be left. */
static int get(void *queue, struct entry **entry, kin_value *item, kin_deadline deadline)
{
    int rc = entry_of(queue, entry);
    if (rc < 0) return rc;
    kin__turn_wait(&turn);
    struct held *held = (*entry)->held;
    if (held != NULL) (*entry)->held = held->next;
    kin__turn_end(&turn);
    if (held == NULL) {
        rc = kin_proxy_get((*entry)->proxy, item, deadline);
        return rc < 0 ? leave(*entry, rc) : rc;
    }
    *item = held->item;
    kin__os_free(held);
    return 0;
}

/* The bytes of an item, or KIN_EKIND. */
static int bytes_of(const kin_value *item, const void **bytes, size_t *size)
{
    *bytes = kin_value_kind(item) == KIN_VALUE_STR ? (const void *)kin_value_get_str(item, size)
                                                   : kin_value_get_bytes(item, size);
    return *bytes != NULL ? 0 : KIN_EKIND;
}

long kin__remote_get(void *queue, void *buffer, size_t capacity, kin_deadline deadline)
{
    struct entry *entry;
    kin_value item = kin_value_none();
    const void *bytes;
    size_t size = 0;
    if (buffer == NULL && capacity > 0) return refused();
    int rc = get(queue, &entry, &item, deadline);
    if (rc < 0) return rc;
    rc = bytes_of(&item, &bytes, &size);
    if (rc == 0 && size > capacity) {
        kin__needed_size_set(size);
        rc = KIN_ETOOSMALL;
    }
    if (rc < 0) return keep(entry, item, rc);
    leave_entry(entry);
    if (size > 0) memcpy(buffer, bytes, size);
    kin_value_clear(&item);
    return (long)size;
}

long kin__remote_take(void *queue, void **message, kin_deadline deadline)
{
    struct entry *entry;
    struct kin__message *made = NULL;
    kin_value item = kin_value_none();
    const void *bytes;
    size_t size = 0;
    if (message == NULL) return refused();
    int rc = get(queue, &entry, &item, deadline);
    if (rc < 0) return rc;
    rc = bytes_of(&item, &bytes, &size);
    if (rc == 0) rc = kin__message_make(&made, size, KIN_FOREVER);
    if (rc < 0) return keep(entry, item, rc);
    leave_entry(entry);
    if (size > 0) memcpy(kin__message_bytes(made), bytes, size);
    *message = kin__message_bytes(made);
    kin_value_clear(&item);
    return (long)size;
}

long kin__remote_get_many(void *queue, kin_message *messages, size_t count, void *buffer, size_t capacity,
                          kin_deadline deadline)
{
    long rc = 0;
    size_t done = 0, used = 0;
    if ((messages == NULL && count > 0) || (buffer == NULL && capacity > 0)) return refused();
    while (done < count && used <= capacity) {
        char *place = (char *)buffer + used;
        rc = kin__remote_get(queue, place, capacity - used, done == 0 ? deadline : KIN_NOW);
        if (rc < 0) break;
        messages[done++] = (kin_message){place, (size_t)rc};
        used = (used + (size_t)rc + 7) & ~(size_t)7;
    }
    return done > 0 || rc >= 0 ? partly(done) : rc;
}

int kin__remote_get_value(void *queue, kin_value *value, kin_deadline deadline)
{
    struct entry *entry;
    int rc = get(queue, &entry, value, deadline);
    if (rc == 0) leave_entry(entry);
    return rc;
}

/* ---- queues: the rest ---------------------------------------------------------------------------- */

int kin__remote_shutdown(void *queue, bool immediate)
{
    kin_value arguments = immediate ? kin_value_build("(b)", 1) : kin_value_none();
    return (int)call_with(queue, "shutdown", arguments, "", KIN_EREMOTE);
}

long kin__remote_qsize(void *queue)
{
    return call_number(queue, "qsize");
}

int kin__remote_full(void *queue)
{
    return (int)call_number(queue, "full");
}

int kin__remote_task_done(void *queue)
{
    return (int)call_with(queue, "task_done", kin_value_none(), "ValueError", KIN_ENOTASK);
}

int kin__remote_join(void *queue, kin_deadline deadline)
{
    struct entry *entry;
    int rc = entry_of(queue, &entry);
    if (rc < 0) return rc;
    return leave(entry, kin__proxy_join(entry->proxy, deadline));
}

/* ---- locks ------------------------------------------------------------------------------------------ */

int kin__remote_acquire(void *lock, kin_deadline deadline)
{
    struct entry *entry;
    int rc = entry_of(lock, &entry);
    if (rc < 0) return rc;
    return leave(entry, kin_proxy_acquire(entry->proxy, deadline));
}

int kin__remote_release(void *lock)
{
    struct entry *entry;
    int rc = entry_of(lock, &entry);
    if (rc < 0) return rc;
    return leave_as(entry, kin_proxy_release(entry->proxy), "RuntimeError", -EPERM);
}

int kin__remote_locked(void *lock)
{
    /* What has acquire need not have that, above all with Python's managers. */
    return (int)call_with(lock, "locked", kin_value_none(), "RemoteError", -EOPNOTSUPP);
}

KIN__LAYOUT_PART(remote, struct kin__remote);
