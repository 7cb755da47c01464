/* kin/channel.h: a channel between the coroutines of one thread.
 *
 * Between threads and processes there is kin/queue.h. */
#ifndef KIN_CHANNEL_H
#define KIN_CHANNEL_H

#include <stddef.h>

#include <kin/time.h>

KIN_BEGIN

/* In the private memory of the process, for the thread that opened it. */
typedef struct kin_channel kin_channel;

/* kin_channel_open makes a channel for items of `item_size` bytes that holds up to `capacity` of
 * them, and stores it in `*channel`.  With capacity 0 a sender waits until its item is received.
 * Errors: -EINVAL (NULL, or item_size 0), -ENOMEM, and those of the thread's first coroutine. */
KIN_API int kin_channel_open(kin_channel **channel, size_t item_size, size_t capacity);

/* kin_channel_send copies the item at `item` into the channel, waiting until `deadline` while it is
 * full.  First come, first served.
 * Errors, after which no item was sent: KIN_FULL (at the deadline), KIN_ECLOSED (ended), -ECANCELED,
 * -EDEADLK (outside of coroutines, when all wait for each other), -EPERM (another thread's), -EINVAL. */
KIN_API int kin_channel_send(kin_channel *channel, const void *item, kin_deadline deadline);

/* kin_channel_receive takes the oldest item out of the channel and copies it to `item`, waiting until
 * `deadline` while there is none.
 * Errors, after which no item was taken: KIN_EMPTY (at the deadline), KIN_ECLOSED (ended and
 * drained), -ECANCELED, -EDEADLK, -EPERM, -EINVAL. */
KIN_API int kin_channel_receive(kin_channel *channel, void *item, kin_deadline deadline);

/* kin_channel_end ends the channel in order: from now on nothing can be sent; what is there can be
 * received.  All who wait in vain are woken. */
KIN_API int kin_channel_end(kin_channel *channel);

/* kin_channel_close frees the channel with what is in it.  NULL is allowed.
 * Errors: -EBUSY (somebody waits on it), -EPERM. */
KIN_API int kin_channel_close(kin_channel *channel);

KIN_END
#endif
