/* type_condition.c: Condition, Event, Barrier.
 *
 * None of them waits for a sleeper: one whose client is gone stands in no list any more.  A party of
 * a barrier that is gone breaks it, for the others would wait in vain.
 */
#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/session.h"
#include "manager/type_lock.h"
#include "manager/types.h"

/* ---- Condition ---------------------------------------------------------------------------------- */

struct condition {
    struct kin__managed object;
    struct kin__managed *lock; /* a reference */
    struct kin__links waiting;
};

static struct condition *condition_of(struct kin__managed *object)
{
    return (struct condition *)(void *)object;
}

static enum kin__outcome condition_make(struct kin__call *call)
{
    struct condition *condition = condition_of(call->object);
    const kin_value *given = call->argument[0];
    kin__links_init(&condition->waiting);
    if (given == NULL || kin_value_kind(given) == KIN_VALUE_NONE) {
        struct kin__call make = {.server = call->server, .session = call->session};
        if (!kin__may_make(call)) return KIN__RAISE;
        condition->lock = make.object = kin__managed_make(call->server, &kin__type_rlock);
        if (condition->lock == NULL) return kin__raise_code(call, -ENOMEM);
        return kin__type_rlock.make.function(&make);
    }
    const char *ident = kin_value_token_id(given);
    struct kin__managed *lock = ident != NULL ? kin__managed_find(call->server, ident) : NULL;
    if (ident == NULL)
        return kin__raisef(call, "AttributeError", "'%s' object has no attribute 'acquire'",
                           kin_value_kind_name(given));
    if (lock == NULL || !kin__is_lock(lock))
        return kin__raisef(call, "TypeError", "a condition's lock must be a lock of this manager");
    /* Whoever may use the condition may acquire and release it. */
    if (call->session != NULL && !kin__may(call->session, kin__permission_name(lock->type), KIN_MAY_WRITE))
        return kin__raise(call, kin__may_not(call->session, kin__permission_name(lock->type), "acquire"));
    condition->lock = kin__managed_incref(lock);
    return KIN__RETURN;
}

static void condition_drop(struct kin__server *server, struct kin__managed *object)
{
    kin__managed_decref(server, condition_of(object)->lock);
}

static enum kin__outcome condition_acquire(struct kin__call *call)
{
    call->object = condition_of(call->object)->lock;
    return kin__lock_acquire(call);
}

static enum kin__outcome condition_release(struct kin__call *call)
{
    call->object = condition_of(call->object)->lock;
    return kin__lock_release(call);
}

static enum kin__outcome condition_locked(struct kin__call *call)
{
    call->object = condition_of(call->object)->lock;
    return kin__lock_locked(call);
}

/* From the condition to the queue of its lock, with what wait is to return. */
static void wake(struct kin__session *session, bool notified)
{
    struct condition *condition = condition_of(session->wait.other);
    session->wait.flag = notified;
    kin__lock_take_again(condition->lock, session);
}

static void condition_timed_out(struct kin__session *session)
{
    wake(session, false);
}

static enum kin__outcome condition_wait(struct kin__call *call)
{
    struct condition *condition = condition_of(call->object);
    struct kin__session *session = call->session;
    double seconds;
    if (!kin__lock_is_held(condition->lock, session))
        return kin__raisef(call, "RuntimeError", "cannot wait on un-acquired lock");
    if (!kin__argument_timeout(call, call->argument[0], ">", &seconds) ||
        kin__session_park(call, call->object, &condition->waiting, seconds, condition_timed_out) ==
            KIN__RAISE)
        return KIN__RAISE;
    session->wait.other = kin__managed_incref(call->object);
    session->wait.count = kin__lock_give_up(call->server, condition->lock, session);
    return KIN__PARKED;
}

static enum kin__outcome notify(struct kin__call *call, int64_t count, const kin_value *given)
{
    struct condition *condition = condition_of(call->object);
    struct kin__session *session;
    if (!kin__lock_is_held(condition->lock, call->session))
        return kin__raisef(call, "RuntimeError", "cannot notify on un-acquired lock");
    if (kin__links_empty(&condition->waiting)) return kin__return_none(call);
    if (!kin__argument_int(call, given, &count)) return KIN__RAISE;
    while (count-- > 0 && (session = kin__session_first(&condition->waiting)) != NULL) wake(session, true);
    return kin__return_none(call);
}

static enum kin__outcome condition_notify(struct kin__call *call)
{
    return notify(call, 1, call->argument[0]);
}

static enum kin__outcome condition_notify_all(struct kin__call *call)
{
    return notify(call, INT64_MAX, NULL);
}

static void condition_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    char ident[KIN__IDENT_SIZE];
    const struct kin__managed *lock = condition_of(object)->lock;
    (void)state;
    kin__managed_ident(lock, ident);
    *arguments = kin_value_build("(v)", kin_value_token(lock->type->name, kin_value_str(""), ident));
}

static const struct kin__method condition_methods[] = {
    {"acquire", condition_acquire, "blocking timeout", 0, KIN__KEYWORDS},
    {"release", condition_release, "", 0, KIN__BUILTIN},
    {"locked", condition_locked, "", 0, KIN__PYTHON},
    {"wait", condition_wait, "timeout", 0, KIN__PYTHON},
    {"notify", condition_notify, "n", 0, KIN__PYTHON},
    {"notify_all", condition_notify_all, "", 0, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_condition = {
    .name = "Condition",
    .size = sizeof(struct condition),
    .make = {"__init__", condition_make, "lock", 0, KIN__PYTHON},
    .drop = condition_drop,
    .methods = condition_methods,
    .save = condition_save,
    .reads = "locked",
};

/* ---- Event ----------------------------------------------------------------------------------------- */

struct event {
    struct kin__managed object;
    bool set;
    struct kin__links waiting;
};

static struct event *event_of(struct kin__managed *object)
{
    return (struct event *)(void *)object;
}

static enum kin__outcome event_make(struct kin__call *call)
{
    kin__links_init(&event_of(call->object)->waiting);
    return KIN__RETURN;
}

static enum kin__outcome event_is_set(struct kin__call *call)
{
    return kin__return(call, kin_value_bool(event_of(call->object)->set));
}

static enum kin__outcome event_set(struct kin__call *call)
{
    struct event *event = event_of(call->object);
    event->set = true;
    while (!kin__links_empty(&event->waiting))
        kin__session_return(kin__session_of(event->waiting.next), kin_value_bool(true));
    return kin__return_none(call);
}

static enum kin__outcome event_clear(struct kin__call *call)
{
    event_of(call->object)->set = false;
    return kin__return_none(call);
}

static void event_timed_out(struct kin__session *session)
{
    kin__session_return(session, kin_value_bool(false));
}

static enum kin__outcome event_wait(struct kin__call *call)
{
    struct event *event = event_of(call->object);
    double seconds;
    if (event->set) return kin__return(call, kin_value_bool(true));
    if (!kin__argument_timeout(call, call->argument[0], ">", &seconds)) return KIN__RAISE;
    if (seconds == 0) return kin__return(call, kin_value_bool(false));
    return kin__session_park(call, call->object, &event->waiting, seconds, event_timed_out);
}

static void event_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    (void)arguments;
    *state = kin_value_bool(event_of(object)->set);
}

static int event_restore(struct kin__call *call, const kin_value *state)
{
    event_of(call->object)->set = kin_value_is_true(state) == 1;
    return 0;
}

static const struct kin__method event_methods[] = {
    {"is_set", event_is_set, "", 0, KIN__PYTHON},
    {"set", event_set, "", 0, KIN__PYTHON},
    {"clear", event_clear, "", 0, KIN__PYTHON},
    {"wait", event_wait, "timeout", 0, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_event = {
    .name = "Event",
    .size = sizeof(struct event),
    .make = {"__init__", event_make, "", 0, KIN__PYTHON},
    .methods = event_methods,
    .save = event_save,
    .restore = event_restore,
    .reads = "is_set wait",
};

/* ---- Barrier ---------------------------------------------------------------------------------------- */

struct barrier {
    struct kin__managed object;
    int64_t parties;
    unsigned waiting_count;
    double timeout; /* of its waits; negative: none */
    bool broken;
    struct kin__links waiting;
};

static struct barrier *barrier_of(struct kin__managed *object)
{
    return (struct barrier *)(void *)object;
}

static kin_value broken_error(void)
{
    return kin_value_error("threading.BrokenBarrierError", kin_value_tuple(NULL, 0));
}

static enum kin__outcome barrier_make(struct kin__call *call)
{
    struct barrier *barrier = barrier_of(call->object);
    kin__links_init(&barrier->waiting);
    if (!kin__argument_int(call, call->argument[0], &barrier->parties)) return KIN__RAISE;
    if (barrier->parties < 1 || barrier->parties > INT32_MAX)
        return kin__raisef(call, "ValueError", "parties must be > 0");
    if (call->argument[1] != NULL && kin_value_kind(call->argument[1]) != KIN_VALUE_NONE)
        return kin__raisef(call, "TypeError", "a barrier's action cannot run in this manager");
    return kin__argument_timeout(call, call->argument[2], "+", &barrier->timeout) ? KIN__RETURN : KIN__RAISE;
}

/* All who wait get the error. */
static void turn_away(struct barrier *barrier)
{
    while (!kin__links_empty(&barrier->waiting)) {
        barrier->waiting_count--;
        kin__session_raise(kin__session_of(barrier->waiting.next), broken_error());
    }
}

static void break_off(struct kin__managed *object)
{
    struct barrier *barrier = barrier_of(object);
    barrier->broken = true;
    turn_away(barrier);
}

static void barrier_timed_out(struct kin__session *session)
{
    break_off(session->wait.object);
}

static void barrier_abandoned(struct kin__session *session)
{
    struct barrier *barrier = barrier_of(session->wait.object);
    kin__links_remove(&session->wait.link);
    barrier->waiting_count--;
    break_off(session->wait.object);
}

/* The last one to come sends all on; each gets the number by which it came. */
static enum kin__outcome barrier_wait(struct kin__call *call)
{
    struct barrier *barrier = barrier_of(call->object);
    double seconds;
    if (!kin__argument_timeout(call, call->argument[0], "+", &seconds)) return KIN__RAISE;
    if (seconds < 0) seconds = barrier->timeout;
    if (barrier->broken) return kin__raise(call, broken_error());
    unsigned index = barrier->waiting_count;
    if (index + 1 == (uint64_t)barrier->parties) {
        while (!kin__links_empty(&barrier->waiting)) {
            struct kin__session *session = kin__session_of(barrier->waiting.next);
            barrier->waiting_count--;
            kin__session_return(session, kin_value_uint(session->wait.count));
        }
        return kin__return(call, kin_value_uint(index));
    }
    if (seconds == 0) {
        break_off(call->object);
        return kin__raise(call, broken_error());
    }
    if (kin__session_park(call, call->object, &barrier->waiting, seconds, barrier_timed_out) == KIN__RAISE)
        return KIN__RAISE;
    barrier->waiting_count++;
    call->session->wait.count = index;
    call->session->wait.abandoned = barrier_abandoned;
    return KIN__PARKED;
}

static enum kin__outcome barrier_reset(struct kin__call *call)
{
    struct barrier *barrier = barrier_of(call->object);
    turn_away(barrier);
    barrier->broken = false;
    return kin__return_none(call);
}

static enum kin__outcome barrier_abort(struct kin__call *call)
{
    break_off(call->object);
    return kin__return_none(call);
}

static enum kin__outcome barrier_attribute(struct kin__call *call)
{
    struct barrier *barrier = barrier_of(call->object);
    const char *name = kin_value_get_str(call->argument[0], NULL);
    if (name != NULL && strcmp(name, "parties") == 0)
        return kin__return(call, kin_value_int(barrier->parties));
    if (name != NULL && strcmp(name, "n_waiting") == 0)
        return kin__return(call, kin_value_uint(barrier->waiting_count));
    if (name != NULL && strcmp(name, "broken") == 0)
        return kin__return(call, kin_value_bool(barrier->broken));
    return kin__raisef(call, "AttributeError", "'Barrier' object has no attribute '%.100s'",
                       name != NULL ? name : "");
}

static void barrier_save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    const struct barrier *barrier = barrier_of(object);
    kin_value timeout = barrier->timeout < 0 ? kin_value_none() : kin_value_float(barrier->timeout);
    (void)state;
    *arguments = kin_value_build("(vvv)", kin_value_int(barrier->parties), kin_value_none(), timeout);
}

static const struct kin__method barrier_methods[] = {
    {"__getattribute__", barrier_attribute, "name", 1, KIN__SLOT},
    {"wait", barrier_wait, "timeout", 0, KIN__PYTHON},
    {"abort", barrier_abort, "", 0, KIN__PYTHON},
    {"reset", barrier_reset, "", 0, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_barrier = {
    .name = "Barrier",
    .size = sizeof(struct barrier),
    .make = {"__init__", barrier_make, "parties action timeout", 1, KIN__PYTHON},
    .methods = barrier_methods,
    .save = barrier_save,
    .reads = "__getattribute__",
};
