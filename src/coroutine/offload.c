/* offload.c: libuv inside of a loop: its thread pool, for what blocks.
 *
 * Invariants:
 *  - libuv's loop is made with the first call that needs it, and is run only from a turn of ours.
 *  - Its descriptor is in our epoll set, armed, whenever something of it is pending.
 */
#include <errno.h>
#include <uv.h>

#include "coroutine/loop.h"
#include "os/epoll.h"
#include "os/fault.h"
#include "os/os.h"

struct kin__foreign {
    uv_loop_t uv;
    size_t pending;
    struct kin__armed armed;
};

/* A call that is under way, on the stack of the coroutine that made it. */
struct call {
    uv_work_t work;
    int (*function)(void *argument);
    void *argument;
    int result;
    bool over;
    struct kin__foreign *foreign;
    struct kin__waiters done;
};

static int arm(const struct kin__loop *loop, struct kin__foreign *foreign)
{
    return kin__os_epoll_arm(loop->epoll, uv_backend_fd(&foreign->uv), KIN__READABLE, &foreign->armed);
}

static int be_open(struct kin__loop *loop)
{
    if (loop->foreign != NULL) return 0;
    struct kin__foreign *foreign = kin__os_calloc(1, sizeof *foreign);
    if (foreign == NULL) return -ENOMEM;
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc == 0) rc = uv_loop_init(&foreign->uv);
    if (rc < 0) goto no_loop;
    /* From now on it is in the set, and arming it cannot fail. */
    rc = arm(loop, foreign);
    if (rc < 0) goto not_armed;
    loop->foreign = foreign;
    return 0;

not_armed:
    uv_loop_close(&foreign->uv);
no_loop:
    kin__os_free(foreign);
    return rc;
}

int kin__foreign_descriptor(const struct kin__loop *loop)
{
    return loop->foreign != NULL ? uv_backend_fd(&loop->foreign->uv) : -1;
}

size_t kin__foreign_pending(const struct kin__loop *loop)
{
    return loop->foreign != NULL ? loop->foreign->pending : 0;
}

void kin__foreign_run(struct kin__loop *loop)
{
    uv_run(&loop->foreign->uv, UV_RUN_NOWAIT);
    if (loop->foreign->pending > 0) arm(loop, loop->foreign);
}

void kin__foreign_close(struct kin__loop *loop)
{
    if (loop->foreign == NULL) return;
    /* A function that is still at work has its stack and its argument from somebody who is gone. */
    while (loop->foreign->pending > 0) uv_run(&loop->foreign->uv, UV_RUN_ONCE);
    uv_run(&loop->foreign->uv, UV_RUN_NOWAIT);
    uv_loop_close(&loop->foreign->uv);
    kin__os_free(loop->foreign);
    loop->foreign = NULL;
}

static void work(uv_work_t *request)
{
    struct call *call = request->data;
    call->result = call->function(call->argument);
}

static void after_work(uv_work_t *request, int status)
{
    struct call *call = request->data;
    (void)status;
    call->foreign->pending--;
    call->over = true;
    kin__waiters_wake_them(&call->done);
}

int kin_offload(int (*function)(void *argument), void *argument)
{
    kin_coroutine *self = kin__running();
    if (function == NULL) return -EINVAL;
    if (self == NULL) return function(argument);
    struct kin__loop *loop = kin__loop;
    struct call call = {.function = function, .argument = argument};
    call.work.data = &call;
    int rc = be_open(loop);
    if (rc < 0) return rc;
    call.foreign = loop->foreign;
    rc = uv_queue_work(&loop->foreign->uv, &call.work, work, after_work);
    if (rc < 0) return rc;
    loop->foreign->pending++;
    /* So that libuv puts its descriptors into its set before anybody waits for that. */
    kin__foreign_run(loop);
    self->shielded++;
    rc = call.over ? 0 : kin__wait_in(loop, &call.done, KIN_FOREVER);
    self->shielded--;
    return rc < 0 ? rc : call.result;
}
