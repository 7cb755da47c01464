/* test_kill_queue_lists.c: a worker of a queue that redelivers is killed while it and others have many tasks: the
 * lists of what is taken are right again, and to finish a task costs the same with long ones. */
#include "crash.h"

#include <pthread.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "support/stepkill.h"

/* ---- what it costs -------------------------------------------------------------------------------- */

enum { FEW = 10, MANY = 2000 };

struct crowd {
    kin_queue *queue;
    int taken; /* by another process, and as many by another thread */
    _Atomic int started;
};

static void take_so_many(struct crowd *crowd)
{
    char byte;
    for (int i = 0; i < crowd->taken; i++) CHECK_RC(kin_queue_get(crowd->queue, &byte, 1, KIN_NOW), 1);
}

static void *take_in_a_thread(void *context)
{
    take_so_many(context);
    return NULL;
}

static void take_and_stay(void *context)
{
    struct crowd *crowd = context;
    take_so_many(crowd);
    atomic_store(&crowd->started, 1);
    for (;;) pause();
}

static void fill_up(void *context)
{
    struct crowd *crowd = context;
    while (kin_queue_qsize(crowd->queue) < crowd->taken + 1)
        CHECK_OK(kin_queue_put(crowd->queue, "T", 1, KIN_NOW));
}

static void take_beside_others(void *context)
{
    struct crowd *crowd = context;
    pthread_t thread;
    char byte;
    join_family(NULL);
    CHECK_EQ(pthread_create(&thread, NULL, take_in_a_thread, crowd), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_RC(kin_queue_get(crowd->queue, &byte, 1, KIN_NOW), 1);
}

/* Its own one, and one of the other thread. */
static void finish_two(void *context)
{
    struct crowd *crowd = context;
    for (int i = 0; i < 2; i++) CHECK_OK(kin_queue_task_done(crowd->queue));
}

static void survive_finishing(void *context, long step, bool finished)
{
    struct crowd *crowd = context;
    (void)step;
    CHECK_OK(kin_sweep());
    CHECK_GE(kin_queue_qsize(crowd->queue), crowd->taken - (finished ? 1 : 0));
}

static long steps_of_finishing(struct crowd *crowd, int taken)
{
    CHECK_OK(kin_queue_open(&crowd->queue, &(kin_queue_options){.joinable = 1, .redeliver = -1}));
    crowd->taken = taken;
    crowd->started = 0;
    fill_up(crowd);
    pid_t other = test_child(take_and_stay, crowd);
    test_until(atomic_load(&crowd->started) == 1);
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = fill_up,
                                                                .prepare = take_beside_others,
                                                                .operation = finish_two,
                                                                .survive = survive_finishing,
                                                                .context = crowd,
                                                                .from = 1,
                                                                .to = 3});
    test_kill(other);
    CHECK_OK(kin_queue_close(crowd->queue));
    return report.steps;
}

TEST(finishing_costs_the_same_however_many_are_taken, .deadline = 240)
{
    struct crowd *crowd = test_shared(sizeof *crowd);
    long few = steps_of_finishing(crowd, FEW), many = steps_of_finishing(crowd, MANY);
    NOTE("%ld and %ld instructions", few, many);
    CHECK_LE(many, 2 * few);
}

/* ---- the lists of what is taken ------------------------------------------------------------------- */

static const struct kin__shelf_slot *slot_of(struct kin__shelf *shelf, uint32_t entry)
{
    _Atomic(void *) *directory = atomic_load(&shelf->directory);
    struct kin__shelf_segment *segment = atomic_load(&directory[(entry - 1) / KIN__SHELF_SLOTS]);
    return &segment->slots[(entry - 1) % KIN__SHELF_SLOTS];
}

/* How many are in a list, which has them in the order in which they were taken. */
static unsigned walk(struct kin__shelf *shelf, const struct kin__shelf_list *list, bool of_thread)
{
    unsigned count = 0;
    uint32_t before = 0, entry = list->first;
    while (entry != 0) {
        const struct kin__shelf_slot *slot = slot_of(shelf, entry);
        CHECK_EQ(slot->state, KIN__SHELF_TAKEN);
        if (before != 0) CHECK_GT(slot->taken_at, slot_of(shelf, before)->taken_at);
        if (!of_thread) CHECK_EQ(slot->previous, before);
        before = entry;
        entry = of_thread ? slot->of_thread : slot->next;
        count++;
    }
    CHECK_EQ(list->last, before);
    return count;
}

/* Each that is taken is in two lists.  Returns how many are. */
static unsigned check_lists(kin_queue *queue)
{
    struct kin__shelf *shelf = &queue->shelf;
    unsigned taken = 0, of_threads = 0, of_processes = 0;
    CHECK_OK(kin__queue_lock_head(queue, KIN_FOREVER));
    _Atomic(void *) *directory = atomic_load(&shelf->directory);
    const struct kin__shelf_lists *lists = (const struct kin__shelf_lists *)&directory[shelf->segments];
    for (uint32_t i = 0; i < 1 << KIN__SHELF_THREADS_BITS; i++)
        of_threads += walk(shelf, &lists->of_thread[i], true);
    for (uint32_t i = 0; i < kin__family.header->process_limit; i++)
        of_processes += walk(shelf, &lists->of_process[i], false);
    for (uint32_t entry = 1; entry <= shelf->segment_count * KIN__SHELF_SLOTS; entry++)
        taken += slot_of(shelf, entry)->state == KIN__SHELF_TAKEN;
    CHECK_EQ(atomic_load(&shelf->taken), taken);
    kin__latch_release(&queue->ends.head.latch);
    CHECK_EQ(of_threads, taken);
    CHECK_EQ(of_processes, taken);
    return taken;
}

static void fill_up_for_one_more(void *context)
{
    struct crowd *crowd = context;
    while (kin_queue_qsize(crowd->queue) < crowd->taken + 2)
        CHECK_OK(kin_queue_put(crowd->queue, "T", 1, KIN_NOW));
}

static void take_one_and_finish_two(void *context)
{
    struct crowd *crowd = context;
    char byte;
    CHECK_RC(kin_queue_get(crowd->queue, &byte, 1, KIN_NOW), 1);
    finish_two(crowd);
}

/* Before the dead one's tasks are put back, and after it: then there are those of two threads of ours. */
static void survive_with_lists(void *context, long step, bool finished)
{
    struct crowd *crowd = context;
    (void)step;
    check_lists(crowd->queue);
    CHECK_OK(kin_sweep());
    CHECK_EQ(check_lists(crowd->queue), 2 * crowd->taken);
    CHECK_GE(kin_queue_qsize(crowd->queue), crowd->taken);
    if (finished) CHECK_EQ(kin_queue_qsize(crowd->queue), crowd->taken);
}

TEST(the_lists_of_those_taken, .deadline = 240)
{
    pthread_t thread;
    struct crowd crowd = {.taken = 3};
    /* The newest first: not in the order of the slots. */
    const kin_queue_options options = {.joinable = 1, .redeliver = -1, .order = KIN_LIFO};
    CHECK_OK(kin_queue_open(&crowd.queue, &options));
    for (int i = 0; i < 2 * crowd.taken; i++) CHECK_OK(kin_queue_put(crowd.queue, "T", 1, KIN_NOW));
    CHECK_EQ(pthread_create(&thread, NULL, take_in_a_thread, &crowd), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    take_so_many(&crowd);
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_ADDRESSES,
                                                                .setup = fill_up_for_one_more,
                                                                .prepare = take_beside_others,
                                                                .operation = take_one_and_finish_two,
                                                                .survive = survive_with_lists,
                                                                .context = &crowd});
    CHECK_GT(report.points, 100);
    CHECK_OK(kin_queue_close(crowd.queue));
}
