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
#include "os/suspend.h"

struct kin__foreign {
    uv_loop_t uv;
    size_t pending;
    struct kin__armed armed;
};

/* What a thread of the pool is to do. */
struct work {
    uv_work_t request;
    struct kin__foreign *foreign;
    bool over;
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
    while (loop->foreign->pending > 0) uv_run(&loop->foreign->uv, UV_RUN_ONCE);
    uv_run(&loop->foreign->uv, UV_RUN_NOWAIT);
    uv_loop_close(&loop->foreign->uv);
    kin__os_free(loop->foreign);
    loop->foreign = NULL;
}

static void end(struct work *work)
{
    work->foreign->pending--;
    work->over = true;
    kin__waiters_wake_them(&work->done);
}

static int begin(struct kin__loop *loop, struct work *work, uv_work_cb run, uv_after_work_cb after)
{
    int rc = be_open(loop);
    if (rc < 0) return rc;
    work->foreign = loop->foreign;
    rc = uv_queue_work(&loop->foreign->uv, &work->request, run, after);
    if (rc < 0) return rc;
    loop->foreign->pending++;
    /* So that libuv puts its descriptors into its set before anybody waits for that. */
    kin__foreign_run(loop);
    return 0;
}

/* ---- a call: on the stack of the coroutine that made it, which waits for its end ------------------------- */

struct call {
    struct work work; /* first */
    int (*function)(void *argument);
    void *argument;
    int result;
};

static void run_call(uv_work_t *request)
{
    struct call *call = (struct call *)request;
    call->result = call->function(call->argument);
}

static void end_call(uv_work_t *request, int status)
{
    (void)status;
    end((struct work *)request);
}

int kin_offload(int (*function)(void *argument), void *argument)
{
    kin_coroutine *self = kin__running();
    if (function == NULL) return -EINVAL;
    if (self == NULL) return function(argument);
    struct call call = {.function = function, .argument = argument};
    int rc = begin(kin__loop, &call.work, run_call, end_call);
    if (rc < 0) return rc;
    self->shielded++;
    rc = call.work.over ? 0 : kin__wait_in(kin__loop, &call.work.done, KIN_FOREVER);
    self->shielded--;
    return rc < 0 ? rc : call.result;
}

/* ---- a chore: left behind by who does not wait for its end ---------------------------------------------- */

struct sent {
    struct work work; /* first */
    struct kin__chore *chore;
    bool left;
};

static void run_chore(uv_work_t *request)
{
    struct kin__chore *chore = ((struct sent *)request)->chore;
    chore->run(chore);
}

static void end_chore(uv_work_t *request, int status)
{
    struct sent *sent = (struct sent *)request;
    (void)status;
    end(&sent->work);
    if (!sent->left) return;
    sent->chore->drop(sent->chore);
    kin__os_free(sent);
}

int kin__chore_run(struct kin__chore *chore, kin_deadline deadline)
{
    struct sent *sent = kin__os_calloc(1, sizeof *sent);
    int rc = sent != NULL ? 0 : -ENOMEM;
    if (rc == 0) {
        sent->chore = chore;
        rc = begin(kin__loop, &sent->work, run_chore, end_chore);
    }
    if (rc < 0) {
        chore->drop(chore);
        kin__os_free(sent);
        return rc;
    }
    if (!sent->work.over) rc = kin__wait_in(kin__loop, &sent->work.done, deadline);
    sent->left = !sent->work.over;
    if (sent->left) return rc;
    kin__os_free(sent);
    return 0;
}
