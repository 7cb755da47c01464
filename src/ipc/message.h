/* message.h: messages in blocks of their own: those that are large, reserved or taken.
 *
 * Invariants:
 *  - A message's block is named by an entry of its holder's table of held messages, or by a
 *    record in a queue, or, for a moment, by both.  `owner` decides: the process whose
 *    identity it carries holds it unless it is in the queue at `position`.
 *  - A process that dies has its table settled by that rule (settle_message in queue.c).
 *  - A queue that keeps what is taken shares the block with who copies it, outside of the latch: the copier's
 *    table names it too, and `copied` says whose it is afterwards.
 */
#ifndef KIN_IPC_MESSAGE_H
#define KIN_IPC_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kin/queue.h>

#define KIN__MAGIC_MESSAGE 0x67736d6e696b0001ull

/* Is it being copied by the process that took it, and has the queue been closed meanwhile, which then leaves the
 * block to the copier? */
enum kin__copied { KIN__COPIED = 0, KIN__COPYING = 1, KIN__COPY_LEFT = 2 };

/* SHARED, before the bytes of the message.  Written by the process that holds it, under the
 * queue's latch when it is put or taken; read by the reaper.
 *   owner     identity of the holding process; the consumer overwrites it before it commits.
 *   copied    see kin__copied; of a message that is taken and kept.  Set under the latch; cleared by the copier
 *             without it, unless the queue has left the block to him, which is said under the latch again.
 *   queue, position   where it was last put; set before the commit. */
struct kin__message {
    uint64_t magic;
    uint64_t size;
    _Atomic uint64_t owner;
    uint32_t held;
    _Atomic uint32_t copied;
    kin_queue *queue;
    uint64_t position;
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct kin__message) == 64, "the bytes begin on a cache line");

/* Makes a message of `size` bytes held by this process.  -EMSGSIZE, and the errors of kin__allocate_until. */
int kin__message_make(struct kin__message **message, size_t size, kin_deadline deadline);
/* The message whose bytes begin at `bytes`, if this process holds it. */
int kin__message_find(void *bytes, struct kin__message **message);
/* Frees a message that this process holds. */
int kin__message_free(struct kin__message *message);
/* Makes this process the holder; under the latch of the queue it is in. */
int kin__message_hold(struct kin__message *message);
/* Gives the table entry up after the message went into a queue. */
void kin__message_let_go(uint32_t held);

/* Under the latch of the queue that keeps it, as the next one.  Acquire: pairs with kin__message_end_copy, after
 * which others may free it. */
static inline bool kin__message_is_being_copied(const struct kin__message *message)
{
    return atomic_load_explicit(&message->copied, memory_order_acquire) != KIN__COPIED;
}
/* Leaves it to who copies it; false if nobody does.  CRASH: said again by whoever goes on with the closing. */
static inline bool kin__message_leave(struct kin__message *message)
{
    uint32_t copied = KIN__COPYING;
    return atomic_compare_exchange_strong(&message->copied, &copied, KIN__COPY_LEFT) ||
           copied == KIN__COPY_LEFT;
}
/* By the copier, without the latch: false if it was left to him. */
static inline bool kin__message_end_copy(struct kin__message *message)
{
    uint32_t copied = KIN__COPYING;
    return atomic_compare_exchange_strong(&message->copied, &copied, KIN__COPIED);
}

static inline void *kin__message_bytes(struct kin__message *message)
{
    return message + 1;
}

#endif
