/* serve.c: the worker's side of a pool in another program: connections that bring tasks, and a
 * pool of its own that runs them.
 *
 * Each connection is served by a thread of its own, one task at a time.  The tasks run in the workers
 * of a pool, so that one that crashes is a failure with its exact cause, which is what the other side
 * is told.
 *
 * Invariants:
 *  - Whatever is not answered when a connection ends is cancelled before the next one is opened.
 *  - When the pool says farewell, what is not answered is of no use any more, and no other connection is opened.
 *  - The bytes of a task and of what it returns lie in family memory, and stay until its result is
 *    over: its worker may be writing.
 *  - A task that the pool here has lost, or cannot begin any more, is none that has failed: the connection ends, and
 *    with it the service, or it would go on taking tasks and fail them all.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/log.h>
#include <kin/memory.h>
#include <kin/thread.h>
#include <kin/wait.h>
#include <kin/worker.h>

#include "base/log.h"
#include "ipc/breaker.h"
#include "ipc/challenge.h"
#include "ipc/connection.h"
#include "os/os.h"
#include "os/suspend.h"
#include "pool/pool.h"
#include "pool/talk.h"

#define PATIENCE_NS    (10 * 1000000000LL)
#define PAUSE_FIRST_NS (50 * 1000000LL)
#define PAUSE_MOST_NS  (1000 * 1000000LL)

/* ---- the functions --------------------------------------------------------------------------------- */

static kin_task *tasks;

void kin_task_register(kin_task *task)
{
    if (task == NULL || task->function == NULL) return;
    /* Release: pairs with find_function, in a thread that serves while a library is loaded. */
    task->next = tasks;
    __atomic_store_n(&tasks, task, __ATOMIC_RELEASE);
}

/* A pool's record keeps so many bytes of a name. */
#define NAME_KEPT (sizeof((kin_result *)0)->function - 1)

/* Of a name that was cut there may be two: then it is none of them. */
static const kin_function *find_function(const struct kin__talk_message *message)
{
    const kin_function *found = NULL;
    for (const kin_task *task = __atomic_load_n(&tasks, __ATOMIC_ACQUIRE); task != NULL; task = task->next) {
        size_t length = strlen(task->function->name);
        if (length > NAME_KEPT) length = NAME_KEPT;
        if (length != message->name_size || memcmp(task->function->name, message->name, length) != 0)
            continue;
        if (length < NAME_KEPT) return task->function;
        if (found != NULL && strcmp(found->name, task->function->name) != 0) return NULL;
        if (found == NULL) found = task->function;
    }
    return found;
}

/* ---- what runs in the pool's workers ----------------------------------------------------------------- */

/* What the worker leaves beside the outcomes of items.
 *   progress   the index of the one it is on.
 *   ran_ns     how long the function ran, once it has returned. */
struct notes {
    volatile size_t progress;
    int64_t ran_ns;
};

/* The argument of a task of the pool; the memory it names is the family's. */
struct call {
    const kin_function *function;
    const unsigned char *data;
    size_t size, count;
    unsigned char *out;
    struct notes *notes;
};

static int run_items(const struct call *call)
{
    if (call->function->zip == NULL)
        return call->function->range(call->data, call->out, call->count, &call->notes->progress);
    /* The arrays lie one behind the other. */
    const void *in[KIN_INPUTS_MOST] = {NULL};
    const unsigned char *array = call->data;
    for (unsigned i = 0; i < call->function->inputs; i++) {
        in[i] = array;
        array += call->count * call->function->in_sizes[i];
    }
    return call->function->zip(in, call->out, call->count, &call->notes->progress);
}

static int run_call(const void *argument, size_t size, kin_reply *reply)
{
    struct call call;
    memcpy(&call, argument, size);
    if (call.function->bytes != NULL) return call.function->bytes(call.data, call.size, reply);
    int64_t begin = kin__os_clock();
    int rc = run_items(&call);
    call.notes->ran_ns = kin__os_clock() - begin + 1;
    return rc;
}
KIN_BYTES(run_call)

/* ---- a connection ------------------------------------------------------------------------------------- */

#define UNDECIDED 1

/* PRIVATE.  What the threads of one kin_worker_serve share.
 *   finished   the pool has said that it is closed, or one of them gives up: all end.
 *   error      why, of who ended it first; UNDECIDED before.
 *   ended      it is finished or stopped, and whoever connects is to find the end of that (struct session, breaker).
 *   welcome    how many connections the pool has welcomed, and that have not ended: while there is one, nobody
 *              loses his patience.
 *   told       the log was told of one that was not.
 *   until      when patience ends, without one.  Written before the last one is taken out of `welcome`, both seq_cst. */
struct service {
    const char *address;
    kin_worker_options options;
    kin_pool *pool;
    kin_event *finished;
    _Atomic int error;
    _Atomic bool ended;
    _Atomic unsigned welcome;
    _Atomic bool told;
    _Atomic kin_deadline until;
};

/* PRIVATE to a thread, but for the breaker, by which run_threads ends its attempts to connect.
 *   welcome     the pool has welcomed this connection.
 *   dismissed   the pool has said farewell over it.
 *   withdrawn   it was closed while a task ran: the pool wants no outcome of that any more.
 *   why         the last error, since it was welcome, that is not the end of the time it had. */
struct session {
    struct service *service;
    kin_thread *thread;
    struct kin__breaker breaker;
    struct kin__talk talk;
    bool welcome, dismissed, withdrawn;
    int why;
};

static void finish(struct service *service, int error)
{
    int undecided = UNDECIDED;
    atomic_compare_exchange_strong(&service->error, &undecided, error);
    kin_event_set(service->finished);
}

/* The pool here can run nothing any more: the error with which the connection ends. */
static int lose_pool(struct service *service, int rc)
{
    finish(service, rc);
    return rc;
}

/* Is it to end?  An event that was closed meanwhile is as good as set. */
static bool leaving(const struct service *service)
{
    return kin_event_is_set(service->finished) != 0 ||
           (service->options.stop != NULL && kin_event_is_set(service->options.stop) != 0);
}

/* Waits until it is to end; if `connection` is not NULL, until something comes there, too: then 1. */
static long wait_for_news(const struct service *service, kin_connection *connection, kin_deadline deadline)
{
    kin_waitable items[3] = {kin_on_event(service->finished)};
    size_t count = 1;
    if (service->options.stop != NULL) items[count++] = kin_on_event(service->options.stop);
    if (connection != NULL) items[count++] = kin_on_connection(connection);
    long ready = kin_wait(items, count, deadline);
    return ready < 0 ? ready : connection != NULL && items[count - 1].ready;
}

static int greet(struct session *session)
{
    struct kin__talk_message hello = {.kind = KIN__TALK_HELLO, .number = KIN__TALK_VERSION}, answer;
    char name[KIN__TALK_NAME_MOST + 1];
    hello.name = kin__os_host_name(name, sizeof name);
    hello.name_size = (uint32_t)strlen(hello.name);
    int rc = kin__talk_send(&session->talk, &hello);
    if (rc < 0) return rc;
    long ready = wait_for_news(session->service, session->talk.connection,
                               kin_in_ns(session->service->options.patience_ns));
    if (ready <= 0) return ready < 0 ? (int)ready : -ETIMEDOUT;
    rc = kin__talk_receive(&session->talk, &answer);
    if (rc < 0) return rc;
    bool known = answer.kind == KIN__TALK_WELCOME && answer.number == KIN__TALK_VERSION && answer.count > 0 &&
                 answer.count <= INT32_MAX;
    if (!known) return KIN_EPROTOCOL;
    kin__talk_greeted(&session->talk, (int64_t)answer.count * 1000000);
    return 0;
}

/* ---- a task ---------------------------------------------------------------------------------------------- */

/* PRIVATE.  A task on its way: what it was given, and its result in our pool. */
struct job {
    struct call call;
    unsigned char *memory;
    kin_result *result;
};

/* Copies what came into family memory: notes, input, output. */
static int prepare(struct job *job, const struct kin__talk_message *message)
{
    size_t head = 64, in = ((size_t)message->size + 63) & ~(size_t)63;
    size_t out = message->form == KIN__TALK_RANGE ? (size_t)(message->count * message->out_size) : 0;
    job->memory = kin_alloc(head + in + out);
    if (job->memory == NULL) return -errno;
    if (message->size > 0) memcpy(job->memory + head, message->data, (size_t)message->size);
    job->call.data = job->memory + head;
    job->call.size = (size_t)message->size;
    job->call.count = (size_t)message->count;
    job->call.out = job->memory + head + in;
    job->call.notes = (struct notes *)job->memory;
    *job->call.notes = (struct notes){0};
    return 0;
}

static int refuse(struct session *session, enum kin__talk_kind kind, enum kin_cause cause, int code)
{
    return kin__talk_send(&session->talk,
                          &(struct kin__talk_message){.kind = kind, .cause = cause, .code = code});
}

/* As if its function had returned the code. */
static int refuse_with(struct session *session, int code)
{
    return refuse(session, KIN__TALK_REPLY, KIN_CAUSE_RETURNED, code);
}

static bool same_form(const kin_function *function, const struct kin__talk_message *message)
{
    if (message->form == KIN__TALK_BYTES) return function->bytes != NULL;
    size_t in_size = function->in_size;
    for (unsigned i = 0; i < function->inputs; i++) in_size += function->in_sizes[i];
    return (function->range != NULL || function->zip != NULL) && in_size == message->in_size &&
           function->out_size == message->out_size;
}

static int reply(struct session *session, struct job *job, const struct kin__talk_message *task)
{
    struct kin__talk_message answer = {.kind = KIN__TALK_REPLY};
    kin_failure failure;
    const void *bytes = NULL;
    long size = kin_result_view(job->result, &bytes);
    bool range = task->form == KIN__TALK_RANGE;
    if (size == KIN_EBROKEN) return lose_pool(session->service, KIN_EBROKEN);
    if (size < 0) {
        int rc = kin_result_failure(job->result, &failure);
        if (rc < 0) return rc;
        answer.kind = failure.cause == KIN_CAUSE_RETURNED ? KIN__TALK_REPLY : KIN__TALK_FAILURE;
        answer.cause = failure.cause;
        answer.code = failure.code;
        answer.signal = failure.signal;
        answer.user_ns = failure.user_ns;
        answer.system_ns = failure.system_ns;
        answer.max_rss = failure.max_rss;
    }
    answer.progress = job->call.notes->progress;
    answer.count = (uint64_t)job->call.notes->ran_ns;
    answer.data = range ? job->call.out : bytes;
    answer.size = range ? task->count * task->out_size : size > 0 ? (uint64_t)size : 0;
    int rc = kin__talk_send(&session->talk, &answer);
    return rc == -EMSGSIZE || rc == -ENOMEM ? refuse_with(session, rc) : rc;
}

/* Hears what the pool says: an error of the connection, of which KIN_ECLOSED is its farewell. */
static int hear(struct session *session, struct kin__talk_message *message)
{
    int rc = kin__talk_receive(&session->talk, message);
    if (rc < 0 || message->kind != KIN__TALK_BYE) return rc;
    session->dismissed = true;
    return KIN_ECLOSED;
}

/* Waits until the task is over, or the connection: 0, or what the connection ended with. */
static int watch(struct session *session, struct job *job)
{
    struct kin__talk_message message;
    for (;;) {
        kin_waitable items[] = {kin_on_result(job->result), kin_on_connection(session->talk.connection)};
        long ready = kin_wait(items, 2, kin__talk_beat(&session->talk));
        if (ready < 0) return (int)ready;
        if (items[0].ready) return 0;
        int rc = items[1].ready ? hear(session, &message) : 0;
        if (rc == 0) rc = kin__talk_keep_up(&session->talk);
        if (rc < 0) return rc;
    }
}

static int run_task(struct session *session, const struct kin__talk_message *task)
{
    struct job job = {0};
    const kin_function *function = find_function(task);
    if (function == NULL || !same_form(function, task))
        return refuse(session, KIN__TALK_FAILURE, KIN_CAUSE_FUNCTION, 0);
    int rc = kin__pool_accepts(session->service->pool, KIN_FOREVER);
    if (rc < 0) return lose_pool(session->service, rc);
    job.call.function = function;
    /* The message lies in the buffer for what comes, and something may come meanwhile. */
    struct kin__talk_message kept = *task;
    rc = prepare(&job, task);
    /* Before it: what runs has been told of, so that its loss is charged. */
    const struct kin__talk_message begun = {.kind = KIN__TALK_BEGUN};
    if (rc == 0 && (rc = kin__talk_send(&session->talk, &begun)) < 0) {
        kin_free(job.memory);
        return rc;
    }
    if (rc == 0)
        rc = kin_pool_submit(session->service->pool, &job.result, KIN_FN(run_call), &job.call,
                             sizeof job.call, KIN_FOREVER, NULL);
    if (rc < 0) {
        kin_free(job.memory);
        if (rc == KIN_EBROKEN || rc == KIN_ECLOSED) return lose_pool(session->service, rc);
        return refuse_with(session, rc);
    }
    rc = watch(session, &job);
    if (rc == 0) {
        rc = reply(session, &job, &kept);
    } else {
        kin_result_cancel(job.result);
        kin_result_wait(job.result, KIN_FOREVER);
    }
    /* Of a broken pool the worker may be writing still. */
    bool over = kin_result_ready(job.result) == 1;
    kin_result_close(job.result);
    if (over) kin_free(job.memory);
    return rc;
}

/* ---- a thread ----------------------------------------------------------------------------------------------- */

/* Has the other side closed the connection? */
static bool is_end(int rc)
{
    return rc == KIN_ECLOSED || rc == -EPIPE || rc == -ECONNRESET;
}

/* Runs what comes until the connection's end: 0 if there is to be no other. */
static int serve_tasks(struct session *session)
{
    struct service *service = session->service;
    struct kin__talk_message message;
    int rc = 0;
    while (rc == 0) {
        long ready = wait_for_news(service, session->talk.connection, kin__talk_beat(&session->talk));
        if (ready < 0) return (int)ready;
        if (leaving(service)) return 0;
        if (ready > 0) {
            rc = hear(session, &message);
            if (rc == 0 && message.kind == KIN__TALK_TASK) {
                rc = run_task(session, &message);
                /* Nor did we lose the pool here. */
                session->withdrawn = !session->dismissed && is_end(rc) && !leaving(service);
            }
        }
        if (rc == 0) rc = kin__talk_keep_up(&session->talk);
    }
    if (!session->dismissed) return rc;
    finish(service, 0);
    return 0;
}

/* As serve_tasks, of a connection that the pool has yet to welcome. */
static int serve_connection(struct session *session)
{
    struct service *service = session->service;
    int rc = greet(session);
    /* What was begun over it is finished, whoever ends the service. */
    kin__breaker_let_go(&session->breaker);
    if (rc < 0) return rc;
    session->welcome = true;
    atomic_fetch_add(&service->welcome, 1);
    rc = serve_tasks(session);
    atomic_store(&service->until, kin_in_ns(service->options.patience_ns));
    atomic_fetch_sub(&service->welcome, 1);
    return rc;
}

/* Waits until it is to end, or until then: -ECANCELED, of a coroutine, or 0. */
static int rest(const struct service *service, kin_deadline until)
{
    long rc = wait_for_news(service, NULL, until);
    if (rc == -ECANCELED) return (int)rc;
    kin_deadline soon = kin__os_clock() + PAUSE_FIRST_NS;
    /* There are not the descriptors that waiting takes. */
    if (rc < 0) kin__os_pause_until(soon < until ? soon : until);
    return 0;
}

/* How long one attempt may take, or a pause before one: the patience may be over. */
static kin_deadline patience_ends(struct service *service)
{
    return atomic_load(&service->welcome) > 0 ? kin_in_ns(service->options.patience_ns)
                                              : atomic_load(&service->until);
}

/* Is it an error that trying again does not mend? */
static bool is_final(int rc)
{
    return rc == KIN_EAUTHENTICATION || rc == KIN_EADDRESS || rc == -EINVAL || rc == KIN_ELIBRARY;
}

/* To end a task that was cancelled or took too long the pool closes its connection: that is no disturbance.  If the
 * pool was killed instead, the end of the patience tells.  Who is not welcome tries again and again, in each thread,
 * as long as the pool has no place: that is told once. */
static void tell_end(struct session *session, int rc)
{
    struct service *service = session->service;
    if (session->withdrawn)
        kin__log(KIN_LOG_INFO, "the pool at %s has ended a task: it was cancelled, or took too long",
                 service->address);
    else if (!session->welcome && atomic_exchange(&service->told, true))
        return;
    else if (!session->welcome && rc == KIN_EPROTOCOL)
        kin__log(KIN_LOG_WARNING, "there is no pool at %s, or one of another version of kin",
                 service->address);
    else
        kin__log(KIN_LOG_WARNING, "the connection to the pool at %s has ended: %s", service->address,
                 kin_strerror(rc));
}

/* Connects and serves that connection: 0 if there is to be no other. */
static int serve_once(struct session *session)
{
    struct service *service = session->service;
    kin_connection *connection = NULL;
    session->welcome = session->withdrawn = false;
    int rc = kin__client_open(&connection, service->address, service->options.client, &session->breaker,
                              patience_ends(service));
    if (rc < 0) return rc;
    kin__talk_begin(&session->talk, connection, service->options.patience_ns);
    rc = serve_connection(session);
    kin_connection_close(connection);
    if (rc < 0 && !leaving(service)) tell_end(session, rc);
    return rc;
}

/* What a thread does: one connection after the other, while the patience lasts. */
static int serve_slot(void *argument)
{
    struct session *session = argument;
    struct service *service = session->service;
    int64_t pause = PAUSE_FIRST_NS;
    while (!leaving(service)) {
        int rc = serve_once(session);
        if (rc == 0) break;
        if (session->welcome) {
            pause = PAUSE_FIRST_NS;
            session->why = 0;
        }
        if (rc != -ETIMEDOUT || session->why == 0) session->why = rc;
        kin_deadline now = kin__os_clock(), until = patience_ends(service);
        if (is_final(rc) || now >= until) {
            if (!leaving(service)) finish(service, session->why);
            break;
        }
        rest(service, until - now < pause ? until : now + pause);
        pause = pause * 2 < PAUSE_MOST_NS ? pause * 2 : PAUSE_MOST_NS;
    }
    kin__talk_end(&session->talk);
    return 0;
}

/* ---- the service ---------------------------------------------------------------------------------------------- */

/* Waits for the end, and ends with it what the threads do to connect. */
static void await_end(struct service *service, struct session *sessions, unsigned count)
{
    while (!leaving(service))
        if (rest(service, KIN_FOREVER) < 0) finish(service, -ECANCELED);
    atomic_store(&service->ended, true);
    for (unsigned i = 0; i < count; i++) kin__breaker_break(&sessions[i].breaker, NULL);
}

static int run_threads(struct service *service)
{
    unsigned count = service->options.workers, started = 0;
    struct session *sessions = kin__os_calloc(count, sizeof *sessions);
    int rc = sessions != NULL ? 0 : -ENOMEM;
    atomic_store(&service->until, kin_in_ns(service->options.patience_ns));
    while (rc == 0 && started < count) {
        struct session *session = &sessions[started];
        session->service = service;
        session->breaker.whole = &service->ended;
        rc = kin_thread_start(&session->thread, serve_slot, session, &(kin_thread_options){.daemon = true});
        if (rc == 0) started++;
    }
    if (rc < 0) finish(service, rc);
    await_end(service, sessions, started);
    /* Also of a coroutine that is cancelled: the threads use what is freed here. */
    kin__shield(1);
    for (unsigned i = 0; i < started; i++) {
        kin_thread_join(sessions[i].thread, KIN_FOREVER);
        kin_thread_close(sessions[i].thread);
    }
    kin__shield(-1);
    kin__os_free(sessions);
    int error = atomic_load(&service->error);
    return error == UNDECIDED ? 0 : error; /* it was told to stop */
}

int kin_worker_serve_sized(const char *address, const kin_worker_options *options, size_t size)
{
    struct service service = {.address = address};
    if (address == NULL) return -EINVAL;
    if (options != NULL)
        memcpy(&service.options, options, size < sizeof service.options ? size : sizeof service.options);
    if (service.options.patience_ns < 0 || service.options.workers > KIN__WORKERS_MOST) return -EINVAL;
    if (service.options.patience_ns == 0) service.options.patience_ns = PATIENCE_NS;
    static const kin_client_options no_client = {0};
    if (service.options.client == NULL) service.options.client = &no_client;
    if (kin__key_fault(service.options.client->key, service.options.client->key_size) != NULL) return -EINVAL;
    int stopped = service.options.stop != NULL ? kin_event_is_set(service.options.stop) : 0;
    if (stopped < 0) return stopped;
    if (service.options.workers == 0) service.options.workers = (unsigned)kin__os_cpu_count();
    if (__atomic_load_n(&tasks, __ATOMIC_ACQUIRE) == NULL)
        kin__log(KIN_LOG_WARNING,
                 "no function is registered by KIN_TASK: the tasks of the pool at %s will fail", address);
    atomic_init(&service.error, UNDECIDED);
    int rc = kin_event_open(&service.finished, NULL);
    if (rc == 0)
        rc = kin_pool_open(
            &service.pool,
            &(kin_pool_options){.workers = service.options.workers, .name = "worker", .method = KIN_FORK});
    if (rc == 0) rc = run_threads(&service);
    kin_pool_free(service.pool);
    kin_event_close(service.finished);
    return rc;
}
