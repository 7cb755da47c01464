/* tasks.c: see tasks.h.
 *
 * The workers are forked from the server before it has clients, and know its functions by their
 * places in its memory, which is theirs too.  A task travels as a header and a pickle of (items,
 * keywords), its outcome as a pickle of (values, error).
 */
#include "manager/tasks.h"

#include <errno.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/object.h>
#include <kin/pickle.h>
#include <kin/pool.h>
#include <kin/wait.h>

#include "manager/session.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

#define AT_ONCE 64
/* The workers have so many tasks before them, that they need not wait for the server: the more, the longer does
 * a client wait whose turn has come. */
#define WORK_LEAST 16
#define WORK_EACH  4
#define AGAIN_MS   10

/*   in_work   tasks that are with the workers and not dropped; at most `work_most`. */
struct kin__tasks {
    kin_pool *pool;
    kin_waiter *waiter;
    uv_poll_t poll;
    uv_timer_t again;
    unsigned in_work, work_most;
    kin_buffer message; /* of the task that is being submitted */
};

struct header {
    const kin_manager_task *function;
    enum kin__spread spread;
};

/* ---- in a worker -------------------------------------------------------------------------------- */

/* One call; 0, or the exception is in `*error`. */
static int call_one(const struct header *header, const kin_value *item, const kin_value *keywords,
                    kin_value *values, kin_value *error)
{
    kin_value_kinds kind = kin_value_kind(item);
    kin_value arguments, result = kin_value_none();
    if (header->spread == KIN__STAR && kind != KIN_VALUE_TUPLE && kind != KIN_VALUE_LIST) {
        *error = kin_value_errorf("TypeError", "argument after * must be a tuple or list, not %s",
                                  kin_value_kind_name(item));
        return -EINVAL;
    }
    arguments =
        header->spread == KIN__STAR ? kin__tuple_of(item, 0) : kin_value_build("(v)", kin_value_ref(item));
    kin_value none = kin_value_dict();
    int rc = kin_value_error_code(&arguments);
    if (rc == 0)
        rc = header->function->call(&arguments, kin_value_kind(keywords) == KIN_VALUE_DICT ? keywords : &none,
                                    &result);
    kin_value_clear(&arguments);
    kin_value_clear(&none);
    if (rc >= 0) {
        rc = kin_value_list_append(values, result);
        result = kin_value_none();
    }
    if (rc < 0) *error = kin__exception_of(rc, result);
    return rc;
}

static int run(const void *bytes, size_t size, kin_reply *reply)
{
    struct header header;
    kin_value task = kin_value_none(), values = kin_value_list(NULL, 0), error = kin_value_none();
    const kin_value *items, *keywords, *item;
    kin_buffer out = {0};
    memcpy(&header, bytes, sizeof header);
    int rc = kin_pickle_loads(&task, (const char *)bytes + sizeof header, size - sizeof header, NULL);
    if (rc == 0) rc = kin_value_parse(&task, "(vv)", &items, &keywords);
    if (rc == 0) {
        size_t at = 0;
        while (kin_value_next(items, &at, &item, NULL) &&
               call_one(&header, item, keywords, &values, &error) == 0) {
        }
    }
    kin_value outcome = kin_value_build("(vv)", values, error);
    if (rc == 0) rc = kin_pickle_dumps(&outcome, &out);
    if (rc == 0) rc = kin_reply_write(reply, out.data, out.size);
    kin_value_clear(&outcome);
    kin_value_clear(&task);
    kin_buffer_free(&out);
    return rc;
}
KIN_BYTES(run)

/* ---- results come in ------------------------------------------------------------------------------ */

static kin_value failure_of(struct kin_result *result, int rc)
{
    static const char class[] = "multiprocessing.context.ProcessError";
    kin_failure failure;
    char text[256];
    if (rc == KIN_EFAILED && kin_result_failure(result, &failure) == 0) {
        /* A function that returned a failure before it could say what kind: no memory, or no pickle. */
        if (failure.cause == KIN_CAUSE_RETURNED)
            return kin_value_error(class, kin_value_build("(s)", kin_strerror(failure.code)));
        kin_failure_text(&failure, text, sizeof text);
        return kin_value_error(class, kin_value_build("(s)", text));
    }
    return kin_value_error(class, kin_value_build("(s)", kin_strerror(rc)));
}

/* Is there an outcome of every item, as far as there is no error? */
static bool is_whole(const struct kin__task *task, const kin_value *values, const kin_value *error)
{
    return kin_value_kind(error) != KIN_VALUE_NONE || kin_value_len(values) == kin_value_len(&task->items);
}

static void take(struct kin__server *server, struct kin__task *task)
{
    const void *bytes = NULL;
    const kin_value *values, *error;
    kin_value outcome = kin_value_none(), taken[2] = {kin_value_none(), kin_value_none()};
    long size = kin_result_view(task->result, &bytes);
    int rc = size < 0 ? (int)size
                      : kin_pickle_loads(&outcome, bytes, (size_t)size,
                                         &(kin_pickle_options){.keep_unknown = true});
    if (rc == 0) rc = kin_value_parse(&outcome, "(vv)", &values, &error);
    if (rc == 0 && !is_whole(task, values, error)) rc = KIN_EPROTOCOL;
    if (rc == 0) {
        taken[0] = kin_value_ref(values);
        taken[1] = kin_value_ref(error);
    } else {
        taken[0] = kin_value_list(NULL, 0);
        taken[1] = failure_of(task->result, rc);
    }
    kin_value_clear(&outcome);
    kin_waitable item = kin_on_result(task->result);
    kin_waiter_remove(server->tasks->waiter, &item);
    kin_result_close(task->result);
    task->result = NULL;
    server->tasks->in_work--;
    task->done(server, task, taken[0], taken[1]);
}

static void on_results(uv_poll_t *poll, int status, int events)
{
    struct kin__server *server = poll->data;
    kin_waitable ready[AT_ONCE];
    (void)status;
    (void)events;
    long count = kin_waiter_wait(server->tasks->waiter, ready, AT_ONCE, KIN_NOW);
    /* None of them is dropped meanwhile: only a request does that, and those are looked at afterwards. */
    for (long i = 0; i < count; i++) take(server, ready[i].data);
    kin__pools_hand_out(server);
    kin__sessions_settle(server);
}

static void on_again(uv_timer_t *timer)
{
    struct kin__server *server = timer->data;
    kin__pools_hand_out(server);
    kin__sessions_settle(server);
}

/* ---- tasks go out ---------------------------------------------------------------------------------- */

static int put_together(kin_buffer *message, const struct kin__task *task)
{
    struct header header = {task->function, task->spread};
    kin_value pair = kin_value_build("(vv)", kin_value_ref(&task->items), kin_value_ref(&task->keywords));
    message->size = 0;
    int rc = kin_value_error_code(&pair);
    if (rc == 0) rc = kin_buffer_append(message, &header, sizeof header);
    if (rc == 0) rc = kin_pickle_dumps(&pair, message);
    kin_value_clear(&pair);
    return rc;
}

int kin__task_submit(struct kin__server *server, struct kin__task *task)
{
    struct kin__tasks *tasks = server->tasks;
    if (tasks->in_work >= tasks->work_most) return -EAGAIN;
    int rc = put_together(&tasks->message, task);
    if (rc == 0)
        rc = kin_pool_submit(tasks->pool, &task->result, KIN_FN(run), tasks->message.data,
                             tasks->message.size, KIN_NOW, NULL);
    if (tasks->message.capacity > KIN__SCRATCH) kin_buffer_free(&tasks->message);
    /* Full of what was dropped: if nothing else is there whose end is heard of, it is tried again. */
    if (rc == -ETIMEDOUT && tasks->in_work == 0) uv_timer_start(&tasks->again, on_again, AGAIN_MS, 0);
    if (rc < 0) return rc == -ETIMEDOUT ? -EAGAIN : rc;
    kin_waitable item = kin_on_result(task->result);
    item.data = task;
    rc = kin_waiter_add(tasks->waiter, &item);
    if (rc == 0) {
        tasks->in_work++;
        return 0;
    }
    kin_result_cancel(task->result);
    kin_result_close(task->result);
    task->result = NULL;
    return rc;
}

void kin__task_drop(struct kin__server *server, struct kin__task *task)
{
    if (task->result == NULL) return;
    kin_waitable item = kin_on_result(task->result);
    kin_waiter_remove(server->tasks->waiter, &item);
    kin_result_cancel(task->result);
    kin_result_close(task->result);
    task->result = NULL;
    server->tasks->in_work--;
}

/* ---- the pool --------------------------------------------------------------------------------------- */

const kin_manager_task *kin__tasks_find(struct kin__server *server, const char *name)
{
    for (size_t i = 0; i < server->task_count; i++) {
        if (strcmp(server->functions[i].name, name) == 0) return &server->functions[i];
    }
    return NULL;
}

unsigned kin__tasks_workers(struct kin__server *server)
{
    kin_pool_status status;
    if (server->tasks == NULL || kin_pool_stats(server->tasks->pool, &status) < 0) return 1;
    return status.workers;
}

int kin__tasks_open(struct kin__server *server)
{
    if (server->task_count == 0) return 0;
    struct kin__tasks *tasks = kin__os_calloc(1, sizeof *tasks);
    if (tasks == NULL) return -ENOMEM;
    server->tasks = tasks;
    const kin_pool_options options = {
        .workers = server->workers, .retries = server->retries, .name = "manager", .method = KIN_FORK};
    int rc = kin_pool_open(&tasks->pool, &options);
    if (rc == 0) rc = kin_waiter_open(&tasks->waiter);
    tasks->work_most = WORK_EACH * kin__tasks_workers(server);
    if (tasks->work_most < WORK_LEAST) tasks->work_most = WORK_LEAST;
    if (rc < 0) kin__tasks_close(server);
    return rc;
}

int kin__tasks_begin(struct kin__server *server)
{
    struct kin__tasks *tasks = server->tasks;
    if (tasks == NULL) return 0;
    int descriptor = kin_waiter_fileno(tasks->waiter);
    if (descriptor < 0) return descriptor;
    int rc = uv_poll_init(&server->loop, &tasks->poll, descriptor);
    uv_timer_init(&server->loop, &tasks->again);
    tasks->poll.data = tasks->again.data = server;
    return rc == 0 ? uv_poll_start(&tasks->poll, UV_READABLE, on_results) : rc;
}

void kin__tasks_stop(struct kin__server *server)
{
    if (server->tasks == NULL || server->tasks->poll.data == NULL) return;
    uv_close((uv_handle_t *)&server->tasks->poll, NULL);
    uv_close((uv_handle_t *)&server->tasks->again, NULL);
}

void kin__tasks_close(struct kin__server *server)
{
    struct kin__tasks *tasks = server->tasks;
    if (tasks == NULL) return;
    server->tasks = NULL;
    kin_waiter_close(tasks->waiter);
    kin_pool_free(tasks->pool);
    kin_buffer_free(&tasks->message);
    kin__os_free(tasks);
}
