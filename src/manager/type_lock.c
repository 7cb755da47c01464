/* type_lock.c: Lock, RLock, Semaphore, BoundedSemaphore.
 *
 * All four are a count of permits and a list of who holds how many.  A Lock is a semaphore of one;
 * an RLock too, whose holder may take it again.  As in Python anybody may release a Lock or a
 * Semaphore: whoever does gives back what it holds itself, or else what the one holds that has held
 * longest.
 *
 * What Python lacks: when a client is gone, what it held is given back, and the next one of kin's
 * clients that acquires is told.
 *
 * Invariant: nobody is parked while there is a permit.
 */
#include "manager/type_lock.h"

#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/holding.h"
#include "manager/object.h"
#include "manager/session.h"
#include "manager/types.h"

enum kind { LOCK, RLOCK, SEMAPHORE, BOUNDED_SEMAPHORE };

struct lock {
    struct kin__managed object;
    enum kind kind;
    int64_t permits;
    int64_t initial;
    struct kin__links waiting;
    struct kin__links holdings;
    bool owner_died; /* since it was acquired last */
};

static struct lock *lock_of(struct kin__managed *object)
{
    return (struct lock *)(void *)object;
}

static void grant(struct kin__server *server, struct lock *lock);

static void give_back(struct kin__server *server, struct kin__holding *holding)
{
    struct lock *lock = lock_of(holding->object);
    lock->permits += lock->kind == RLOCK ? 1 : holding->count;
    lock->owner_died = true;
    kin__managed_incref(&lock->object);
    kin__holding_free(server, holding);
    grant(server, lock);
    kin__managed_decref(server, &lock->object);
}

/* What acquire returns: the truth, which for a client of kin's can be KIN_OWNER_DIED. */
static kin_value news(struct lock *lock, struct kin__session *session)
{
    bool died = lock->owner_died;
    lock->owner_died = false;
    return died && session->kin ? kin_value_int(1 + KIN_OWNER_DIED) : kin_value_bool(true);
}

/* Takes a permit for the session: false when there is no memory to note it. */
static bool take(struct lock *lock, struct kin__session *session, unsigned levels)
{
    if (kin__hold(session, &lock->object, &lock->holdings, levels, give_back) == NULL) return false;
    lock->permits--;
    return true;
}

/* Gives permits to those who wait. */
static void grant(struct kin__server *server, struct lock *lock)
{
    struct kin__session *session;
    (void)server;
    while (lock->permits > 0 && (session = kin__session_first(&lock->waiting)) != NULL) {
        /* One that was woken from a condition gets its levels back, and that wait's result. */
        bool again = session->wait.other != NULL;
        unsigned levels = again ? session->wait.count : 1;
        if (!take(lock, session, levels))
            kin__session_raise(session, kin_value_errorf("MemoryError", "no memory for a lock"));
        else if (again)
            kin__session_return(session, kin_value_bool(session->wait.flag));
        else
            kin__session_return(session, news(lock, session));
    }
}

/* ---- methods ------------------------------------------------------------------------------------- */

static void on_deadline(struct kin__session *session)
{
    kin__session_return(session, kin_value_bool(false));
}

/* How long a lock waits: for ever is None, and Python's -1 too. */
static bool read_waiting(struct kin__call *call, bool *blocking, double *seconds)
{
    double given = -1;
    kin__argument_truth(call->argument[0], blocking);
    if (!kin__argument_timeout(call, call->argument[1], NULL, seconds)) return false;
    if (*seconds < 0) return true;
    kin_value_get_float(call->argument[1], &given);
    if (given == -1)
        *seconds = -1;
    else if (!*blocking)
        kin__raisef(call, "ValueError", "can't specify a timeout for a non-blocking call");
    else if (given < 0)
        kin__raisef(call, "ValueError", "timeout value must be positive");
    else
        return kin__can_wait(call, given);
    return *seconds < 0;
}

/* The same for a semaphore, which in Python looks at the time only when it has to wait. */
static bool read_semaphore_waiting(struct kin__call *call, bool *blocking, double *seconds)
{
    const kin_value *timeout = call->argument[1];
    *seconds = -1;
    kin__argument_truth(call->argument[0], blocking);
    if (!*blocking && timeout != NULL && kin_value_kind(timeout) != KIN_VALUE_NONE) {
        kin__raisef(call, "ValueError", "can't specify timeout for non-blocking acquire");
        return false;
    }
    return lock_of(call->object)->permits > 0 || kin__argument_timeout(call, timeout, "+", seconds);
}

enum kin__outcome kin__lock_acquire(struct kin__call *call)
{
    struct lock *lock = lock_of(call->object);
    bool blocking = true;
    double seconds;
    bool read = lock->kind >= SEMAPHORE ? read_semaphore_waiting(call, &blocking, &seconds)
                                        : read_waiting(call, &blocking, &seconds);
    if (!read) return KIN__RAISE;
    struct kin__holding *own = kin__holding_of(call->session, call->object);
    if (lock->kind == RLOCK && own != NULL) {
        own->count++;
        return kin__return(call, kin_value_bool(true));
    }
    if (lock->permits > 0) {
        if (!take(lock, call->session, 1)) return kin__raise_code(call, -ENOMEM);
        return kin__return(call, news(lock, call->session));
    }
    if (!blocking || seconds == 0) return kin__return(call, kin_value_bool(false));
    return kin__session_park(call, call->object, &lock->waiting, seconds, on_deadline);
}

/* Whose permit a release gives back; NULL: it is one more than there were. */
static struct kin__holding *to_release(struct lock *lock, struct kin__session *session)
{
    struct kin__holding *own = kin__holding_of(session, &lock->object);
    if (own != NULL || lock->kind == RLOCK || kin__links_empty(&lock->holdings)) return own;
    return kin__links_entry(lock->holdings.next, struct kin__holding, in_object);
}

enum kin__outcome kin__lock_release(struct kin__call *call)
{
    struct lock *lock = lock_of(call->object);
    struct kin__holding *holding = to_release(lock, call->session);
    if (lock->kind == RLOCK && holding == NULL)
        return kin__raisef(call, "RuntimeError", "cannot release un-acquired lock");
    if (lock->kind == LOCK && lock->permits > 0)
        return kin__raisef(call, "RuntimeError", "release unlocked lock");
    if (lock->kind == BOUNDED_SEMAPHORE && lock->permits >= lock->initial)
        return kin__raisef(call, "ValueError", "Semaphore released too many times");
    bool last = lock->kind != RLOCK || holding->count == 1;
    if (holding != NULL) kin__unhold(call->server, holding);
    if (last) {
        lock->permits++;
        grant(call->server, lock);
    }
    return kin__return_none(call);
}

/* release(n) of a semaphore. */
static enum kin__outcome semaphore_release(struct kin__call *call)
{
    struct lock *lock = lock_of(call->object);
    int64_t count = 1;
    if (!kin__argument_int(call, call->argument[0], &count)) return KIN__RAISE;
    if (count < 1) return kin__raisef(call, "ValueError", "n must be one or more");
    if (lock->kind == BOUNDED_SEMAPHORE && count > lock->initial - lock->permits)
        return kin__raisef(call, "ValueError", "Semaphore released too many times");
    if (count > INT64_MAX / 2 - lock->permits) return kin__raise_code(call, -ERANGE);
    for (struct kin__holding *holding; count > 0 && (holding = to_release(lock, call->session)) != NULL;
         count--) {
        kin__unhold(call->server, holding);
        lock->permits++;
    }
    lock->permits += count;
    grant(call->server, lock);
    return kin__return_none(call);
}

enum kin__outcome kin__lock_locked(struct kin__call *call)
{
    return kin__return(call, kin_value_bool(lock_of(call->object)->permits == 0));
}

/* ---- for conditions --------------------------------------------------------------------------------- */

bool kin__is_lock(const struct kin__managed *object)
{
    return object->type->make.function == kin__type_lock.make.function;
}

bool kin__lock_is_held(struct kin__managed *object, struct kin__session *session)
{
    struct lock *lock = lock_of(object);
    /* Clients may release what another has acquired, all but an RLock; but not those who come back, of whom
     * another may have acquired it meanwhile. */
    bool own = lock->kind == RLOCK || session->identity != NULL;
    return own ? kin__holding_of(session, object) != NULL : lock->permits == 0;
}

unsigned kin__lock_give_up(struct kin__server *server, struct kin__managed *object,
                           struct kin__session *session)
{
    struct lock *lock = lock_of(object);
    struct kin__holding *holding = to_release(lock, session);
    unsigned levels = 1;
    if (holding != NULL && lock->kind == RLOCK) {
        levels = holding->count;
        kin__holding_free(server, holding);
    } else if (holding != NULL) {
        kin__unhold(server, holding);
    }
    lock->permits++;
    grant(server, lock);
    return levels;
}

void kin__lock_take_again(struct kin__managed *object, struct kin__session *session)
{
    struct lock *lock = lock_of(object);
    struct kin__server *server = session->server;
    kin__session_move(session, object, &lock->waiting);
    grant(server, lock);
}

/* ---- the types ----------------------------------------------------------------------------------------- */

static enum kin__outcome make(struct kin__call *call)
{
    struct lock *lock = lock_of(call->object);
    static const char *const names[] = {"Lock", "RLock", "Semaphore", "BoundedSemaphore"};
    while (strcmp(names[lock->kind], call->object->type->name) != 0) lock->kind++;
    kin__links_init(&lock->waiting);
    kin__links_init(&lock->holdings);
    lock->initial = 1;
    if (lock->kind >= SEMAPHORE && !kin__argument_int(call, call->argument[0], &lock->initial))
        return KIN__RAISE;
    if (lock->initial < 0) return kin__raisef(call, "ValueError", "semaphore initial value must be >= 0");
    lock->permits = lock->initial;
    return KIN__RETURN;
}

/* Whoever held something then has no connection any more. */
static void save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    struct lock *lock = lock_of(object);
    int64_t permits = lock->permits;
    if (lock->kind >= SEMAPHORE) *arguments = kin_value_build("(v)", kin_value_int(lock->initial));
    if (lock->kind != SEMAPHORE) return;
    for (struct kin__links *link = lock->holdings.next; link != &lock->holdings; link = link->next)
        permits += kin__links_entry(link, struct kin__holding, in_object)->count;
    *state = kin_value_int(permits);
}

static int restore(struct kin__call *call, const kin_value *state)
{
    struct lock *lock = lock_of(call->object);
    return kin_value_get_int(state, &lock->permits) < 0 || lock->permits < 0 ? KIN_ESNAPSHOT : 0;
}

static const struct kin__method lock_methods[] = {
    {"acquire", kin__lock_acquire, "blocking timeout", 0, KIN__KEYWORDS},
    {"release", kin__lock_release, "", 0, KIN__BUILTIN},
    {"locked", kin__lock_locked, "", 0, KIN__BUILTIN},
    {0},
};

static const struct kin__method semaphore_methods[] = {
    {"acquire", kin__lock_acquire, "blocking timeout", 0, KIN__PYTHON},
    {"release", semaphore_release, "n", 0, KIN__PYTHON},
    {"locked", kin__lock_locked, "", 0, KIN__PYTHON},
    {0},
};

#define LOCK_TYPE(identifier, word, class_word, make_word, parameters, convention, table) \
    const struct kin__type identifier = { \
        .name = word, \
        .size = sizeof(struct lock), \
        .class = class_word, \
        .make = {make_word, make, parameters, 0, convention}, \
        .methods = table, \
        .save = save, \
        .restore = restore, \
        .reads = "locked", \
    }

LOCK_TYPE(kin__type_lock, "Lock", "lock", "_thread.allocate_lock", "", KIN__BUILTIN, lock_methods);
LOCK_TYPE(kin__type_rlock, "RLock", NULL, "RLock", "", KIN__BUILTIN, lock_methods);
LOCK_TYPE(kin__type_semaphore, "Semaphore", NULL, "__init__", "value", KIN__PYTHON, semaphore_methods);
LOCK_TYPE(kin__type_bounded_semaphore, "BoundedSemaphore", NULL, "__init__", "value", KIN__PYTHON,
          semaphore_methods);
