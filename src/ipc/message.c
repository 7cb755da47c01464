/* message.c: messages in blocks of their own.  See message.h for the invariants. */
#include "ipc/message.h"

#include <errno.h>

#include <kin/error.h>

#include "memory/region.h"

int kin__message_make(struct kin__message **message, size_t size, kin_deadline deadline)
{
    uint32_t held = 0;
    int rc = 0;
    if (size > kin__block_limit() - sizeof **message) return -EMSGSIZE;
    struct kin__message *made = kin__allocate_until(sizeof *made + size, deadline, &rc);
    if (made == NULL) return rc;
    rc = kin__held_claim(&held);
    if (rc < 0) {
        kin__allocate_cancel();
        return rc;
    }
    made->magic = KIN__MAGIC_MESSAGE;
    made->size = size;
    made->held = held;
    made->queue = NULL;
    atomic_store_explicit(&made->copied, KIN__COPIED, memory_order_relaxed);
    atomic_store_explicit(&made->owner, kin__self.process_identity, memory_order_relaxed);
    kin__allocate_publish(&kin__self.process->held[held]);
    *message = made;
    return 0;
}

int kin__message_find(void *bytes, struct kin__message **message)
{
    struct kin__message *found = (struct kin__message *)bytes - 1;
    if (!kin__in_family(bytes)) return KIN_EFOREIGN;
    if (((uintptr_t)bytes & 63) != 0 || kin__block_size(found) == 0 || found->magic != KIN__MAGIC_MESSAGE)
        return -EINVAL;
    if (atomic_load(&found->owner) != kin__self.process_identity || found->held >= KIN__HELD_LIMIT ||
        atomic_load(&kin__self.process->held[found->held]) != found)
        return -EINVAL;
    *message = found;
    return 0;
}

int kin__message_free(struct kin__message *message)
{
    uint32_t held = message->held;
    int rc = kin__free(message, &kin__self.process->held[held]);
    atomic_store_explicit(&kin__self.process->held_hint, held, memory_order_relaxed);
    return rc;
}

int kin__message_hold(struct kin__message *message)
{
    uint32_t held = 0;
    int rc = kin__held_claim(&held);
    if (rc < 0) return rc;
    /* CRASH: named by our table before we own it: the reaper sees another owner, or finds it
     * still in the queue, and leaves it there. */
    atomic_store(&kin__self.process->held[held], message);
    message->held = held;
    atomic_store(&message->owner, kin__self.process_identity);
    return 0;
}

void kin__message_let_go(uint32_t held)
{
    atomic_store(&kin__self.process->held[held], NULL);
    atomic_store_explicit(&kin__self.process->held_hint, held, memory_order_relaxed);
}

KIN__LAYOUT_PART(message, struct kin__message);
