/* remote.c: deputies: the processes of a pool that stand for its workers in other programs.
 *
 * Invariants:
 *  - A deputy has one task at a time on its connection, and claims the next after the answer.
 *  - A connection that has failed once is not used again: the deputy ends.
 *  - What comes from the other side has been checked by remote_wire.c; sizes are compared with what was
 *    asked for before a byte of it is copied.
 */
#include "pool/remote.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "os/os.h"
#include "pool/remote_wire.h"

/* Items of a map go in messages of about so many bytes, there and back. */
#define MESSAGE_BYTES ((size_t)1 << 20)

/* PRIVATE to a deputy's process.
 *   heard, spoken   when something came or went last.
 *   failed          the connection is not to be used any more. */
static struct {
    kin_connection *connection;
    struct kin__remote_buffer in, out, gathered;
    int64_t silence_ns;
    kin_deadline heard, spoken;
    bool failed;
    struct kin__worker *worker;
    unsigned index;
} here;

bool kin__remote_here(void)
{
    return here.connection != NULL;
}

/* ---- talking ------------------------------------------------------------------------------------- */

static int send(const struct kin__remote_message *message)
{
    here.spoken = kin__os_clock();
    int rc = kin__remote_send(here.connection, message, &here.out, here.spoken + here.silence_ns);
    /* One that is too large was not sent, and the connection is as good as before. */
    if (rc < 0 && rc != -EMSGSIZE && rc != -ENOMEM) here.failed = true;
    return rc;
}

static int receive(struct kin__remote_message *message)
{
    int rc = kin__remote_receive(here.connection, message, &here.in, kin__os_clock() + here.silence_ns);
    here.heard = kin__os_clock();
    if (rc < 0) here.failed = true;
    return rc;
}

/* Says that we are there, if that is due; -ETIMEDOUT when the other side has been silent for too long. */
static int keep_up(void)
{
    kin_deadline now = kin__os_clock();
    if (now - here.heard > here.silence_ns) {
        here.failed = true;
        return -ETIMEDOUT;
    }
    if (now - here.spoken < here.silence_ns / 3) return 0;
    return send(&(struct kin__remote_message){.kind = KIN__REMOTE_ALIVE});
}

int kin__remote_greet(kin_pool *pool, unsigned index, kin_connection *connection)
{
    struct kin__remote_message hello;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    here.connection = connection;
    here.worker = worker;
    here.index = index;
    here.silence_ns = pool->silence_ns;
    here.heard = here.spoken = kin__os_clock();
    int rc = receive(&hello);
    if (rc < 0) return rc;
    if (hello.kind != KIN__REMOTE_HELLO || hello.number != KIN__REMOTE_VERSION) return KIN_EPROTOCOL;
    memcpy(worker->host, hello.name, hello.name_size);
    worker->host[hello.name_size] = '\0';
    return send(&(struct kin__remote_message){.kind = KIN__REMOTE_WELCOME,
                                              .number = KIN__REMOTE_VERSION,
                                              .count = (uint64_t)here.silence_ns / 1000000});
}

bool kin__remote_alive(void)
{
    struct kin__remote_message message;
    while (!here.failed && kin_connection_poll(here.connection, KIN_NOW) != 0)
        if (receive(&message) == 0 && message.kind != KIN__REMOTE_ALIVE) here.failed = true;
    return !here.failed && keep_up() == 0;
}

void kin__remote_farewell(void)
{
    if (!here.failed) send(&(struct kin__remote_message){.kind = KIN__REMOTE_BYE});
}

/* ---- a task ---------------------------------------------------------------------------------------- */

/* Waits for the answer; *begun says whether the task was begun. */
static int wait_for_answer(struct kin__remote_message *answer, bool *begun)
{
    for (;;) {
        int rc = kin_connection_poll(here.connection, here.spoken + here.silence_ns / 3);
        if (rc < 0) {
            here.failed = true;
            return rc;
        }
        if (rc > 0)
            rc = receive(answer);
        else
            answer->kind = KIN__REMOTE_ALIVE;
        if (rc < 0) return rc;
        if (answer->kind == KIN__REMOTE_REPLY || answer->kind == KIN__REMOTE_FAILURE) return 0;
        if (answer->kind == KIN__REMOTE_BEGUN)
            *begun = true;
        else if (answer->kind != KIN__REMOTE_ALIVE) {
            here.failed = true;
            return KIN_EPROTOCOL;
        }
        rc = keep_up();
        if (rc < 0) return rc;
    }
}

/* Notes in a failure that it happened there. */
static void sign(kin_failure *failure)
{
    failure->worker = here.index;
    failure->worker_pid = atomic_load(&here.worker->pid);
    memcpy(failure->host, here.worker->host, sizeof failure->host);
}

static void read_failure(const struct kin__remote_message *answer, kin_failure *failure)
{
    *failure = (kin_failure){
        .cause = (enum kin_cause)answer->cause,
        .code = answer->code,
        .signal = answer->signal,
        .user_ns = answer->user_ns,
        .system_ns = answer->system_ns,
        .max_rss = answer->max_rss,
    };
    sign(failure);
}

/* Sends a task and waits for its answer. *code: why it was not sent, with KIN__REMOTE_DONE and nothing in
 * *answer, if that is the task's own fault. */
static enum kin__remote_outcome exchange(const struct kin__remote_message *task,
                                         struct kin__remote_message *answer, int *code, kin_failure *failure)
{
    bool begun = false;
    *answer = (struct kin__remote_message){0};
    int rc = send(task);
    if (rc == -EMSGSIZE || rc == -ENOMEM) {
        *code = rc;
        return KIN__REMOTE_DONE;
    }
    if (rc == 0) rc = wait_for_answer(answer, &begun);
    if (rc < 0) {
        *failure = (kin_failure){.cause = KIN_CAUSE_LOST, .code = rc};
        sign(failure);
        return begun ? KIN__REMOTE_LOST : KIN__REMOTE_UNSENT;
    }
    *code = answer->code;
    if (answer->kind == KIN__REMOTE_REPLY) return KIN__REMOTE_DONE;
    read_failure(answer, failure);
    return KIN__REMOTE_DIED;
}

enum kin__remote_outcome kin__remote_task(kin_result *record, int *code, kin_failure *failure)
{
    struct kin__remote_message answer, task = {
                                           .kind = KIN__REMOTE_TASK,
                                           .form = KIN__REMOTE_BYTES,
                                           .number = record->number,
                                           .name = record->function,
                                           .name_size = (uint32_t)strlen(record->function),
                                           .data = kin__record_argument(record),
                                           .size = record->argument_size,
                                       };
    enum kin__remote_outcome outcome = exchange(&task, &answer, code, failure);
    if (outcome != KIN__REMOTE_DONE || *code != 0) return outcome;
    *code = kin__record_store(&record->reply_block, record->reply_inline, sizeof record->reply_inline,
                              answer.data, (size_t)answer.size);
    record->reply_size = (size_t)answer.size;
    return outcome;
}

/* ---- items ----------------------------------------------------------------------------------------- */

/* How many items fit in one message. */
static size_t items_at_once(size_t in_size, size_t out_size)
{
    size_t larger = in_size > out_size ? in_size : out_size;
    return larger < MESSAGE_BYTES ? MESSAGE_BYTES / (larger + 1) : 1;
}

/* Where the inputs of the next `count` items lie; several arrays are put one behind the other. */
static const void *gather(const struct kin__remote_items *items, size_t count, size_t in_size)
{
    if (items->inputs == 1) return (const char *)items->in[0] + items->done * in_size;
    if (kin__remote_buffer_reserve(&here.gathered, count * in_size) < 0) return NULL;
    unsigned char *at = here.gathered.bytes;
    for (unsigned i = 0; i < items->inputs; i++) {
        size_t size = items->in_size[i];
        memcpy(at, (const char *)items->in[i] + items->done * size, count * size);
        at += count * size;
    }
    return here.gathered.bytes;
}

/* Takes the outcomes of the items that are finished; how many those are. */
static size_t take_outcomes(struct kin__remote_items *items, size_t count,
                            const struct kin__remote_message *answer)
{
    size_t finished = answer->kind == KIN__REMOTE_REPLY && items->code == 0 ? count : answer->progress;
    if (finished > count) finished = count;
    if (answer->size == count * items->out_size) {
        if (finished > 0)
            memcpy((char *)items->out + items->done * items->out_size, answer->data,
                   finished * items->out_size);
        return finished;
    }
    if (finished > 0) items->code = KIN_EPROTOCOL;
    return 0;
}

enum kin__remote_outcome kin__remote_items(struct kin__remote_items *items, kin_failure *failure)
{
    size_t in_size = 0;
    for (unsigned i = 0; i < items->inputs; i++) in_size += items->in_size[i];
    size_t most = items_at_once(in_size, items->out_size);
    items->done = 0;
    items->code = 0;
    while (items->done < items->count) {
        size_t left = items->count - items->done, now = left < most ? left : most;
        struct kin__remote_message answer, task = {
                                               .kind = KIN__REMOTE_TASK,
                                               .form = KIN__REMOTE_RANGE,
                                               .count = now,
                                               .in_size = in_size,
                                               .out_size = items->out_size,
                                               .name = items->function,
                                               .name_size = (uint32_t)strlen(items->function),
                                               .data = gather(items, now, in_size),
                                               .size = now * in_size,
                                           };
        if (task.data == NULL) items->code = -ENOMEM;
        if (items->code != 0) return KIN__REMOTE_DONE;
        enum kin__remote_outcome outcome = exchange(&task, &answer, &items->code, failure);
        if (outcome == KIN__REMOTE_DONE || outcome == KIN__REMOTE_DIED)
            items->done += take_outcomes(items, now, &answer);
        if (outcome != KIN__REMOTE_DONE || items->code != 0) return outcome;
    }
    return KIN__REMOTE_DONE;
}
