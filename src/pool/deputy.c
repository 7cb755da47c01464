/* deputy.c: deputies: the processes of a pool that stand for its workers in other programs.
 *
 * Invariants:
 *  - A deputy has one task at a time on its connection, and claims the next after the answer.
 *  - A connection that has failed once is not used again: the deputy ends.
 *  - When the pool is terminated it says so to the other side and ends, also in the middle of a task; the supervisor
 *    knows what it was on.
 *  - What comes from the other side has been checked by talk.c; sizes are compared with what was
 *    asked for before a byte of it is copied.
 */
#include "pool/deputy.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/log.h"
#include "os/os.h"
#include "pool/talk.h"
#include "pool/worker.h"

/* Items of a map go in messages of about so many bytes, there and back. */
#define MESSAGE_BYTES ((size_t)1 << 20)

/* PRIVATE to a deputy's process. */
static struct {
    struct kin__talk talk;
    struct kin__talk_buffer gathered;
    struct kin__worker *worker;
    kin_pool *pool;
    unsigned index;
} here;

bool kin__deputy_here(void)
{
    return here.talk.connection != NULL;
}

/* As a WELCOME can say it. */
static uint64_t silence_ms(int64_t silence_ns)
{
    uint64_t milliseconds = (uint64_t)silence_ns / 1000000;
    if (milliseconds == 0) return 1;
    return milliseconds < INT32_MAX ? milliseconds : INT32_MAX;
}

int kin__deputy_greet(kin_pool *pool, unsigned index, kin_connection *connection)
{
    struct kin__talk_message hello;
    struct kin__worker *worker = kin__pool_worker(pool, index);
    here.worker = worker;
    here.pool = pool;
    here.index = index;
    kin__talk_begin(&here.talk, connection, pool->silence_ns);
    int rc = kin__talk_receive(&here.talk, &hello);
    if (rc < 0) return rc;
    if (hello.kind != KIN__TALK_HELLO || hello.number != KIN__TALK_VERSION) return KIN_EPROTOCOL;
    kin__talk_greeted(&here.talk, pool->silence_ns);
    memcpy(worker->host, hello.name, hello.name_size);
    worker->host[hello.name_size] = '\0';
    return kin__talk_send(&here.talk, &(struct kin__talk_message){
                                          .kind = KIN__TALK_WELCOME,
                                          .number = KIN__TALK_VERSION,
                                          .count = silence_ms(pool->silence_ns),
                                      });
}

bool kin__deputy_alive(void)
{
    struct kin__talk_message message;
    struct kin__talk *talk = &here.talk;
    while (!talk->failed && kin_connection_poll(talk->connection, KIN_NOW) != 0)
        if (kin__talk_receive(talk, &message) == 0 && message.kind != KIN__TALK_ALIVE) talk->failed = true;
    return !talk->failed && kin__talk_keep_up(talk) == 0;
}

void kin__deputy_farewell(void)
{
    if (!here.talk.failed) kin__talk_send(&here.talk, &(struct kin__talk_message){.kind = KIN__TALK_BYE});
}

/* ---- a task ---------------------------------------------------------------------------------------- */

static void leave_when_terminated(void)
{
    if (atomic_load(&here.pool->state) != KIN__POOL_TERMINATED) return;
    kin__deputy_farewell();
    /* CRASH: the supervisor, which may not have come to dismissing us, knows by the code what we ended for. */
    kin__os_exit_now(KIN__WORKER_RECYCLE);
}

/* When to look after the connection, and after the pool. */
static kin_deadline next_look(void)
{
    kin_deadline beat = kin__talk_beat(&here.talk), slice = kin__os_clock() + KIN__SLICE_NS;
    return beat < slice ? beat : slice;
}

/* Waits for the answer; *begun says whether the task was begun. */
static int wait_for_answer(struct kin__talk_message *answer, bool *begun)
{
    struct kin__talk *talk = &here.talk;
    for (;;) {
        leave_when_terminated();
        int rc = kin_connection_poll(talk->connection, next_look());
        if (rc < 0) {
            talk->failed = true;
            return rc;
        }
        if (rc > 0)
            rc = kin__talk_receive(talk, answer);
        else
            answer->kind = KIN__TALK_ALIVE;
        if (rc < 0) return rc;
        if (answer->kind == KIN__TALK_REPLY || answer->kind == KIN__TALK_FAILURE) return 0;
        if (answer->kind == KIN__TALK_BEGUN)
            *begun = true;
        else if (answer->kind != KIN__TALK_ALIVE) {
            talk->failed = true;
            return KIN_EPROTOCOL;
        }
        rc = kin__talk_keep_up(talk);
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

static void read_failure(const struct kin__talk_message *answer, kin_failure *failure)
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

/* Sends a task and waits for its answer. *code: why it was not sent, with KIN__DEPUTY_DONE and nothing in
 * *answer, if that is the task's own fault. */
static enum kin__deputy_outcome exchange(const struct kin__talk_message *task,
                                         struct kin__talk_message *answer, int *code, kin_failure *failure)
{
    bool begun = false;
    *answer = (struct kin__talk_message){0};
    int rc = kin__talk_send(&here.talk, task);
    if (rc == -EMSGSIZE || rc == -ENOMEM) {
        *code = rc;
        return KIN__DEPUTY_DONE;
    }
    if (rc == 0) rc = wait_for_answer(answer, &begun);
    if (rc < 0) {
        *failure = (kin_failure){.cause = KIN_CAUSE_LOST, .code = rc};
        sign(failure);
        return begun ? KIN__DEPUTY_LOST : KIN__DEPUTY_UNSENT;
    }
    *code = answer->code;
    if (answer->kind == KIN__TALK_REPLY) return KIN__DEPUTY_DONE;
    read_failure(answer, failure);
    return KIN__DEPUTY_DIED;
}

enum kin__deputy_outcome kin__deputy_task(kin_result *record, int *code, kin_failure *failure)
{
    struct kin__talk_message answer, task = {
                                         .kind = KIN__TALK_TASK,
                                         .form = KIN__TALK_BYTES,
                                         .number = record->number,
                                         .name = record->function,
                                         .name_size = (uint32_t)strlen(record->function),
                                         .data = kin__record_argument(record),
                                         .size = record->argument_size,
                                     };
    enum kin__deputy_outcome outcome = exchange(&task, &answer, code, failure);
    if (outcome != KIN__DEPUTY_DONE || *code != 0) return outcome;
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
static const void *gather(const struct kin__deputy_items *items, size_t count, size_t in_size)
{
    if (items->inputs == 1) return (const char *)items->in[0] + items->done * in_size;
    if (kin__talk_buffer_reserve(&here.gathered, count * in_size) < 0) return NULL;
    unsigned char *at = here.gathered.bytes;
    for (unsigned i = 0; i < items->inputs; i++) {
        size_t size = items->in_size[i];
        memcpy(at, (const char *)items->in[i] + items->done * size, count * size);
        at += count * size;
    }
    return here.gathered.bytes;
}

/* Takes the outcomes of the items that are finished; how many those are. */
static size_t take_outcomes(struct kin__deputy_items *items, size_t count,
                            const struct kin__talk_message *answer)
{
    size_t finished = answer->kind == KIN__TALK_REPLY && items->code == 0 ? count : answer->progress;
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

/* How long the function ran, as far as that can be believed of an exchange that took so long. */
static int64_t time_there(const struct kin__talk_message *answer, int64_t took)
{
    if (answer->kind != KIN__TALK_REPLY) return 0;
    return answer->count < (uint64_t)took ? (int64_t)answer->count : took;
}

enum kin__deputy_outcome kin__deputy_items(struct kin__deputy_items *items, kin_failure *failure)
{
    size_t in_size = 0;
    for (unsigned i = 0; i < items->inputs; i++) in_size += items->in_size[i];
    size_t most = items_at_once(in_size, items->out_size);
    items->done = 0;
    items->code = 0;
    items->ran_ns = 0;
    while (items->done < items->count) {
        size_t left = items->count - items->done, now = left < most ? left : most;
        struct kin__talk_message answer, task = {
                                             .kind = KIN__TALK_TASK,
                                             .form = KIN__TALK_RANGE,
                                             .count = now,
                                             .in_size = in_size,
                                             .out_size = items->out_size,
                                             .name = items->function,
                                             .name_size = (uint32_t)strlen(items->function),
                                             .data = gather(items, now, in_size),
                                             .size = now * in_size,
                                         };
        if (task.data == NULL) items->code = -ENOMEM;
        if (items->code != 0) return KIN__DEPUTY_DONE;
        int64_t begin = kin__os_clock();
        enum kin__deputy_outcome outcome = exchange(&task, &answer, &items->code, failure);
        items->ran_ns += time_there(&answer, kin__os_clock() - begin);
        if (outcome == KIN__DEPUTY_DONE || outcome == KIN__DEPUTY_DIED)
            items->done += take_outcomes(items, now, &answer);
        if (outcome != KIN__DEPUTY_DONE || items->code != 0) return outcome;
    }
    return KIN__DEPUTY_DONE;
}
