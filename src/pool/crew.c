/* crew.c: see crew.h. */
#include "pool/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "ipc/handle.h"
#include "memory/deaths.h"
#include "os/handover.h"
#include "os/os.h"
#include "pool/worker.h"
#include "process/fork.h"
#include "process/settle.h"

/* A deputy has so long to tell the other side that the pool is terminated. */
#define FAREWELL_NS (500 * 1000000LL)

/* ---- where it runs ------------------------------------------------------------------------------- */

/* The limits of this worker; *own and *cpu are for what differs from one to the next. */
static const kin_limits *limits_of(unsigned index, const kin_pool_options *options, kin_limits *own,
                                   unsigned *cpu)
{
    if (!options->pin_workers) return options->limits;
    if (options->limits != NULL) *own = *options->limits;
    if (own->cpu_count > 0)
        *cpu = own->cpus[index % own->cpu_count];
    else
        *cpu = (unsigned)kin__os_cpu_usable(index);
    own->cpus = cpu;
    own->cpu_count = 1;
    return own;
}

/* ---- what it writes to stderr --------------------------------------------------------------------- */

/* `*theirs` is its stderr; -1: this process's. */
static int open_tail(struct kin__hand *hand, int *theirs)
{
    *theirs = -1;
    if (!hand->pool->stderr_tail) return 0;
    struct kin__tail *tail = kin__os_calloc(1, sizeof *tail);
    int rc = tail == NULL ? -ENOMEM : kin__tail_open(tail, KIN_STDERR_TAIL - 1, theirs);
    if (rc < 0)
        kin__os_free(tail);
    else
        hand->tail = tail;
    return rc;
}

static void close_tail(struct kin__hand *hand)
{
    if (hand->tail != NULL) kin__tail_close(hand->tail);
    kin__os_free(hand->tail);
    hand->tail = NULL;
}

int kin__hand_stderr(const struct kin__hand *hand)
{
    return hand->tail != NULL ? hand->tail->handle.descriptor : -1;
}

bool kin__hand_take_words(struct kin__hand *hand)
{
    int rc = kin__tail_take(hand->tail);
    if (rc == -EPIPE) kin__handle_close(&hand->tail->handle);
    return rc != -EAGAIN;
}

void kin__hand_last_words(struct kin__hand *hand, kin_failure *failure)
{
    if (hand->tail == NULL) return;
    if (hand->tail->handle.descriptor >= 0) kin__tail_drain(hand->tail);
    size_t size = kin__tail_copy(hand->tail, failure->stderr_tail, sizeof failure->stderr_tail - 1);
    failure->stderr_tail[size] = '\0';
    close_tail(hand);
}

/* ---- processes ----------------------------------------------------------------------------------- */

/* In a worker: the descriptors of those that were started before it. */
static void close_others(const struct kin__hand *hand)
{
    const struct kin__hand *first = hand - hand->index;
    for (unsigned i = 0; i < kin__pool_slots(hand->pool); i++)
        if (&first[i] != hand && first[i].there) kin__os_close(first[i].descriptor);
}

static int fork_worker(struct kin__hand *hand, kin_connection *connection, struct kin__settler *settler)
{
    int err = -1, pid = connection != NULL ? 0 : open_tail(hand, &err);
    if (pid == 0) pid = kin__child_fork(&hand->descriptor);
    if (pid == 0) {
        kin__settler_apply(settler);
        close_others(hand);
        if (err >= 0) kin__os_descriptor_move(err, 2);
        if (hand->pool->listens) kin__handles_keep(connection, NULL);
        kin__os_exit_now(kin__child_finish(kin__worker_main(hand->pool, hand->index, connection)));
    }
    if (err >= 0) kin__os_close(err);
    int rc = pid < 0 ? pid : kin__settler_await(settler, hand->descriptor, &hand->group, hand->pool->name);
    if (rc == 0) return pid;
    if (pid >= 0) kin__os_close(hand->descriptor);
    hand->descriptor = -1;
    close_tail(hand);
    return rc;
}

static int start_process(struct kin__hand *hand, kin_connection *connection, const kin_limits *limits)
{
    const struct kin__wish wish = {.limits = connection == NULL ? limits : NULL};
    struct kin__settler settler;
    int rc = kin__settler_make(&settler, &wish, true);
    if (rc == 0) {
        hand->group = kin__placement_take_group(&settler.placement);
        if (hand->group.directory != NULL) kin__vigil_begin(&hand->vigil, limits, hand->group.directory);
        rc = fork_worker(hand, connection, &settler);
    }
    kin__settler_free(&settler);
    if (rc < 0) {
        kin__group_close(&hand->group);
        return rc;
    }
    struct kin__worker *worker = kin__pool_worker(hand->pool, hand->index);
    atomic_store_explicit(&worker->since, kin__os_boot_clock(), memory_order_relaxed);
    atomic_store(&worker->pid, rc);
    return 0;
}

static void collect_process(struct kin__hand *hand, kin_exit_status *status)
{
    kin__os_process_collect(hand->descriptor, status);
    kin__death_note(atomic_load(&kin__pool_worker(hand->pool, hand->index)->pid), status);
    kin__os_close(hand->descriptor);
    hand->descriptor = -1;
    if (hand->group.directory == NULL) return;
    kin__vigil_end(&hand->vigil, hand->group.directory, status);
    kin__group_close(&hand->group);
}

/* ---- threads ------------------------------------------------------------------------------------- */

/* The last that a thread does, also when a task has ended it by pthread_exit. */
static void say_end(void *argument)
{
    struct kin__hand *hand = argument;
    kin__own_leave();
    /* Release: pairs with the acquire in kin__hand_ended. */
    atomic_store_explicit(&hand->ended, 1, memory_order_release);
    kin__os_event_set(hand->pool->wake_descriptor);
}

static int run_thread(void *argument)
{
    struct kin__hand *hand = argument;
    pthread_cleanup_push(say_end, hand);
    hand->code = kin__worker_main(hand->pool, hand->index, NULL);
    pthread_cleanup_pop(1);
    return 0;
}

static int start_thread(struct kin__hand *hand)
{
    char name[64];
    snprintf(name, sizeof name, "%.50s-%u", hand->pool->name, hand->index);
    hand->code = 0;
    hand->descriptor = -1;
    atomic_store(&hand->ended, 0);
    return kin_thread_start(&hand->thread, run_thread, hand,
                            &(kin_thread_options){.name = name, .daemon = true});
}

static void collect_thread(struct kin__hand *hand, kin_exit_status *status)
{
    kin_thread_join(hand->thread, KIN_FOREVER);
    kin_thread_close(hand->thread);
    hand->thread = NULL;
    *status = (kin_exit_status){.kind = KIN_EXITED, .code = hand->code};
}

/* ---- both ---------------------------------------------------------------------------------------- */

int kin__hand_start(struct kin__hand *hand, kin_connection *connection, const kin_pool_options *options)
{
    kin_limits own = {0};
    unsigned cpu = 0;
    hand->ended_for = KIN_CAUSE_NONE;
    hand->dismissed = 0;
    int rc = hand->pool->threads
                 ? start_thread(hand)
                 : start_process(hand, connection, limits_of(hand->index, options, &own, &cpu));
    hand->there = rc == 0;
    return rc;
}

void kin__hand_end(struct kin__hand *hand, enum kin_cause cause)
{
    if (!hand->there) return;
    hand->ended_for = cause;
    if (hand->pool->threads)
        atomic_store(&kin__pool_worker(hand->pool, hand->index)->retire, 1);
    else
        kin__os_process_signal(hand->descriptor, SIGKILL);
}

void kin__hand_dismiss(struct kin__hand *hand, enum kin_cause cause)
{
    kin_deadline now = kin__os_clock();
    bool deputy = atomic_load(&kin__pool_worker(hand->pool, hand->index)->deputy);
    if (hand->there && deputy && atomic_load(&hand->pool->state) == KIN__POOL_TERMINATED) {
        if (hand->dismissed == 0) hand->dismissed = now;
        hand->ended_for = cause;
        if (now - hand->dismissed < FAREWELL_NS) return;
    }
    kin__hand_end(hand, cause);
}

/* A deputy sees by itself that the pool is terminated, and may have ended before it was dismissed (deputy.c). */
static bool left_terminated(const struct kin__hand *hand, const kin_exit_status *status)
{
    return hand->ended_for == KIN_CAUSE_NONE && atomic_load(&hand->pool->state) >= KIN__POOL_TERMINATED &&
           atomic_load(&kin__pool_worker(hand->pool, hand->index)->deputy) && status->kind == KIN_EXITED &&
           status->code == KIN__WORKER_RECYCLE;
}

void kin__hand_collect(struct kin__hand *hand, kin_exit_status *status)
{
    *status = (kin_exit_status){.kind = KIN_UNKNOWN};
    if (hand->pool->threads)
        collect_thread(hand, status);
    else
        collect_process(hand, status);
    hand->there = false;
    if (left_terminated(hand, status)) hand->ended_for = KIN_CAUSE_TERMINATED;
}
