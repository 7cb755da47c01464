/* ends.c: the two ends of a queue, read without a latch.  See ends.h for the invariants. */
#include "ipc/ends.h"

void kin__ends_init(struct kin__ends *ends, uint64_t max_items, uint64_t max_bytes)
{
    struct kin__end *both[] = {&ends->tail, &ends->head};
    ends->max_items = max_items;
    ends->max_bytes = max_bytes;
    for (int i = 0; i < 2; i++) {
        atomic_store(&both[i]->position, 0);
        atomic_store(&both[i]->bytes[0], 0);
        atomic_store(&both[i]->bytes[1], 0);
        atomic_store(&both[i]->halves, 0);
        atomic_store(&both[i]->own_position, 0);
        atomic_store(&both[i]->own_bytes, 0);
        both[i]->other_position = both[i]->other_bytes = 0;
    }
}

bool kin__ends_have_room(struct kin__ends *ends, uint64_t charge, bool *by_bytes)
{
    uint64_t tail_bytes, head_bytes;
    uint64_t head = kin__end_read(&ends->head, &head_bytes);
    uint64_t tail = kin__end_read(&ends->tail, &tail_bytes);
    return kin__ends_admit(ends, kin__items_between(head, tail), tail_bytes - head_bytes, charge, by_bytes);
}

uint64_t kin__ends_items(struct kin__ends *ends)
{
    for (;;) {
        uint64_t head = atomic_load(&ends->head.position);
        uint64_t tail = atomic_load(&ends->tail.position);
        /* Exact: both at the moment of the second load. */
        if (atomic_load(&ends->head.position) == head) return kin__items_between(head, tail);
    }
}
