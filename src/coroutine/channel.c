/* channel.c: items between the coroutines of a thread.
 *
 * Invariants:
 *  - Senders wait only while the ring is full, receivers only while it is empty and no sender waits.
 *  - Whoever waits has its item's place in `item`; who wakes it has copied the item from or to there,
 *    so that nobody comes in between.
 */
#include <kin/channel.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "coroutine/loop.h"
#include "os/os.h"

/* A coroutine that waits, with the place of its item; `waiter` first. */
struct place {
    struct kin__waiter waiter;
    void *item;
    bool ended;
};

struct kin_channel {
    uint64_t loop; /* its number */
    struct kin__waiters senders;
    struct kin__waiters receivers;
    size_t item_size;
    size_t capacity;
    size_t count;
    size_t first;
    bool ended;
    char items[];
};

int kin_channel_open(kin_channel **channel, size_t item_size, size_t capacity)
{
    struct kin__loop *loop = NULL;
    size_t size;
    if (channel == NULL || item_size == 0) return -EINVAL;
    if (__builtin_mul_overflow(item_size, capacity, &size) ||
        __builtin_add_overflow(size, sizeof(kin_channel), &size))
        return -ENOMEM;
    int rc = kin__loop_open(&loop);
    if (rc < 0) return rc;
    kin_channel *made = kin__os_calloc(1, size);
    if (made == NULL) return -ENOMEM;
    made->loop = loop->number;
    made->item_size = item_size;
    made->capacity = capacity;
    *channel = made;
    return 0;
}

static void *slot(kin_channel *channel, size_t index)
{
    return channel->items + (channel->first + index) % channel->capacity * channel->item_size;
}

static void push(kin_channel *channel, const void *item)
{
    memcpy(slot(channel, channel->count++), item, channel->item_size);
}

static void pop(kin_channel *channel, void *item)
{
    memcpy(item, slot(channel, 0), channel->item_size);
    channel->first = (channel->first + 1) % channel->capacity;
    channel->count--;
}

static struct place *wake_first(struct kin__waiters *list)
{
    return (struct place *)kin__waiters_wake_first(list);
}

static int wait(struct kin__waiters *list, void *item, kin_deadline deadline)
{
    struct place place = {.item = item};
    int rc = kin__wait_as(kin__loop, list, &place.waiter, deadline);
    return rc == 0 && place.ended ? KIN_ECLOSED : rc;
}

static int check(const kin_channel *channel, const void *item)
{
    if (channel == NULL || item == NULL) return -EINVAL;
    return kin__is_own(channel->loop) ? 0 : -EPERM;
}

int kin_channel_send(kin_channel *channel, const void *item, kin_deadline deadline)
{
    int rc = check(channel, item);
    if (rc < 0) return rc;
    if (channel->ended) return KIN_ECLOSED;
    struct place *receiver = wake_first(&channel->receivers);
    if (receiver != NULL) {
        memcpy(receiver->item, item, channel->item_size);
        return 0;
    }
    if (channel->count < channel->capacity) {
        push(channel, item);
        return 0;
    }
    rc = wait(&channel->senders, (void *)(uintptr_t)item, deadline);
    return rc == -ETIMEDOUT ? KIN_FULL : rc;
}

int kin_channel_receive(kin_channel *channel, void *item, kin_deadline deadline)
{
    int rc = check(channel, item);
    if (rc < 0) return rc;
    if (channel->count > 0) {
        pop(channel, item);
        struct place *sender = wake_first(&channel->senders);
        if (sender != NULL) push(channel, sender->item);
        return 0;
    }
    struct place *sender = wake_first(&channel->senders);
    if (sender != NULL) {
        memcpy(item, sender->item, channel->item_size);
        return 0;
    }
    if (channel->ended) return KIN_ECLOSED;
    rc = wait(&channel->receivers, item, deadline);
    return rc == -ETIMEDOUT ? KIN_EMPTY : rc;
}

static void end_all(struct kin__waiters *list)
{
    for (struct place *place; (place = wake_first(list)) != NULL;) place->ended = true;
}

int kin_channel_end(kin_channel *channel)
{
    if (channel == NULL) return -EINVAL;
    if (!kin__is_own(channel->loop)) return -EPERM;
    channel->ended = true;
    end_all(&channel->receivers);
    end_all(&channel->senders);
    return 0;
}

int kin_channel_close(kin_channel *channel)
{
    if (channel == NULL) return 0;
    /* Of a loop that was closed it may be left over. */
    if (channel->senders.first != NULL || channel->receivers.first != NULL)
        return kin__is_own(channel->loop) ? -EBUSY : -EPERM;
    kin__os_free(channel);
    return 0;
}
