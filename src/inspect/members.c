/* members.c: the processes of a family that is looked at, its threads, and what each waits for. */
#include <errno.h>
#include <string.h>

#include "inspect/seen.h"
#include "ipc/queue.h"
#include "os/os.h"
#include "os/processes.h"
#include "pool/pool.h"

/* ---- processes --------------------------------------------------------------------------------- */

/* What /proc says of it; false if it has ended, and only its slot is left. */
static bool describe(kin_inspected_process *process, int64_t since)
{
    struct kin__process_note note;
    if (kin__os_process_note(process->pid, &note) < 0 || note.start > kin__os_process_ticks(since))
        return false;
    process->state = note.state;
    memcpy(process->command, note.name, sizeof process->command);
    process->cpu_ns = kin__os_process_cpu(&note);
    process->memory = kin__os_process_memory(&note);
    return true;
}

static unsigned count_held(const struct kin__view *view, uint64_t address, uint32_t limit)
{
    void *held[64];
    unsigned count = 0;
    if (limit > KIN__HELD_LIMIT) limit = KIN__HELD_LIMIT;
    for (uint32_t i = 0; i < limit; i += 64) {
        uint32_t size = limit - i < 64 ? limit - i : 64;
        uint64_t place = address + offsetof(struct kin__process_slot, held) + i * sizeof *held;
        if (!kin__view_read(view, place, held, size * sizeof *held)) break;
        for (uint32_t j = 0; j < size; j++) count += held[j] != NULL;
    }
    return count;
}

/* The beginning of a slot. */
struct slot {
    uint64_t state;
    uint64_t generation;
    int64_t since;
    uint32_t held_limit;
};
_Static_assert(offsetof(struct slot, generation) == offsetof(struct kin__process_slot, generation) &&
                   offsetof(struct slot, since) == offsetof(struct kin__process_slot, since) &&
                   offsetof(struct slot, held_limit) == offsetof(struct kin__process_slot, held_limit),
               "a slot begins like this");

/* Pids are those of the family's namespace: in another one they say nothing. */
static bool same_namespace(const struct kin__view *view)
{
    uint64_t namespace;
    return kin__os_pid_namespace(&namespace) == 0 && namespace == view->header.pid_namespace;
}

/* *index: what place in the list the process in each slot has, plus one; 0: none. */
static int see_processes(struct kin__view *view, struct kin__seen *seen, uint32_t *index, uint32_t slots)
{
    bool known = same_namespace(view);
    int rc = 0;
    for (uint32_t i = 0; i < slots && rc == 0; i++) {
        struct slot slot;
        uint64_t address = view->base + view->header.processes_offset + i * sizeof(struct kin__process_slot);
        if (!kin__view_read(view, address, &slot, sizeof slot) || kin__state_of(slot.state) != KIN__SLOT_LIVE)
            continue;
        kin_inspected_process process = {
            .pid = kin__process_pid(slot.state), .generation = slot.generation, .state = '?'};
        if (process.pid <= 0 || (known && !describe(&process, slot.since))) continue;
        process.held = count_held(view, address, slot.held_limit);
        kin_inspected_process *added = kin__seen_add(seen, KIN__SEEN_PROCESSES, &rc);
        if (added == NULL) break;
        *added = process;
        index[i] = (uint32_t)seen->list[KIN__SEEN_PROCESSES].count;
    }
    return rc;
}

/* ---- threads -------------------------------------------------------------------------------------- */

static enum kin_waits waits_in_queue(uint64_t offset)
{
    return offset == offsetof(kin_queue, items)      ? KIN_WAITS_MESSAGE
           : offset == offsetof(kin_queue, space)    ? KIN_WAITS_ROOM
           : offset == offsetof(kin_queue, finished) ? KIN_WAITS_TASKS
                                                     : KIN_WAITS_OTHER;
}

static enum kin_waits waits_in_pool(uint64_t offset)
{
    return offset == offsetof(struct kin_pool, changed) || offset == offsetof(struct kin_pool, completed) ||
                   offset == offsetof(struct kin_pool, room)
               ? KIN_WAITS_POOL
               : KIN_WAITS_OTHER;
}

static void find_waiting(const struct kin__view *view, kin_inspected_thread *thread, uint64_t point)
{
    static const enum kin_waits whole[KIN__OBJECT_KINDS] = {
        [KIN__OBJECT_LOCK] = KIN_WAITS_LOCK,           [KIN__OBJECT_EVENT] = KIN_WAITS_EVENT,
        [KIN__OBJECT_CONDITION] = KIN_WAITS_CONDITION, [KIN__OBJECT_RWLOCK] = KIN_WAITS_RWLOCK,
        [KIN__OBJECT_SEMAPHORE] = KIN_WAITS_SEMAPHORE, [KIN__OBJECT_BARRIER] = KIN_WAITS_BARRIER,
        [KIN__OBJECT_ARRAY] = KIN_WAITS_ARRAY,
    };
    enum kin__object_kind kind;
    uint64_t object;
    thread->waits = KIN_WAITS_OTHER;
    if (!kin__view_find(view, point, &kind, &object)) return;
    uint64_t offset = point - object;
    if (kind == KIN__OBJECT_QUEUE) {
        thread->waits = waits_in_queue(offset);
    } else if (kind == KIN__OBJECT_POOL) {
        thread->waits = waits_in_pool(offset);
    } else if (kind == KIN__OBJECT_RECORDS) {
        object += offset / sizeof(struct kin_result) * sizeof(struct kin_result);
        if (point - object == offsetof(struct kin_result, done)) thread->waits = KIN_WAITS_RESULT;
    } else if (whole[kind] != KIN_WAITS_NOT) {
        thread->waits = whole[kind];
    }
    thread->waits_for = (const void *)(uintptr_t)object;
}

static int see_thread(struct kin__view *view, struct kin__seen *seen, const struct kin__member *member,
                      const uint32_t *index, uint32_t slots)
{
    uint64_t state = member->state;
    uint32_t word = member->life.point.word, slot = kin__member_process(state);
    int rc = 0;
    if (kin__state_of(state) != KIN__SLOT_LIVE || slot >= slots || index[slot] == 0 ||
        (word & KIN__WORD_OWNER) == 0 || (word & KIN__WORD_DIED) != 0)
        return 0;
    kin_inspected_process *process =
        (kin_inspected_process *)seen->list[KIN__SEEN_PROCESSES].items + index[slot] - 1;
    kin_inspected_thread *thread = kin__seen_add(seen, KIN__SEEN_THREADS, &rc);
    if (thread == NULL) return rc;
    process->threads++;
    thread->pid = process->pid;
    thread->thread = (int)(word & KIN__WORD_OWNER);
    uint64_t point = (uintptr_t)member->waiting_on[0];
    /* The lowest bit: it is about to wait, or has just waited. */
    if (point != 0) find_waiting(view, thread, point & ~(uint64_t)1);
    return 0;
}

static int see_threads(struct kin__view *view, struct kin__seen *seen, const uint32_t *index, uint32_t slots)
{
    uint32_t high = view->header.member_high;
    int rc = 0;
    if (high > view->header.member_limit) high = view->header.member_limit;
    for (uint32_t i = KIN__MEMBERS_RESERVED; i < high && rc == 0; i++) {
        struct kin__member member;
        uint64_t address = view->base + view->header.members_offset + i * sizeof member;
        if (kin__view_read(view, address, &member, sizeof member))
            rc = see_thread(view, seen, &member, index, slots);
    }
    return rc;
}

static int compare_threads(const void *left, const void *right)
{
    int a = ((const kin_inspected_thread *)left)->thread, b = ((const kin_inspected_thread *)right)->thread;
    return (a > b) - (a < b);
}

int kin__seen_pid(const struct kin__seen *seen, int thread)
{
    const kin_inspected_thread wanted = {.thread = thread};
    const kin_inspected_thread *found = kin__seen_find(seen, KIN__SEEN_THREADS, &wanted, compare_threads);
    return found != NULL ? found->pid : 0;
}

int kin__see_members(struct kin__view *view, struct kin__seen *seen)
{
    uint32_t slots = view->header.process_high;
    if (slots > view->header.process_limit) slots = view->header.process_limit;
    uint32_t *index = kin__os_calloc((size_t)slots + 1, sizeof *index);
    if (index == NULL) return -ENOMEM;
    int rc = see_processes(view, seen, index, slots);
    if (rc == 0) rc = see_threads(view, seen, index, slots);
    kin__seen_sort(seen, KIN__SEEN_THREADS, compare_threads);
    kin__os_free(index);
    return rc;
}
