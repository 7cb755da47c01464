/* kin/queue.h: a bounded queue of messages between processes and threads: first in first out, last
 * in first out, or by priority.
 *
 * Any number of producers and consumers; each may be killed at any instruction and the
 * others go on.  A message is visible when it is whole.  When put returns, the message is in
 * the queue, whatever becomes of the process that put it.
 *
 *     kin_queue *queue = NULL;
 *     kin_queue_open(&queue, &(kin_queue_options){ .max_items = 64 });
 *     …in one process…                      …in another…
 *     kin_queue_put(queue, &p, sizeof p,    long n = kin_queue_get(queue, &p, sizeof p,
 *                   KIN_FOREVER);                                  kin_in_s(8));
 *                                           if (n == KIN_EMPTY) …
 */
#ifndef KIN_QUEUE_H
#define KIN_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

KIN_BEGIN

/* A queue lives in family memory: a pointer to it may be sent to any process of the family. */
typedef struct kin_queue kin_queue;

/* Which message comes first. */
enum kin_queue_order {
    KIN_FIFO = 0, /* the oldest */
    KIN_LIFO,     /* the newest */
    KIN_PRIORITY  /* that of the smallest priority; of equal ones the oldest */
};

typedef struct kin_queue_options {
    size_t max_items; /* messages it holds at most; 0, or more than 16,777,214: that many */
    size_t
        max_bytes; /* bytes it holds at most; 0: 64 MiB.  A message counts its size, rounded up to 8, and 8 to
                         16 more.  One larger than all is let in when the queue is empty. */
    int joinable;  /* not 0: messages are tasks; see kin_queue_task_done */
    enum kin_queue_order order;
    int redeliver; /* of a joinable one: how often a task is handed out again when a process ended that had
                      taken it; less than 0: always.  0: it counts as done.  Other than 0: max_items is
                      16,744,190 at most. */
    /* A queue of a manager (kin/manager.h) instead: where that listens.  The options above are that
     * queue's own then. */
    const char *address;
    const void *key; /* what the manager wants its clients to know */
    size_t key_size;
    const char *name; /* what the manager calls the queue; NULL: "Queue", a new one.  Only with an address */
} kin_queue_options;

/* kin_queue_open makes an empty queue and stores it in `*queue`; `options` may be NULL.  Any
 * one process closes it.  Blocks and is safe like kin_alloc.
 * With an address it is a queue of a manager, and used by the same calls, except kin_wait: its messages
 * are what Python programs see as bytes.  One of another kind fails with KIN_EKIND, and is got next, by
 * kin_queue_get_value.  Closing it leaves the manager's queue as it is, and ends the calls of it that other threads of
 * the process are in, which lose their connections to that manager for it.
 * Errors: -EINVAL (NULL, an unknown order, redelivery of what is not joinable, a max_bytes beyond the
 * region, a key or name without an address, a key without its size), -ENOMEM, KIN_EHELD, and those of
 * kin_family_open.  With an address: those of kin_manager_connect, KIN_EREMOTE (the manager has no such
 * type or name: kin_manager_error(NULL) tells), KIN_EKIND (it is no queue); and in every call those of kin_proxy_call. */
KIN_API int kin_queue_open_sized(kin_queue **queue, const kin_queue_options *options, size_t size);
static inline int kin_queue_open(kin_queue **queue, const kin_queue_options *options)
{
    return kin_queue_open_sized(queue, options, sizeof(kin_queue_options));
}

/* kin_queue_shutdown ends the queue: from now on put and reserve fail with KIN_ECLOSED.  In order
 * (`immediate` is 0): get and take hand out what is there and then fail with KIN_ECLOSED.  At once: they
 * fail with KIN_ECLOSED from now on, what is there is dropped, and kin_queue_join waits only for what
 * was taken.  All who wait are woken.  Shutting down again does nothing, unless it was in order and is at
 * once now.  Waits only for a process inside the queue, until it leaves or dies.
 * Errors: -EINVAL (NULL), KIN_ECLOSED (destroyed), KIN_EFOREIGN. */
KIN_API int kin_queue_shutdown(kin_queue *queue, int immediate);

/* kin_queue_close destroys the queue with the messages in it and gives its memory back; who
 * waits on it gets KIN_ECLOSED.  Messages that were taken stay valid until released.  Close
 * it once, when no other process will use it any more.  NULL is allowed.
 * Errors: KIN_ECLOSED (closed before), KIN_EFOREIGN. */
KIN_API int kin_queue_close(kin_queue *queue);

/* kin_queue_put copies `size` bytes into the queue as one message, waiting until `deadline`
 * while it is full.  Size 0 is a message too.  When it returns 0 the message is in the queue.
 * Safe for threads; not for signal handlers (-EDEADLK when one interrupted kin).
 * Errors, after which no message was put: KIN_FULL (at the deadline), KIN_ECLOSED (ended or
 * destroyed), -EMSGSIZE (larger than the region can ever hold), -ENOMEM, -ETIMEDOUT (a process
 * that is stopped holds the queue up), -EINVAL (NULL), KIN_EFOREIGN, KIN_ESLOTS, KIN_EHELD. */
KIN_API int kin_queue_put(kin_queue *queue, const void *message, size_t size, kin_deadline deadline);

/* kin_queue_put_priority puts a message into a queue by priority (KIN_PRIORITY), where it comes before
 * all of larger priority and after all of its own that are there.  (kin_queue_put gives it priority 0.)
 * Errors: those of kin_queue_put; -EINVAL also for a queue of another order, and for one of a manager, where
 * priorities are in the values. */
KIN_API int kin_queue_put_priority(kin_queue *queue, const void *message, size_t size, int64_t priority,
                                   kin_deadline deadline);

/* kin_queue_get takes the first message out of the queue, copies it to `buffer` and returns
 * its size in bytes, waiting until `deadline` while there is none.
 * Safe like kin_queue_put.
 * Errors, after which no message was taken: KIN_EMPTY (at the deadline), KIN_ECLOSED (ended
 * and drained, or destroyed), KIN_ETOOSMALL (larger than `capacity` bytes; kin_needed_size
 * tells its size), -ETIMEDOUT (a process that is stopped holds the queue up), -EINVAL (NULL),
 * KIN_EFOREIGN, KIN_ESLOTS, KIN_EHELD (4096 are held, and the message is a large one: that counts as held while it
 * is copied, and one taken from a queue that redelivers both as the task and as its copy), -ENOMEM. */
KIN_API long kin_queue_get(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline);

/* kin_queue_reserve stores in `*message` the address of `size` bytes of family memory (not
 * zeroed) for a message that the caller writes in place.  It belongs to the calling process
 * until kin_queue_commit puts it into a queue or kin_queue_release gives it back; if the
 * process dies, it is freed.  Blocks and is safe like kin_alloc.
 * Errors: -EINVAL (NULL), -EMSGSIZE, -ENOMEM, KIN_EHELD (4096 are held), KIN_ECLOSED,
 * KIN_EFOREIGN, KIN_ESLOTS. */
KIN_API int kin_queue_reserve(kin_queue *queue, void **message, size_t size);

/* kin_queue_commit puts a reserved (or taken) message into the queue without copying it,
 * waiting until `deadline` while the queue is full.  When it returns 0 the message is in the
 * queue and no longer the caller's; after an error it is still the caller's.
 * Errors: those of kin_queue_put; -EINVAL also for what is not held by this process. */
KIN_API int kin_queue_commit(kin_queue *queue, void *message, kin_deadline deadline);

/* kin_queue_commit_priority is to kin_queue_commit what kin_queue_put_priority is to kin_queue_put. */
KIN_API int kin_queue_commit_priority(kin_queue *queue, void *message, int64_t priority,
                                      kin_deadline deadline);

/* kin_queue_take takes the first message out of the queue without copying it, stores its
 * address in `*message` and returns its size in bytes, waiting until `deadline` while there
 * is none.  It belongs to the calling process until kin_queue_release or kin_queue_commit
 * (to this or another queue); if the process dies, it is freed.
 * Errors: those of kin_queue_get except KIN_ETOOSMALL; -ENOMEM. */
KIN_API long kin_queue_take(kin_queue *queue, void **message, kin_deadline deadline);

/* kin_queue_release gives back a message from kin_queue_reserve or kin_queue_take; any
 * thread of the process that holds it may do so.  NULL is allowed.  Blocks and is safe like
 * kin_alloc.
 * Errors, after which nothing has changed: KIN_EFOREIGN (not family memory), -EINVAL (not
 * held by this process). */
KIN_API int kin_queue_release(void *message);

/* kin_queue_task_done says that one message that was taken from a joinable queue is done with: by
 * the process that took it or, when that one has none left, by another.  What a process had taken
 * when it ended counts as done.  Waits only for a process inside the queue, until it leaves or dies.
 * Safe for threads; not for signal handlers (-EDEADLK when one interrupted kin; nothing has changed).
 * Of a queue that redelivers, it is done by the process that took it: the one that the calling thread
 * took the longest ago or, if that has none, another thread of the process.  What a process had taken when
 * it ended goes back to its place in the queue's order, and is dropped by who would get it when it has come
 * back as often as the queue's option says.
 * Errors, after which nothing has changed: KIN_ENOTASK (nothing that was taken is left), -EINVAL
 * (NULL, or the queue is not joinable), KIN_ECLOSED, KIN_EFOREIGN, KIN_ESLOTS, KIN_EHELD, -ENOMEM. */
KIN_API int kin_queue_task_done(kin_queue *queue);

/* kin_queue_join waits until `deadline` for a joinable queue to be empty and every message that was
 * taken from it to be done.  Safe for threads; any number of them may wait.
 * Errors: -ETIMEDOUT, -EINVAL (NULL, or the queue is not joinable), KIN_ECLOSED, KIN_EFOREIGN,
 * KIN_ESLOTS. */
KIN_API int kin_queue_join(kin_queue *queue, kin_deadline deadline);

/* A message of a batch. */
typedef struct kin_message {
    const void *data;
    size_t size;
} kin_message;

/* kin_queue_put_many copies `count` messages into the queue, in their order, and returns how many it
 * has put: all of them, or fewer when `deadline` passed while the queue was full, when the queue was
 * ended, or when an error came after the first of them.  Each message is whole and as if it were put
 * by itself; messages of others may come between them.  A process that dies meanwhile has put the
 * first so many.  Safe like kin_queue_put.
 * Errors, after which no message was put: those of kin_queue_put. */
KIN_API long kin_queue_put_many(kin_queue *queue, const kin_message *messages, size_t count,
                                kin_deadline deadline);

/* kin_queue_get_many takes up to `count` messages, in the queue's order, and returns how many: it waits
 * until `deadline` for the first, and takes with it what else is there.  They are copied to `buffer`,
 * each at the next multiple of 8 bytes, as long as the next one fits; `messages` says where each
 * begins and its size.  Each is taken as if by itself; a process that dies meanwhile has taken the
 * first so many.  Safe like kin_queue_put.
 * Errors, after which no message was taken: those of kin_queue_get; KIN_ETOOSMALL says that the first
 * one is larger than `capacity`. */
KIN_API long kin_queue_get_many(kin_queue *queue, kin_message *messages, size_t count, void *buffer,
                                size_t capacity, kin_deadline deadline);

/* kin_queue_qsize returns how many messages the queue holds, exact at the moment of reading;
 * kin_queue_empty and kin_queue_full return 1 or 0.  Full means that a message of one byte
 * would have to wait.  Do not block.
 * Errors: -EINVAL (NULL), KIN_ECLOSED (destroyed), KIN_EFOREIGN. */
KIN_API long kin_queue_qsize(kin_queue *queue);
KIN_API int kin_queue_empty(kin_queue *queue);
KIN_API int kin_queue_full(kin_queue *queue);

KIN_END
#endif
