/* type_pool.c: Pool.
 *
 * Every Pool of a manager has its tasks run by the same workers, those of the server (tasks.h), and has at most
 * as many in work at a time as it was made with.  A function is named by the name it was registered
 * under.  What is asked for is a *job*: chunks of items, each a task.
 *
 * Invariants:
 *  - A job that has chunks in work, or waiting for work, has a reference for each.
 *  - Who has something that may be handed out stands in the line of pools (server->pools), and hands out one task
 *    when it is its turn: nobody waits for the whole of what another has asked for.
 *  - Nobody is parked in join when a closed pool has nothing left to do.
 */
#include <errno.h>
#include <string.h>

#include <kin/container.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/sequence.h"
#include "manager/session.h"
#include "manager/tasks.h"
#include "manager/type_result.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

/*   turn   in server->pools, while it has tasks that it may hand out. */
struct pool {
    struct kin__managed object;
    struct kin__links turn;
    uint64_t most; /* tasks in work */
    size_t running;
    struct kin__links waiting; /* works, oldest first */
    struct kin__links working;
    struct kin__links joiners;
    bool closed;
};

/* A chunk on its way through the workers. */
struct work {
    struct kin__task task;
    struct kin__links link; /* in pool->waiting or pool->working */
    struct kin__job *job;   /* a reference */
    size_t chunk;
};

static struct pool *pool_of(struct kin__managed *object)
{
    return (struct pool *)(void *)object;
}

/* ---- tasks come and go -------------------------------------------------------------------------------- */

static void wake_joiners(struct pool *pool)
{
    struct kin__session *session;
    while (pool->closed && pool->running == 0 && kin__links_empty(&pool->waiting) &&
           (session = kin__session_first(&pool->joiners)) != NULL)
        kin__session_return(session, kin_value_none());
}

static void free_work(struct kin__server *server, struct work *work)
{
    struct kin__job *job = work->job;
    kin__links_remove(&work->link);
    kin_value_clear(&work->task.items);
    kin_value_clear(&work->task.keywords);
    kin__os_free(work);
    kin__managed_decref(server, &job->object);
}

/* The work is over: `values` and `error` are used up. */
static void conclude(struct kin__server *server, struct work *work, kin_value values, kin_value error)
{
    kin__job_conclude(work->job, work->chunk, values, error);
    free_work(server, work);
}

static void conclude_by_code(struct kin__server *server, struct work *work, const char *text)
{
    kin_value error = kin_value_error("multiprocessing.context.ProcessError", kin_value_build("(s)", text));
    conclude(server, work, kin_value_list(NULL, 0), error);
}

/* Puts the pool at the end of the line, if it has something to hand out and is not there yet. */
static void line_up(struct kin__server *server, struct pool *pool)
{
    if (pool->running < pool->most && !kin__links_empty(&pool->waiting) && kin__links_empty(&pool->turn))
        kin__links_append(&server->pools, &pool->turn);
}

/* One task of the pool; false: the workers have enough to do. */
static bool hand_out(struct kin__server *server, struct pool *pool)
{
    struct work *work = kin__links_entry(pool->waiting.next, struct work, link);
    int rc = kin__task_submit(server, &work->task);
    if (rc == -EAGAIN) return false;
    kin__managed_incref(&pool->object);
    kin__links_remove(&pool->turn);
    if (rc < 0) {
        conclude_by_code(server, work, kin_strerror(rc));
    } else {
        kin__links_remove(&work->link);
        kin__links_append(&pool->working, &work->link);
        pool->running++;
    }
    line_up(server, pool);
    wake_joiners(pool);
    kin__managed_decref(server, &pool->object);
    return true;
}

void kin__pools_hand_out(struct kin__server *server)
{
    while (!kin__links_empty(&server->pools) &&
           hand_out(server, kin__links_entry(server->pools.next, struct pool, turn))) {
    }
}

static void on_done(struct kin__server *server, struct kin__task *task, kin_value values, kin_value error)
{
    struct work *work = (struct work *)(void *)task;
    struct pool *pool = pool_of(work->job->pool);
    kin__managed_incref(&pool->object);
    pool->running--;
    conclude(server, work, values, error);
    line_up(server, pool);
    wake_joiners(pool);
    kin__managed_decref(server, &pool->object);
}

/* ---- jobs --------------------------------------------------------------------------------------------- */

/* Puts a chunk into the pool's line; uses `items` up. */
static int add_work(struct kin__job *job, const struct kin__task *like, size_t chunk, kin_value items)
{
    struct work *work = kin__os_calloc(1, sizeof *work);
    if (work == NULL) {
        kin_value_clear(&items);
        return -ENOMEM;
    }
    work->task = *like;
    work->task.items = items;
    work->task.keywords = kin_value_ref(&like->keywords);
    work->task.done = on_done;
    work->job = job;
    work->chunk = chunk;
    kin__managed_incref(&job->object);
    kin__links_append(&pool_of(job->pool)->waiting, &work->link);
    return 0;
}

/* The items from `first` on, `count` of them if there are so many. */
static kin_value part_of(const kin_value *items, size_t first, size_t count)
{
    kin_value part = kin_value_list(NULL, 0);
    const kin_value *item;
    for (size_t i = first; i < first + count && (item = kin_value_at(items, (long)i)) != NULL; i++)
        kin__collect(&part, kin_value_ref(item));
    return part;
}

/* Gives up a job of which not all is in the pool's line; what is, is at its end. */
static void take_back(struct kin__server *server, struct kin__job *job)
{
    struct kin__links *waiting = &pool_of(job->pool)->waiting;
    while (!kin__links_empty(waiting)) {
        struct work *work = kin__links_entry(waiting->previous, struct work, link);
        if (work->job != job) break;
        free_work(server, work);
    }
    kin__managed_decref(server, &job->object);
}

/* Begins a job over the items of a list, in chunks; the result is a reference, in call->created. */
static enum kin__outcome begin(struct kin__call *call, enum kin__job_kind kind, const struct kin__task *like,
                               const kin_value *items, size_t chunk_size)
{
    size_t count = ((size_t)kin_value_len(items) + chunk_size - 1) / chunk_size;
    if (!kin__may_make(call)) return KIN__RAISE;
    struct kin__job *job = kin__job_make(call->server, call->object, kind, count);
    int rc = job != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        kin_value part = part_of(items, i * chunk_size, chunk_size);
        rc = kin_value_error_code(&part);
        if (rc == 0) rc = add_work(job, like, i, part);
    }
    if (rc < 0) {
        if (job != NULL) take_back(call->server, job);
        return kin__raise_code(call, rc);
    }
    call->created = &job->object;
    line_up(call->server, pool_of(job->pool));
    kin__pools_hand_out(call->server);
    return KIN__RETURN;
}

/* ---- methods of a pool ----------------------------------------------------------------------------------- */

/* The function that argument 0 names. */
static bool read_function(struct kin__call *call, struct kin__task *like)
{
    const char *name = kin_value_get_str(call->argument[0], NULL);
    if (pool_of(call->object)->closed) {
        kin__raisef(call, "ValueError", "Pool not running");
        return false;
    }
    if (name == NULL) {
        kin__raisef(call, "TypeError", "a task is the name of a function that the manager has, not %s",
                    kin_value_kind_name(call->argument[0]));
        return false;
    }
    like->function = kin__tasks_find(call->server, name);
    if (like->function == NULL) kin__raisef(call, "NameError", "this manager has no task '%.100s'", name);
    return like->function != NULL;
}

static bool refuse_callback(struct kin__call *call, const kin_value *callback)
{
    if (callback == NULL || kin_value_kind(callback) == KIN_VALUE_NONE) return false;
    kin__raisef(call, "TypeError", "this manager cannot call back");
    return true;
}

/* apply and apply_async: one call. */
static enum kin__outcome begin_one(struct kin__call *call)
{
    struct kin__task like = {.spread = KIN__STAR};
    const kin_value *keywords = call->argument[2];
    kin_value arguments = kin_value_list(NULL, 0);
    if (!read_function(call, &like)) return KIN__RAISE;
    if (keywords != NULL && kin_value_kind(keywords) == KIN_VALUE_DICT) like.keywords = *keywords;
    if (call->argument[1] != NULL && kin__list_of(call, call->argument[1], &arguments) == KIN__RAISE)
        return KIN__RAISE;
    kin_value items = kin_value_build("[v]", arguments);
    enum kin__outcome outcome = begin(call, KIN__JOB_ONE, &like, &items, 1);
    kin_value_clear(&items);
    return outcome;
}

/* As many chunks as Python makes: four for each worker. */
static bool read_chunk_size(struct kin__call *call, size_t count, size_t usual, size_t *size)
{
    size_t parts = 4 * (size_t)pool_of(call->object)->most;
    int64_t given = usual != 0 ? (int64_t)usual : (int64_t)((count + parts - 1) / parts);
    const kin_value *argument = call->argument[2];
    if (argument != NULL && kin_value_kind(argument) != KIN_VALUE_NONE &&
        !kin__argument_int(call, argument, &given))
        return false;
    if (given < 1 && usual != 0) {
        kin__raisef(call, "ValueError", "Chunksize must be 1+, not %ld", (long)given);
        return false;
    }
    *size = given < 1 ? 1 : (size_t)given;
    return true;
}

static enum kin__outcome begin_many(struct kin__call *call, enum kin__job_kind kind, enum kin__spread spread)
{
    struct kin__task like = {.spread = spread};
    kin_value items;
    size_t size;
    if (!read_function(call, &like) || kin__list_of(call, call->argument[1], &items) == KIN__RAISE)
        return KIN__RAISE;
    enum kin__outcome outcome = KIN__RAISE;
    if (read_chunk_size(call, (size_t)kin_value_len(&items), kind >= KIN__JOB_IN_ORDER ? 1 : 0, &size))
        outcome = begin(call, kind, &like, &items, size);
    kin_value_clear(&items);
    return outcome;
}

/* Parks the client for what has begun; nobody else knows the job. */
static enum kin__outcome await(struct kin__call *call, enum kin__outcome begun)
{
    if (begun == KIN__RAISE) return begun;
    struct kin__managed *pool = call->object, *job = call->created;
    memset(call->argument, 0, sizeof call->argument);
    call->object = job;
    enum kin__outcome outcome = kin__job_get(call);
    call->object = pool;
    call->created = NULL;
    kin__managed_decref(call->server, job);
    return outcome;
}

static enum kin__outcome created(enum kin__outcome begun)
{
    return begun == KIN__RAISE ? begun : KIN__CREATED;
}

static enum kin__outcome pool_apply(struct kin__call *call)
{
    return await(call, begin_one(call));
}

static enum kin__outcome pool_apply_async(struct kin__call *call)
{
    if (refuse_callback(call, call->argument[3]) || refuse_callback(call, call->argument[4]))
        return KIN__RAISE;
    return created(begin_one(call));
}

static enum kin__outcome pool_map(struct kin__call *call)
{
    return await(call, begin_many(call, KIN__JOB_ALL, KIN__EACH));
}

static enum kin__outcome pool_map_async(struct kin__call *call)
{
    if (refuse_callback(call, call->argument[3]) || refuse_callback(call, call->argument[4]))
        return KIN__RAISE;
    return created(begin_many(call, KIN__JOB_ALL, KIN__EACH));
}

static enum kin__outcome pool_starmap(struct kin__call *call)
{
    return await(call, begin_many(call, KIN__JOB_ALL, KIN__STAR));
}

static enum kin__outcome pool_starmap_async(struct kin__call *call)
{
    if (refuse_callback(call, call->argument[3]) || refuse_callback(call, call->argument[4]))
        return KIN__RAISE;
    return created(begin_many(call, KIN__JOB_ALL, KIN__STAR));
}

static enum kin__outcome pool_imap(struct kin__call *call)
{
    return created(begin_many(call, KIN__JOB_IN_ORDER, KIN__EACH));
}

static enum kin__outcome pool_imap_unordered(struct kin__call *call)
{
    return created(begin_many(call, KIN__JOB_AS_DONE, KIN__EACH));
}

static enum kin__outcome pool_close(struct kin__call *call)
{
    pool_of(call->object)->closed = true;
    wake_joiners(pool_of(call->object));
    return kin__return_none(call);
}

/* Works are concluded and freed, those of the workers too: what comes of them is dropped. */
static enum kin__outcome pool_terminate(struct kin__call *call)
{
    struct pool *pool = pool_of(call->object);
    struct kin__links *lists[] = {&pool->waiting, &pool->working};
    pool->closed = true;
    for (int i = 0; i < 2; i++) {
        while (!kin__links_empty(lists[i])) {
            struct work *work = kin__links_entry(lists[i]->next, struct work, link);
            kin__task_drop(call->server, &work->task);
            conclude_by_code(call->server, work, "the pool was terminated");
        }
    }
    pool->running = 0;
    kin__links_remove(&pool->turn);
    wake_joiners(pool);
    kin__pools_hand_out(call->server);
    return kin__return_none(call);
}

static enum kin__outcome pool_join(struct kin__call *call)
{
    struct pool *pool = pool_of(call->object);
    if (!pool->closed) return kin__raisef(call, "ValueError", "Pool is still running");
    if (pool->running == 0 && kin__links_empty(&pool->waiting)) return kin__return_none(call);
    return kin__session_park(call, call->object, &pool->joiners, -1, NULL);
}

static enum kin__outcome make_pool(struct kin__call *call)
{
    struct pool *pool = pool_of(call->object);
    int64_t processes = kin__tasks_workers(call->server);
    const kin_value *given = call->argument[0], *initializer = call->argument[1];
    if (given != NULL && kin_value_kind(given) != KIN_VALUE_NONE &&
        !kin__argument_int(call, given, &processes))
        return KIN__RAISE;
    if (processes < 1) return kin__raisef(call, "ValueError", "Number of processes must be at least 1");
    if (initializer != NULL && kin_value_kind(initializer) != KIN_VALUE_NONE)
        return kin__raisef(call, "TypeError", "this manager cannot call an initializer");
    /* As many as there can be tasks: more make no difference. */
    pool->most = processes < INT32_MAX ? (uint64_t)processes : INT32_MAX;
    kin__links_init(&pool->turn);
    kin__links_init(&pool->waiting);
    kin__links_init(&pool->working);
    kin__links_init(&pool->joiners);
    return KIN__RETURN;
}

/* Only when the server ends: works have references. */
static void drop_pool(struct kin__server *server, struct kin__managed *object)
{
    struct pool *pool = pool_of(object);
    struct kin__links *lists[] = {&pool->waiting, &pool->working};
    kin__links_remove(&pool->turn);
    for (int i = 0; i < 2; i++) {
        while (!kin__links_empty(lists[i])) {
            struct work *work = kin__links_entry(lists[i]->next, struct work, link);
            kin__task_drop(server, &work->task);
            free_work(server, work);
        }
    }
}

/* ---- the types -------------------------------------------------------------------------------------------- */

static const struct kin__method pool_methods[] = {
    {"apply", pool_apply, "func args kwds", 1, KIN__PYTHON},
    {"apply_async", pool_apply_async, "func args kwds callback error_callback", 1, KIN__PYTHON},
    {"close", pool_close, "", 0, KIN__PYTHON},
    {"imap", pool_imap, "func iterable chunksize", 2, KIN__PYTHON},
    {"imap_unordered", pool_imap_unordered, "func iterable chunksize", 2, KIN__PYTHON},
    {"join", pool_join, "", 0, KIN__PYTHON},
    {"map", pool_map, "func iterable chunksize", 2, KIN__PYTHON},
    {"map_async", pool_map_async, "func iterable chunksize callback error_callback", 2, KIN__PYTHON},
    {"starmap", pool_starmap, "func iterable chunksize", 2, KIN__PYTHON},
    {"starmap_async", pool_starmap_async, "func iterable chunksize callback error_callback", 2, KIN__PYTHON},
    {"terminate", pool_terminate, "", 0, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_pool = {
    .name = "Pool",
    .size = sizeof(struct pool),
    .make = {"__init__", make_pool, "processes initializer initargs maxtasksperchild context", 0,
             KIN__PYTHON},
    .drop = drop_pool,
    .methods = pool_methods,
};
