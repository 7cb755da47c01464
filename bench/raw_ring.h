/* raw_ring.h: the limits of the queue: bounded rings of fixed slots in shared memory.
 *
 * raw_spsc has one producer and one consumer, raw_mpmc any number of both (a sequence number
 * in every slot, after Dmitry Vyukov).  Who finds a ring full or empty spins briefly and then
 * sleeps on a futex, or spins for ever.  They promise nothing: a process that is killed inside
 * leaves the ring stuck, and every message has the size of its slot. */
#ifndef BENCH_RAW_RING_H
#define BENCH_RAW_RING_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

enum { RAW_LINE = 64, RAW_SPINS = 100 };

static inline void raw_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* ---- sleeping until something has happened --------------------------------------------------- */

/* Set while somebody may be asleep.  Who tells takes the mark away and wakes all of them, so
 * that it makes one system call for a sleep and not one for every message until the sleeper has
 * run; who finds nothing after all sets it again. */
struct raw_event {
    _Atomic uint32_t asleep __attribute__((aligned(RAW_LINE)));
};

/* The fence orders what has happened before the look at the mark; it pairs with that of
 * raw_event_announce, so that one side sees the other. */
static inline void raw_event_tell(struct raw_event *event)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&event->asleep, memory_order_relaxed) != 0, 0) &&
        atomic_exchange(&event->asleep, 0))
        syscall(SYS_futex, &event->asleep, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static inline void raw_event_announce(struct raw_event *event)
{
    atomic_store(&event->asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void raw_event_sleep(struct raw_event *event)
{
    syscall(SYS_futex, &event->asleep, FUTEX_WAIT, 1, NULL, NULL, 0);
}

/* ---- one producer, one consumer -------------------------------------------------------------- */

struct raw_spsc {
    _Atomic uint64_t tail __attribute__((aligned(RAW_LINE))); /* written by the producer */
    uint64_t seen_head;                                       /* the producer's own */
    _Atomic uint64_t head __attribute__((aligned(RAW_LINE))); /* written by the consumer */
    uint64_t seen_tail;                                       /* the consumer's own */
    struct raw_event items, room;
    uint64_t slots __attribute__((aligned(RAW_LINE)));
    size_t size;
    bool spins;
    unsigned char data[] __attribute__((aligned(RAW_LINE)));
};

static inline struct raw_spsc *raw_spsc_new(uint64_t slots, size_t size, bool spins)
{
    struct raw_spsc *ring = (struct raw_spsc *)bench_shared(sizeof *ring + slots * size);
    ring->slots = slots;
    ring->size = size;
    ring->spins = spins;
    return ring;
}

static inline bool raw_spsc_has_room(struct raw_spsc *ring, uint64_t tail)
{
    if (tail - ring->seen_head < ring->slots) return true;
    ring->seen_head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return tail - ring->seen_head < ring->slots;
}

static inline bool raw_spsc_has_item(struct raw_spsc *ring, uint64_t head)
{
    if (head != ring->seen_tail) return true;
    ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head != ring->seen_tail;
}

#define RAW_SPSC_WAIT(ring, ready, event) \
    for (unsigned spin = 0; !(ready); spin++) { \
        if ((ring)->spins || spin < RAW_SPINS) { \
            raw_pause(); \
            continue; \
        } \
        raw_event_announce(event); \
        if (!(ready)) raw_event_sleep(event); \
    }

static inline void raw_spsc_put(struct raw_spsc *ring, const void *message, size_t size)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    RAW_SPSC_WAIT(ring, raw_spsc_has_room(ring, tail), &ring->room)
    memcpy(ring->data + (tail & (ring->slots - 1)) * size, message, size);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    if (!ring->spins) raw_event_tell(&ring->items);
}

static inline void raw_spsc_get(struct raw_spsc *ring, void *message, size_t size)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    RAW_SPSC_WAIT(ring, raw_spsc_has_item(ring, head), &ring->items)
    memcpy(message, ring->data + (head & (ring->slots - 1)) * size, size);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    if (!ring->spins) raw_event_tell(&ring->room);
}

/* ---- many producers, many consumers ---------------------------------------------------------- */

struct raw_mpmc {
    _Atomic uint64_t tail __attribute__((aligned(RAW_LINE)));
    _Atomic uint64_t head __attribute__((aligned(RAW_LINE)));
    struct raw_event items, room;
    uint64_t slots __attribute__((aligned(RAW_LINE)));
    size_t stride; /* of a slot: its sequence number and the message */
    unsigned char data[] __attribute__((aligned(RAW_LINE)));
};

static inline struct raw_mpmc *raw_mpmc_new(uint64_t slots, size_t size)
{
    size_t stride = (sizeof(uint64_t) + size + 7) / 8 * 8;
    struct raw_mpmc *ring = (struct raw_mpmc *)bench_shared(sizeof *ring + slots * stride);
    ring->slots = slots;
    ring->stride = stride;
    for (uint64_t i = 0; i < slots; i++) atomic_store((_Atomic uint64_t *)(ring->data + i * stride), i);
    return ring;
}

/* A slot of the ring that is the caller's until it is handed over. */
struct raw_place {
    _Atomic uint64_t *turn;
    uint64_t position;
    void *message;
};

/* Claims the next slot at `end` whose turn is its position plus `offset`; false when the next
 * one is not ready. */
static inline bool raw_mpmc_claim(struct raw_mpmc *ring, _Atomic uint64_t *end, uint64_t offset,
                                  struct raw_place *place)
{
    uint64_t position = atomic_load_explicit(end, memory_order_relaxed);
    for (;;) {
        unsigned char *slot = ring->data + (position & (ring->slots - 1)) * ring->stride;
        _Atomic uint64_t *turn = (_Atomic uint64_t *)slot;
        int64_t ahead = (int64_t)(atomic_load_explicit(turn, memory_order_acquire) - (position + offset));
        if (ahead < 0) return false;
        if (ahead > 0)
            position = atomic_load_explicit(end, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(end, &position, position + 1, memory_order_relaxed,
                                                       memory_order_relaxed)) {
            *place = (struct raw_place){turn, position, slot + sizeof(uint64_t)};
            return true;
        }
    }
}

static inline struct raw_place raw_mpmc_wait(struct raw_mpmc *ring, _Atomic uint64_t *end, uint64_t offset,
                                             struct raw_event *event)
{
    struct raw_place place;
    for (unsigned spin = 0; !raw_mpmc_claim(ring, end, offset, &place); spin++) {
        if (spin < RAW_SPINS) {
            raw_pause();
            continue;
        }
        raw_event_announce(event);
        if (raw_mpmc_claim(ring, end, offset, &place)) break;
        raw_event_sleep(event);
    }
    return place;
}

static inline struct raw_place raw_mpmc_reserve(struct raw_mpmc *ring)
{
    return raw_mpmc_wait(ring, &ring->tail, 0, &ring->room);
}

static inline void raw_mpmc_commit(struct raw_mpmc *ring, const struct raw_place *place)
{
    atomic_store_explicit(place->turn, place->position + 1, memory_order_release);
    raw_event_tell(&ring->items);
}

static inline struct raw_place raw_mpmc_take(struct raw_mpmc *ring)
{
    return raw_mpmc_wait(ring, &ring->head, 1, &ring->items);
}

static inline void raw_mpmc_release(struct raw_mpmc *ring, const struct raw_place *place)
{
    atomic_store_explicit(place->turn, place->position + ring->slots, memory_order_release);
    raw_event_tell(&ring->room);
}

static inline void raw_mpmc_put(struct raw_mpmc *ring, const void *message, size_t size)
{
    struct raw_place place = raw_mpmc_reserve(ring);
    memcpy(place.message, message, size);
    raw_mpmc_commit(ring, &place);
}

static inline void raw_mpmc_get(struct raw_mpmc *ring, void *message, size_t size)
{
    struct raw_place place = raw_mpmc_take(ring);
    memcpy(message, place.message, size);
    raw_mpmc_release(ring, &place);
}

/* Gets what is there without waiting. */
static inline bool raw_mpmc_try_get(struct raw_mpmc *ring, void *message, size_t size)
{
    struct raw_place place;
    if (!raw_mpmc_claim(ring, &ring->head, 1, &place)) return false;
    memcpy(message, place.message, size);
    raw_mpmc_release(ring, &place);
    return true;
}

#endif
