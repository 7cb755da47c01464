/* type_queue.c: Queue, JoinableQueue and TaskQueue.
 *
 * The first two are Python's queue.Queue.  A TaskQueue is one whose items are tasks: what a client
 * took and did not acknowledge by task_done goes back to the front when its connection ends, so that
 * another one does it.
 *
 * Invariants: nobody is parked in get while there are items, nor in put while there is room, nor in
 * join while nothing is unfinished.  An item is never taken for a client that is gone.
 */
#include <errno.h>
#include <string.h>

#include "manager/dispatch.h"
#include "manager/holding.h"
#include "manager/object.h"
#include "manager/session.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

struct queue {
    struct kin__managed object;
    kin_value *ring; /* kept */
    size_t first;
    size_t count;
    size_t capacity; /* a power of two */
    int64_t most;    /* 0 or less: no limit */
    uint64_t unfinished;
    struct kin__links getters;
    struct kin__links putters;
    struct kin__links joiners;
    struct kin__links taken; /* of a TaskQueue: items that are not acknowledged, oldest first */
    bool of_tasks;           /* a TaskQueue */
    bool shut_down;
};

/* An item of a TaskQueue in the hands of a client. */
struct taken {
    struct kin__holding holding;
    kin_value item; /* kept */
};

static struct queue *queue_of(struct kin__managed *object)
{
    return (struct queue *)(void *)object;
}

static bool is_full(const struct queue *queue)
{
    return queue->most > 0 && queue->count >= (uint64_t)queue->most;
}

static kin_value exception(const char *name)
{
    return kin_value_error(name, kin_value_tuple(NULL, 0));
}

/* ---- the ring ------------------------------------------------------------------------------------- */

static int reserve(struct queue *queue)
{
    if (queue->count < queue->capacity) return 0;
    size_t capacity = queue->capacity == 0 ? 16 : 2 * queue->capacity;
    kin_value *ring = kin__os_calloc(capacity, sizeof *ring);
    if (ring == NULL) return -ENOMEM;
    for (size_t i = 0; i < queue->count; i++)
        ring[i] = queue->ring[(queue->first + i) & (queue->capacity - 1)];
    kin__os_free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->first = 0;
    return 0;
}

/* Room has been reserved. */
static void push(struct queue *queue, kin_value item)
{
    queue->ring[(queue->first + queue->count++) & (queue->capacity - 1)] = item;
}

static void push_front(struct queue *queue, kin_value item)
{
    queue->first = (queue->first - 1) & (queue->capacity - 1);
    queue->ring[queue->first] = item;
    queue->count++;
}

static kin_value pop(struct queue *queue)
{
    kin_value item = queue->ring[queue->first];
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    return item;
}

/* ---- items change hands ------------------------------------------------------------------------------- */

static void give_back_item(struct kin__server *server, struct kin__holding *holding);

/* Notes that a client has taken an item; room to put it back is reserved, so that it cannot be lost. */
static int note_taken(struct queue *queue, struct kin__session *session, const kin_value *item)
{
    if (!queue->of_tasks) return 0;
    struct kin__holding *holding =
        kin__hold_new(session, &queue->object, &queue->taken, sizeof(struct taken), give_back_item);
    if (holding == NULL) return -ENOMEM;
    ((struct taken *)(void *)holding)->item = kin__keep_again(session->server, item);
    return 0;
}

/* Hands out items as long as there are some and somebody waits for them, and lets in what waits to
 * be put. */
static void serve(struct queue *queue)
{
    struct kin__session *session;
    for (;;) {
        if (queue->count > 0 && !kin__links_empty(&queue->getters)) {
            session = kin__session_first(&queue->getters);
            if (session == NULL) continue;
            if (note_taken(queue, session, &queue->ring[queue->first]) < 0) {
                kin__session_raise(session, exception("MemoryError"));
                continue;
            }
            kin__session_return_kept(session, pop(queue));
        } else if (!is_full(queue) && !kin__links_empty(&queue->putters)) {
            session = kin__session_first(&queue->putters);
            if (session == NULL) continue;
            if (reserve(queue) < 0) break;
            push(queue, session->wait.item);
            session->wait.item = kin_value_none();
            queue->unfinished++;
            kin__session_return(session, kin_value_none());
        } else {
            break;
        }
    }
}

static void give_back_item(struct kin__server *server, struct kin__holding *holding)
{
    struct taken *taken = (struct taken *)(void *)holding;
    struct queue *queue = queue_of(holding->object);
    kin_value item = taken->item;
    kin__managed_incref(&queue->object);
    kin__holding_free(server, holding);
    if (reserve(queue) == 0)
        push_front(queue, item);
    else
        kin__unkeep(server, &item);
    serve(queue);
    kin__managed_decref(server, &queue->object);
}

/* ---- methods ------------------------------------------------------------------------------------------- */

static void on_full(struct kin__session *session)
{
    kin__session_raise(session, exception("queue.Full"));
}

static void on_empty(struct kin__session *session)
{
    kin__session_raise(session, exception("queue.Empty"));
}

/* Reads block and timeout; 0 seconds stand for not blocking. */
static bool read_waiting(struct kin__call *call, const kin_value *block, const kin_value *timeout,
                         double *seconds)
{
    bool blocking = true;
    kin__argument_truth(block, &blocking);
    *seconds = 0;
    if (!blocking) return true;
    if (!kin__argument_timeout(call, timeout, "<", seconds)) return false;
    double given = 0;
    if (timeout != NULL && kin_value_get_float(timeout, &given) == 0 && given < 0) {
        kin__raisef(call, "ValueError", "'timeout' must be a non-negative number");
        return false;
    }
    return true;
}

static enum kin__outcome put(struct kin__call *call, double seconds)
{
    struct queue *queue = queue_of(call->object);
    if (queue->shut_down) return kin__raise(call, exception("queue.ShutDown"));
    if (is_full(queue)) {
        if (seconds == 0) return kin__raise(call, exception("queue.Full"));
        enum kin__outcome outcome = kin__session_park(call, call->object, &queue->putters, seconds, on_full);
        if (outcome == KIN__PARKED) call->session->wait.item = kin__keep(call, call->argument[0]);
        return outcome;
    }
    if (reserve(queue) < 0) return kin__raise_code(call, -ENOMEM);
    push(queue, kin__keep(call, call->argument[0]));
    queue->unfinished++;
    serve(queue);
    return kin__return_none(call);
}

static enum kin__outcome get(struct kin__call *call, double seconds)
{
    struct queue *queue = queue_of(call->object);
    if (queue->count == 0) {
        if (queue->shut_down) return kin__raise(call, exception("queue.ShutDown"));
        if (seconds == 0) return kin__raise(call, exception("queue.Empty"));
        return kin__session_park(call, call->object, &queue->getters, seconds, on_empty);
    }
    /* Nobody would hear the answer, nor come back for it. */
    if (call->session->gone && (call->session->identity == NULL || call->session->left))
        return kin__raise(call, exception("queue.Empty"));
    if (note_taken(queue, call->session, &queue->ring[queue->first]) < 0)
        return kin__raise_code(call, -ENOMEM);
    call->leaves = true;
    call->result = pop(queue);
    serve(queue);
    return KIN__RETURN;
}

static enum kin__outcome queue_put(struct kin__call *call)
{
    double seconds = -1;
    /* As in Python, one without a limit does not look at them. */
    if (queue_of(call->object)->most > 0 &&
        !read_waiting(call, call->argument[1], call->argument[2], &seconds))
        return KIN__RAISE;
    return put(call, seconds);
}

static enum kin__outcome queue_put_nowait(struct kin__call *call)
{
    return put(call, 0);
}

static enum kin__outcome queue_get(struct kin__call *call)
{
    double seconds;
    if (!read_waiting(call, call->argument[0], call->argument[1], &seconds)) return KIN__RAISE;
    return get(call, seconds);
}

static enum kin__outcome queue_get_nowait(struct kin__call *call)
{
    return get(call, 0);
}

static enum kin__outcome queue_qsize(struct kin__call *call)
{
    return kin__return(call, kin_value_uint(queue_of(call->object)->count));
}

static enum kin__outcome queue_empty(struct kin__call *call)
{
    return kin__return(call, kin_value_bool(queue_of(call->object)->count == 0));
}

static enum kin__outcome queue_full(struct kin__call *call)
{
    return kin__return(call, kin_value_bool(is_full(queue_of(call->object))));
}

static void wake_joiners(struct queue *queue)
{
    struct kin__session *session;
    while (queue->unfinished == 0 && (session = kin__session_first(&queue->joiners)) != NULL)
        kin__session_return(session, kin_value_none());
}

/* The oldest item that this client took is done; of those that others took it knows nothing. */
static bool acknowledge(struct kin__call *call)
{
    struct kin__holding *holding = kin__holding_of(call->session, call->object);
    if (holding == NULL) return false;
    kin__unkeep(call->server, &((struct taken *)(void *)holding)->item);
    kin__holding_free(call->server, holding);
    return true;
}

static enum kin__outcome queue_task_done(struct kin__call *call)
{
    struct queue *queue = queue_of(call->object);
    if (queue->unfinished == 0) return kin__raisef(call, "ValueError", "task_done() called too many times");
    if (queue->of_tasks && !acknowledge(call))
        return kin__raisef(call, "ValueError", "task_done() of a task that this client does not have");
    queue->unfinished--;
    wake_joiners(queue);
    return kin__return_none(call);
}

static void on_join_deadline(struct kin__session *session)
{
    kin__session_return(session, kin_value_bool(false));
}

/* With a time-out, which Python's has not, it returns False then. */
static enum kin__outcome queue_join(struct kin__call *call)
{
    struct queue *queue = queue_of(call->object);
    double seconds;
    if (!kin__argument_timeout(call, call->argument[0], "<", &seconds)) return KIN__RAISE;
    if (queue->unfinished == 0) return kin__return_none(call);
    if (seconds == 0) return kin__return(call, kin_value_bool(false));
    return kin__session_park(call, call->object, &queue->joiners, seconds, on_join_deadline);
}

static void raise_to_all(struct kin__links *list, const char *name)
{
    while (!kin__links_empty(list)) kin__session_raise(kin__session_of(list->next), exception(name));
}

/* Python's shutdown: no more is put, and once drained nothing is got; immediately: drains it too. */
static enum kin__outcome queue_shutdown(struct kin__call *call)
{
    struct queue *queue = queue_of(call->object);
    bool immediate = false;
    kin__argument_truth(call->argument[0], &immediate);
    queue->shut_down = true;
    raise_to_all(&queue->putters, "queue.ShutDown");
    while (immediate && queue->count > 0) {
        kin_value item = pop(queue);
        kin__unkeep(call->server, &item);
        if (queue->unfinished > 0) queue->unfinished--;
    }
    if (queue->count == 0) raise_to_all(&queue->getters, "queue.ShutDown");
    wake_joiners(queue);
    return kin__return_none(call);
}

/* ---- the types -------------------------------------------------------------------------------------------- */

static enum kin__outcome make(struct kin__call *call)
{
    struct queue *queue = queue_of(call->object);
    queue->of_tasks = strcmp(call->object->type->name, kin__type_task_queue.name) == 0;
    kin__links_init(&queue->getters);
    kin__links_init(&queue->putters);
    kin__links_init(&queue->joiners);
    kin__links_init(&queue->taken);
    if (!kin__argument_int(call, call->argument[0], &queue->most)) return KIN__RAISE;
    return KIN__RETURN;
}

static void drop(struct kin__server *server, struct kin__managed *object)
{
    struct queue *queue = queue_of(object);
    while (queue->count > 0) {
        kin_value item = pop(queue);
        kin__unkeep(server, &item);
    }
    kin__os_free(queue->ring);
}

/* What clients have taken and not acknowledged is at the front again. */
static void save(struct kin__managed *object, kin_value *arguments, kin_value *state)
{
    struct queue *queue = queue_of(object);
    kin_value items = kin_value_list(NULL, 0);
    for (struct kin__links *link = queue->taken.next; link != &queue->taken; link = link->next) {
        struct kin__holding *holding = kin__links_entry(link, struct kin__holding, in_object);
        kin__collect(&items, kin_value_ref(&((struct taken *)(void *)holding)->item));
    }
    for (size_t i = 0; i < queue->count; i++)
        kin__collect(&items, kin_value_ref(&queue->ring[(queue->first + i) & (queue->capacity - 1)]));
    *arguments = kin_value_build("(v)", kin_value_int(queue->most));
    *state =
        kin_value_build("(vvv)", kin_value_uint(queue->unfinished), kin_value_bool(queue->shut_down), items);
}

static int restore(struct kin__call *call, const kin_value *state)
{
    struct queue *queue = queue_of(call->object);
    const kin_value *unfinished, *shut_down, *items, *item;
    if (kin_value_parse(state, "(vvv)", &unfinished, &shut_down, &items) < 0 ||
        kin_value_get_uint(unfinished, &queue->unfinished) < 0)
        return KIN_ESNAPSHOT;
    queue->shut_down = kin_value_is_true(shut_down) == 1;
    for (size_t at = 0; kin_value_next(items, &at, &item, NULL);) {
        if (reserve(queue) < 0) return -ENOMEM;
        push(queue, kin__keep(call, item));
    }
    return 0;
}

static const struct kin__method methods[] = {
    {"empty", queue_empty, "", 0, KIN__PYTHON},
    {"full", queue_full, "", 0, KIN__PYTHON},
    {"get", queue_get, "block timeout", 0, KIN__PYTHON},
    {"get_nowait", queue_get_nowait, "", 0, KIN__PYTHON},
    {"join", queue_join, "timeout", 0, KIN__PYTHON},
    {"put", queue_put, "item block timeout", 1, KIN__PYTHON},
    {"put_nowait", queue_put_nowait, "item", 1, KIN__PYTHON},
    {"qsize", queue_qsize, "", 0, KIN__PYTHON},
    {"shutdown", queue_shutdown, "immediate", 0, KIN__PYTHON},
    {"task_done", queue_task_done, "", 0, KIN__PYTHON},
    {0},
};

#define QUEUE_TYPE(identifier, word) \
    const struct kin__type identifier = { \
        .name = word, \
        .size = sizeof(struct queue), \
        .class = "Queue", \
        .make = {"__init__", make, "maxsize", 0, KIN__PYTHON}, \
        .drop = drop, \
        .save = save, \
        .restore = restore, \
        .methods = methods, \
        .reads = "empty full qsize", \
    }

QUEUE_TYPE(kin__type_queue, "Queue");
QUEUE_TYPE(kin__type_joinable_queue, "JoinableQueue");
QUEUE_TYPE(kin__type_task_queue, "TaskQueue");
