/* queue.h: what the layers above know of a queue's inside. */
#ifndef KIN_IPC_QUEUE_H
#define KIN_IPC_QUEUE_H

#include <stdbool.h>

#include <kin/queue.h>

/* Called under the queue's latch with the message that is about to be taken, before it is: it
 * notes whose it becomes, and returns false for a message that is to be dropped.  May be
 * called again for the same message, by another thread, if the first one dies. */
typedef bool kin__queue_claim(const void *message, size_t size, void *context);

/* As kin_queue_get, with a claim on the way. */
long kin__queue_get_claim(kin_queue *queue, void *buffer, size_t capacity, kin_deadline deadline,
                          kin__queue_claim *claim, void *context);

#endif
