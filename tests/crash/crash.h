/* crash.h: what every crash test checks after a kill: nothing is held, counted or allocated that
 * was not before. */
#ifndef CRASH_H
#define CRASH_H

#include <string.h>

#include "support/stepkill.h"
#include "support/test.h"

#include <kin.h>

#include "memory/region.h"
#include "memory/wait.h"

/* The family as it was before the first kill. */
struct books {
    size_t blocks, processes, threads;
    unsigned held;
    uint64_t rescues;
};

static inline struct books books_open(void)
{
    kin_memory_usage usage;
    kin_member self;
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_GE(kin_memory_processes(&self, 1), 1);
    return (struct books){usage.heap_blocks, usage.processes, usage.threads, self.held,
                          atomic_load(&kin__family.header->rescues)};
}

/* Cleans up after the dead, who are collected, and compares. */
static inline void books_check(const struct books *books)
{
    kin_memory_usage usage;
    CHECK_OK(kin_sweep());
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.heap_blocks, books->blocks);
    CHECK_EQ(usage.processes, books->processes);
    CHECK_EQ(usage.threads, books->threads);
    kin_member self[4];
    CHECK_EQ(kin_memory_processes(self, 4), (long)books->processes);
    CHECK_EQ(self[0].held, books->held);
}

/* No wake-up was replaced by the end of a slice; on a busy machine one may have been by chance (support/books.h). */
static inline void check_rescues(uint64_t before)
{
    uint64_t rescues = atomic_load(&kin__family.header->rescues);
    if (rescues != before && !test_again()) CHECK_EQ(rescues, before);
}

static inline void books_no_rescue(const struct books *books)
{
    check_rescues(books->rescues);
}

static inline void nobody_waits(const struct kin__wait_point *point)
{
    CHECK_EQ(kin__waiters_count(atomic_load(&point->waiters)), 0);
}

/* Copying thousands of bytes is the same instructions again and again: each of them once is enough. */
static inline enum stepkill_mode stepkill_mode_for(size_t size)
{
    return size > 1000 ? STEPKILL_ADDRESSES : STEPKILL_STEPS;
}

/* The victim's first use of kin, which is no part of what is killed. */
static inline void join_family(void *context)
{
    (void)context;
    CHECK_OK(kin_family_open(NULL));
}

/* A queue keeps the segments it has needed: two, once the stream has passed from one into the
 * other with messages in both. */
static inline void warm_up(kin_queue *queue)
{
    char message[1000] = "";
    for (int i = 0; i < 200; i++) {
        CHECK_OK(kin_queue_put(queue, message, sizeof message, KIN_NOW));
        if (kin_queue_full(queue) == 1 || kin_queue_qsize(queue) == 3)
            CHECK_EQ(kin_queue_get(queue, message, sizeof message, KIN_NOW), 1000);
    }
    while (kin_queue_get(queue, message, sizeof message, KIN_NOW) >= 0)
        ;
}

/* Collects somebody who slept while the victim died; mostly we look after the dead first, to save
 * time, and then no slice may have ended before the wake-up came.  (While the victim was stopped
 * between what it did and its wake-up, one may have.) */
static inline void collect_sleeper(pid_t sleeper, bool sweep)
{
    if (sweep) CHECK_OK(kin_sweep());
    uint64_t rescues = atomic_load(&kin__family.header->rescues);
    CHECK_EQ(test_collect(sleeper), 0);
    if (sweep) check_rescues(rescues);
}

/* After a death in kin_queue_close: the reaper goes on with the closing, or it had not begun. */
static inline void check_closed(kin_queue *queue, const struct books *books, bool finished)
{
    kin_memory_usage usage;
    CHECK_OK(kin_sweep());
    int rc = kin_queue_close(queue);
    CHECK(rc == KIN_ECLOSED || (rc == 0 && !finished));
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_EQ(usage.heap_blocks, books->blocks);
}

/* Where a process that is one thread waits, NULL if it does not. */
static inline struct kin__wait_point *where_it_waits(pid_t pid)
{
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        if (kin__state_of(atomic_load(&member->state)) == KIN__SLOT_LIVE && kin__member_pid(member) == pid)
            return kin__waiting_on(member, 0);
    }
    return NULL;
}

/* Waits, without a wake-up of its own, until `count` threads are counted as waiting. */
#define until_waiting(point, count) test_until(kin__waiters_count(atomic_load(&(point)->waiters)) >= (count))

#endif
