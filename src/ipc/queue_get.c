/* queue_get.c: getting messages out of a queue: waiting for one, copying and taking.
 *
 * Invariants:
 *  - A thread inside a queue says so (kin__touch): see queue_put.c.
 *  - Who was woken for a message and does not take it wakes another.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "ipc/message.h"
#include "ipc/queue.h"
#include "memory/region.h"
#include "memory/remote.h"
#include "os/os.h"

/* What is waited for: a message, the end, or an interrupt. */
struct waiting {
    kin_queue *queue;
    uint32_t life;
    const _Atomic uint32_t *interrupt; /* NULL: none */
    int64_t pause_ns;                  /* see kin__queue_claim */
    const void *place;                 /* where the message will be; only a hint */
    bool has_taken;                    /* this process keeps tasks of the queue */
};

static bool is_interrupted(const struct waiting *waiting)
{
    return waiting->interrupt != NULL && atomic_load(waiting->interrupt) != 0;
}

static bool may_get(void *context)
{
    const struct waiting *waiting = context;
    /* Both lines at once: the one behind the other would come later by the way between two processors. */
    if (waiting->place != NULL) __builtin_prefetch(waiting->place);
    return kin__queue_may_get(waiting->queue, waiting->life, waiting->has_taken) || is_interrupted(waiting);
}

static void pause_for(int64_t time, kin_deadline deadline)
{
    kin_deadline until = kin_in_ns(time);
    kin__os_sleep_until(until < deadline ? until : deadline);
}

/* Waits until there may be a message: 0, KIN_EMPTY at the deadline, or -EINTR. */
static int wait_for_item(struct waiting waiting, kin_deadline deadline)
{
    if (is_interrupted(&waiting)) return -EINTR;
    if (deadline <= 0) return KIN_EMPTY;
    if (kin__watch_for(may_get, &waiting)) {
        unsigned lag = kin__linger();
        if (lag > 0) kin__linger_learn(lag, kin__ends_items(&waiting.queue->ends));
        return 0;
    }
    int rc;
    while ((rc = kin__event_sleep_once(&waiting.queue->items, may_get, &waiting, deadline)) > 0)
        if (rc == KIN__WOKEN_IN_VAIN && waiting.pause_ns > 0) pause_for(waiting.pause_ns, deadline);
    return rc == -ETIMEDOUT ? KIN_EMPTY : rc;
}

/* Under the head's latch, when there is no message. */
static long why_none(kin_queue *queue, uint32_t life)
{
    enum kin__ended ended = kin__queue_ended(queue, life);
    if (ended == KIN__OPEN || (ended == KIN__ENDED_IN_ORDER && kin__queue_may_come_back(queue)))
        return KIN_EMPTY;
    return KIN_ECLOSED;
}

/* What a consumer wants to be done with the oldest message. */
struct taker {
    void *buffer; /* copy there, */
    size_t capacity;
    bool in_place;                        /* or hand over the block: */
    struct kin__message *message;         /* in: one that an inline message fits in; out: what was taken */
    struct kin__message *source;          /* out: what the queue keeps, to be copied when the latch is free */
    const struct kin__queue_claim *claim; /* NULL: none */
    const void *place;                    /* out, when there is none: where it will be */
    bool has_taken;                       /* likewise: this process keeps tasks of the queue */
    uint32_t life;                        /* of the queue that it came to */
};

enum taken { TAKEN, DROPPED, WANTS_BLOCK, RUN_ENDS };

/* Under the head's latch: commits that the message just peeked is taken. */
static void commit_taken(kin_queue *queue, const struct kin__record *record)
{
    if (__builtin_expect(queue->tasks == KIN__TASKS_KEPT, 0))
        kin__shelf_take(&queue->shelf, true);
    else
        kin__queue_consume(queue, record);
}

/* Under the head's latch, for a message that lies in the stream or its slot. */
static long take_inline(kin_queue *queue, const struct kin__record *record, struct taker *taker)
{
    if (taker->in_place) {
        if (taker->message == NULL || taker->message->size < record->size) return WANTS_BLOCK;
        memcpy(kin__message_bytes(taker->message), record->bytes, record->size);
        taker->message->size = record->size;
    } else {
        if (record->size > taker->capacity) return KIN_ETOOSMALL;
        const struct kin__queue_claim *by = taker->claim;
        enum kin__claim wanted =
            by != NULL ? by->claim(record->bytes, record->size, by->context) : KIN__CLAIM_TAKE;
        if (wanted == KIN__CLAIM_LEAVE) return -EINTR;
        if (wanted == KIN__CLAIM_DROP) {
            kin__queue_consume(queue, record);
            return DROPPED;
        }
        if (record->size > 0) memcpy(taker->buffer, record->bytes, record->size);
    }
    kin__queue_take_tasks(queue, 1);
    commit_taken(queue, record);
    return TAKEN;
}

/* Under the head's latch, for a message in a block: makes it ours. */
static long take_block(kin_queue *queue, const struct kin__record *record, struct taker *taker)
{
    if (!taker->in_place && record->size > taker->capacity) return KIN_ETOOSMALL;
    const struct kin__queue_claim *by = taker->claim;
    if (by != NULL &&
        by->claim(kin__message_bytes(record->message), record->size, by->context) != KIN__CLAIM_TAKE)
        return KIN_EFOREIGN; /* only queues of records have claims that refuse, and those are small */
    int rc = kin__message_hold(record->message);
    if (rc < 0) return rc;
    kin__queue_take_tasks(queue, 1);
    commit_taken(queue, record);
    taker->message = record->message;
    return TAKEN;
}

/* Under the head's latch, for a block that the queue keeps: ours to be copied, which may take long, when the latch
 * is free.
 * CRASH: once it is taken it is put back; before, the reaper finds it in the queue. */
static long take_to_copy(kin_queue *queue, const struct kin__record *record, struct taker *taker)
{
    if (taker->in_place && (taker->message == NULL || taker->message->size < record->size))
        return WANTS_BLOCK;
    if (!taker->in_place && record->size > taker->capacity) return KIN_ETOOSMALL;
    int rc = kin__message_hold(record->message);
    if (rc < 0) return rc;
    atomic_store_explicit(&record->message->copied, KIN__COPYING, memory_order_relaxed);
    commit_taken(queue, record);
    taker->source = record->message;
    return TAKEN;
}

/* The queue was closed while the block was copied: it is ours alone, unless who closed it died before he gave
 * it up. */
static void free_source(kin_queue *queue, struct taker *taker, uint32_t held, kin_deadline deadline)
{
    /* Somebody is stopped in there: it is ours until the process ends. */
    if (kin__queue_lock_head(queue, deadline) < 0) return;
    bool named = kin__queue_life(queue) == taker->life && kin__queue_names(queue, taker->source);
    if (named) atomic_store(&taker->source->copied, KIN__COPIED);
    kin__latch_release(&queue->ends.head.latch);
    if (named)
        kin__message_let_go(held);
    else
        kin__message_free(taker->source);
}

/* Without the latch.  The block stays: nobody says that it is done before it is copied, and who closes the queue
 * leaves it to us. */
static void copy_source(kin_queue *queue, struct taker *taker, kin_deadline deadline)
{
    struct kin__message *source = taker->source;
    uint32_t held = source->held;
    void *bytes = taker->in_place ? kin__message_bytes(taker->message) : taker->buffer;
    memcpy(bytes, kin__message_bytes(source), source->size);
    if (taker->in_place) taker->message->size = source->size;
    /* CRASH: after it the block is the queue's alone, whatever stands in our table: let go last. */
    if (kin__message_end_copy(source))
        kin__message_let_go(held);
    else
        free_source(queue, taker, held, deadline);
    taker->source = NULL;
}

/* Under the head's latch, of a queue that keeps what is taken: gives out a copy, unless it has come back
 * too often. */
static long take_kept(kin_queue *queue, const struct kin__record *record, struct taker *taker,
                      struct kin__message **dropped)
{
    if (kin__shelf_first(&queue->shelf)->deliveries <= queue->redeliver) {
        return record->kind == KIN__RECORD_MESSAGE ? take_to_copy(queue, record, taker)
                                                   : take_inline(queue, record, taker);
    }
    int rc = record->kind == KIN__RECORD_MESSAGE ? kin__message_hold(record->message) : 0;
    if (rc < 0) return rc;
    *dropped = record->message;
    kin__queue_consume(queue, record);
    return DROPPED;
}

/* One attempt: a value of enum taken, or an error; KIN_EMPTY and KIN_ECLOSED among them. */
static long try_take(kin_queue *queue, struct taker *taker, size_t *size, kin_deadline deadline)
{
    struct kin__record record;
    struct kin__message *spare = taker->message, *dropped = NULL;
    bool finished = false;
    long rc = kin__queue_lock_head(queue, deadline);
    if (rc < 0) return rc;
    if (kin__queue_ended(queue, taker->life) == KIN__ENDED_AT_ONCE) {
        rc = KIN_ECLOSED;
    } else if (!kin__queue_peek(queue, &record)) {
        rc = why_none(queue, taker->life);
        /* It is open, and whoever closes it needs this latch before he frees what is looked at. */
        if (rc == KIN_EMPTY) taker->place = kin__queue_place(queue);
        taker->has_taken = queue->tasks == KIN__TASKS_KEPT && kin__shelf_has_taken(&queue->shelf);
    } else {
        *size = record.size;
        if (__builtin_expect(queue->tasks == KIN__TASKS_KEPT, 0))
            rc = take_kept(queue, &record, taker, &dropped);
        else
            rc = record.kind == KIN__RECORD_INLINE ? take_inline(queue, &record, taker)
                                                   : take_block(queue, &record, taker);
        finished = rc == DROPPED && queue->tasks == KIN__TASKS_KEPT && kin__queue_all_done(queue);
    }
    kin__latch_release(&queue->ends.head.latch);
    if (rc == TAKEN || rc == DROPPED) kin__queue_tell_space(queue, 1);
    if (finished) kin__queue_tell_finished(queue);
    if (dropped != NULL) kin__message_free(dropped);
    if (taker->source != NULL) copy_source(queue, taker, deadline);
    if (rc == TAKEN && spare != NULL && taker->message != spare) kin__message_free(spare);
    return rc;
}

static long take(kin_queue *queue, struct taker *taker, kin_deadline deadline)
{
    size_t size = 0;
    for (;;) {
        long rc = try_take(queue, taker, &size, deadline);
        if (rc == TAKEN) return (long)size;
        if (rc == KIN_EMPTY) {
            struct waiting waiting = {
                .queue = queue, .life = taker->life, .place = taker->place, .has_taken = taker->has_taken};
            if (taker->claim != NULL) {
                waiting.interrupt = taker->claim->interrupt;
                waiting.pause_ns = taker->claim->pause_ns;
            }
            rc = wait_for_item(waiting, deadline);
        } else if (rc == WANTS_BLOCK) {
            if (taker->message != NULL) kin__message_free(taker->message);
            taker->message = NULL;
            rc = kin__message_make(&taker->message, size, deadline);
        } else if (rc == KIN_ETOOSMALL) {
            kin__needed_size_set(size);
        }
        if (rc < 0) {
            if (taker->message != NULL) kin__message_free(taker->message);
            /* We may have been woken for a message that we did not take: others wait for it. */
            if (rc != KIN_EMPTY && rc != KIN_ECLOSED) kin__queue_tell_items(queue, 1);
            return rc;
        }
    }
}

/* As take, and copies also what was in a block. */
static long take_copy(kin_queue *queue, struct taker *taker, kin_deadline deadline)
{
    long rc = take(queue, taker, deadline);
    if (rc >= 0 && taker->message != NULL) {
        memcpy(taker->buffer, kin__message_bytes(taker->message), (size_t)rc);
        kin__message_free(taker->message);
    }
    return rc;
}

long kin__queue_get_claim(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline,
                          const struct kin__queue_claim *claim)
{
    struct taker taker = {.buffer = buffer, .capacity = capacity, .claim = claim};
    long rc = kin__queue_enter(queue);
    if (__builtin_expect(rc < 0, 0))
        return kin__is_remote(queue) ? kin__remote_get(queue, buffer, capacity, deadline) : rc;
    if (buffer == NULL && capacity > 0) return -EINVAL;
    taker.life = kin__queue_life(queue);
    void *outer = kin__touch(queue);
    rc = take_copy(queue, &taker, deadline);
    kin__untouch(outer);
    return rc;
}

long kin_queue_get(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline)
{
    return kin__queue_get_claim(queue, buffer, capacity, deadline, NULL);
}

long kin_queue_take(kin_queue *queue, void **message, kin_deadline deadline)
{
    struct taker taker = {.in_place = true};
    long rc = kin__queue_enter(queue);
    if (rc < 0) return kin__is_remote(queue) ? kin__remote_take(queue, message, deadline) : rc;
    if (message == NULL) return -EINVAL;
    taker.life = kin__queue_life(queue);
    void *outer = kin__touch(queue);
    rc = take(queue, &taker, deadline);
    if (rc >= 0) *message = kin__message_bytes(taker.message);
    kin__untouch(outer);
    return rc;
}

/* ---- batches -------------------------------------------------------------------------------- */

/* Where the messages of a batch go: into one buffer, one behind the other. */
struct basket {
    uint32_t life;
    kin_message *messages;
    size_t limit;
    size_t count;
    char *buffer;
    size_t capacity;
    size_t used; /* rounded up to 8 */
};

static size_t room_in(const struct basket *basket)
{
    return basket->used < basket->capacity ? basket->capacity - basket->used : 0;
}

static char *place_in(const struct basket *basket)
{
    return basket->buffer != NULL ? basket->buffer + (basket->capacity - room_in(basket)) : NULL;
}

static void add_to(struct basket *basket, size_t size)
{
    basket->messages[basket->count++] = (kin_message){place_in(basket), size};
    basket->used += (size + 7) & ~(size_t)7;
}

/* Under the head's latch: takes the messages that lie in the stream as far as they fit, and not so
 * many that others wait long.  TAKEN: there may be more; RUN_ENDS: the next one is not for this. */
static long take_run(kin_queue *queue, struct basket *basket)
{
    struct kin__end *head = &queue->ends.head;
    struct kin__cursor cursor = kin__cursor_at(head);
    struct kin__record record;
    uint64_t enough = cursor.bytes + KIN__RUN_BYTES;
    size_t before = basket->count;
    long rc = TAKEN;
    if (kin__queue_ended(queue, basket->life) == KIN__ENDED_AT_ONCE) return KIN_ECLOSED;
    while (basket->count < basket->limit && cursor.bytes < enough) {
        if (!kin__stream_peek(&queue->stream, cursor.word, &record))
            rc = why_none(queue, basket->life);
        else if (record.kind != KIN__RECORD_INLINE || record.size > room_in(basket))
            rc = RUN_ENDS;
        if (rc != TAKEN) break;
        if (record.size > 0) memcpy(place_in(basket), record.bytes, record.size);
        kin__stream_pass(&cursor, &record);
        add_to(basket, record.size);
    }
    if (basket->count > before) kin__queue_take_tasks(queue, (uint32_t)(basket->count - before));
    kin__cursor_commit(head, &cursor);
    return rc;
}

static long try_take_run(kin_queue *queue, struct basket *basket, kin_deadline deadline)
{
    size_t before = basket->count;
    long rc = kin__queue_lock_head(queue, deadline);
    if (rc < 0) return rc;
    rc = take_run(queue, basket);
    kin__latch_release(&queue->ends.head.latch);
    if (basket->count > before) kin__queue_tell_space(queue, basket->count - before);
    return rc;
}

/* What no run takes: a block, a message that is too large, one of a queue by rank. */
static long take_single(kin_queue *queue, struct basket *basket, kin_deadline deadline)
{
    struct taker taker = {.life = basket->life, .buffer = place_in(basket), .capacity = room_in(basket)};
    long rc = take_copy(queue, &taker, deadline);
    if (rc >= 0) add_to(basket, (size_t)rc);
    return rc;
}

static long fill_basket(kin_queue *queue, struct basket *basket, kin_deadline deadline)
{
    long rc = 0;
    while (rc >= 0 && basket->count < basket->limit) {
        rc = queue->by_rank ? RUN_ENDS : try_take_run(queue, basket, deadline);
        if (rc == KIN_EMPTY && basket->count == 0)
            rc = wait_for_item((struct waiting){.queue = queue, .life = basket->life}, deadline);
        else if (rc == RUN_ENDS)
            rc = take_single(queue, basket, basket->count > 0 ? KIN_NOW : deadline);
    }
    /* We may have been woken for a message that we did not take: others wait for it. */
    if (rc < 0 && rc != KIN_EMPTY && rc != KIN_ECLOSED) kin__queue_tell_items(queue, 1);
    return rc;
}

long kin_queue_get_many(kin_queue *queue, kin_message *messages, size_t count, void *buffer, size_t capacity,
                        kin_deadline deadline)
{
    struct basket basket = {.messages = messages, .limit = count, .buffer = buffer, .capacity = capacity};
    long rc = kin__queue_enter(queue);
    if (rc < 0)
        return kin__is_remote(queue)
                   ? kin__remote_get_many(queue, messages, count, buffer, capacity, deadline)
                   : rc;
    if ((messages == NULL && count > 0) || (buffer == NULL && capacity > 0)) return -EINVAL;
    basket.life = kin__queue_life(queue);
    void *outer = kin__touch(queue);
    rc = fill_basket(queue, &basket, deadline);
    kin__untouch(outer);
    return basket.count > 0 || rc >= 0 ? (long)basket.count : rc;
}
