/* barrier.c: the public barrier: rounds, each of which ends complete or broken.
 *
 * Invariants:
 *  - One word, `phase`, decides: the round, how many have arrived in it, whether it is whole, acting or
 *    broken, and how the rounds just before it ended.  Each step is one CAS, so that nobody finds a
 *    round half-ended wherever somebody dies.
 *  - A thread inside kin_barrier_wait says so (kin__touch), and the table of parties says which
 *    processes arrived in this round and in the one before: if one of them dies, the reaper breaks
 *    the barrier.
 *  - Whoever has changed the phase wakes those who wait; if it dies before that, the reaper does.
 */
#include <kin/barrier.h>

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/deaths.h"
#include "memory/object.h"
#include "memory/reap.h"
#include "memory/wait.h"
#include "os/program.h"

#define MAGIC_BARRIER 0x7265697272616200ull
#define PARTIES_MOST  4000
#define CHUNK_PARTIES 250
#define CHUNKS        (PARTIES_MOST / CHUNK_PARTIES)

/* The phase: round (32 bits), arrived (16), for each of the last HISTORY rounds whether it was ended by
 * a reset (12), state (4). */
enum state { WHOLE = 0, ACTING = 1, BROKEN = 2 };
#define HISTORY 12

/* SHARED.  Who arrived, by the parity of the round: {round, lower half of the process's generation}.
 * Written by CAS by who arrives, never over a later round; read by the reaper.  Type-stable. */
struct party_chunk {
    _Atomic uint64_t party[2][CHUNK_PARTIES];
};

/* SHARED.
 *   head              see object.h.
 *   parties, action, argument   constant while it is open; the action as the process has it that opened
 *                  it, whose image that is.  `parties` is atomic: who is late may see the next barrier's.
 *   ended   "the phase has changed, or the barrier was closed".
 *   phase   see above; changed by CAS; seq_cst: it pairs with the count of sleepers in
 *           kin__waiters_enter.
 *   cause   why the round that it names is broken; written by who broke it, after the phase.
 *   chunk   NULL → the chunk, before it is open; freed when it is closed. */
struct kin_barrier {
    struct kin__object head;
    _Atomic uint32_t parties;
    kin_barrier_action *action;
    struct kin__image image;
    void *argument;
    struct kin__event ended;
    _Atomic uint64_t phase __attribute__((aligned(64)));
    _Atomic uint64_t cause;
    _Atomic(void *) chunk[CHUNKS];
};

static uint32_t round_of(uint64_t phase)
{
    return (uint32_t)(phase >> 32);
}
static uint32_t arrived_of(uint64_t phase)
{
    return (uint32_t)(phase >> 16) & 0xffff;
}
static enum state state_of(uint64_t phase)
{
    return (enum state)(phase & 15);
}
static uint64_t in_round(uint64_t phase, uint32_t arrived, enum state state)
{
    return (phase & 0xffffffff0000fff0u) | (uint64_t)arrived << 16 | state;
}
static uint64_t next_round(uint64_t phase, bool reset)
{
    uint64_t history = (phase << 1 & 0xffe0) | (uint64_t)reset << 4;
    return (uint64_t)(round_of(phase) + 1) << 32 | history | WHOLE;
}
/* How did the round end, which is not the present one?  Long ago counts as broken. */
static bool was_reset(uint64_t phase, uint32_t round)
{
    uint32_t age = round_of(phase) - round;
    return age > HISTORY || (phase >> (3 + age) & 1) != 0;
}

static int enter(const kin_barrier *barrier)
{
    int rc = kin__enter();
    return rc < 0 ? rc : kin__check(barrier, offsetof(struct kin_barrier, head.magic), MAGIC_BARRIER);
}

/* ---- opening and closing ---------------------------------------------------------------------- */

/* What there is to do between the beginning and the end of a closing; it may be repeated. */
static void take_down(kin_barrier *barrier)
{
    kin__waiters_wake_all(&barrier->ended.point);
    for (int i = 0; i < CHUNKS; i++) {
        void *chunk = atomic_load(&barrier->chunk[i]);
        if (chunk != NULL) kin__free(chunk, &barrier->chunk[i]);
    }
    kin__object_close_end(&barrier->head);
}

static int fill(kin_barrier *barrier, unsigned parties, const kin_barrier_options *options)
{
    int rc = 0;
    kin__event_init(&barrier->ended);
    atomic_store(&barrier->parties, parties);
    barrier->action = options->action;
    barrier->image = *kin__os_image();
    barrier->argument = options->argument;
    atomic_store(&barrier->phase, (uint64_t)1 << 32);
    atomic_store(&barrier->cause, 0);
    for (int i = 0; i < CHUNKS; i++) atomic_store(&barrier->chunk[i], NULL);
    kin__object_prepare(&barrier->head);
    for (unsigned i = 0; i * CHUNK_PARTIES < parties; i++) {
        struct party_chunk *chunk = kin__allocate_object(KIN__OBJECT_PARTIES, sizeof *chunk, &rc);
        if (chunk == NULL) return rc;
        for (unsigned n = 0; n < CHUNK_PARTIES; n++) {
            atomic_store(&chunk->party[0][n], 0);
            atomic_store(&chunk->party[1][n], 0);
        }
        kin__allocate_publish(&barrier->chunk[i]);
    }
    return 0;
}

int kin_barrier_open_sized(kin_barrier **barrier, unsigned parties, const kin_barrier_options *options,
                           size_t size)
{
    kin_barrier_options given = {0};
    if (barrier == NULL || parties == 0 || parties > PARTIES_MOST) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (given.action != NULL && kin__os_is_code((const void *)given.action) != 1) return KIN_ENOTCODE;
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_barrier *made = kin__object_make(KIN__OBJECT_BARRIER, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    rc = fill(made, parties, &given);
    if (rc == 0) {
        *barrier = made;
        kin__object_open(&made->head, MAGIC_BARRIER);
    } else {
        take_down(made);
    }
    kin__untouch(outer);
    return rc;
}

int kin_barrier_close(kin_barrier *barrier)
{
    if (barrier == NULL) return 0;
    int rc = enter(barrier);
    if (rc < 0) return rc;
    void *outer = kin__touch(barrier);
    rc = kin__object_close_begin(&barrier->head);
    if (rc == 0) take_down(barrier);
    kin__untouch(outer);
    return rc;
}

/* ---- breaking ---------------------------------------------------------------------------------- */

/* The cause: pid (32 bits), round (16), exit code or signal (8), end (4), kind (4). */
static uint64_t cause_word(const kin_barrier_reason *reason, uint32_t round)
{
    int value = reason->end == KIN_EXITED ? reason->code : reason->signal;
    return (uint64_t)(uint32_t)reason->pid << 32 | (uint64_t)(round & 0xffff) << 16 |
           (uint64_t)(value & 0xff) << 8 | (uint64_t)reason->end << 4 | (uint64_t)reason->kind;
}

static bool cause_names(uint64_t cause, uint32_t round)
{
    return (cause & 15) != KIN_BARRIER_WHOLE && (cause >> 16 & 0xffff) == (round & 0xffff);
}

/* Breaks the round, if it is the present one and nobody has; true if it is broken then. */
static bool break_round(kin_barrier *barrier, uint32_t round, const kin_barrier_reason *reason)
{
    uint64_t seen = atomic_load(&barrier->phase);
    while (round_of(seen) == round && state_of(seen) != BROKEN &&
           !atomic_compare_exchange_weak(&barrier->phase, &seen, in_round(seen, arrived_of(seen), BROKEN)))
        ;
    if (round_of(seen) != round) return false;
    /* CRASH: broken without a cause: if it was a death, the next reaper comes here again. */
    uint64_t cause = atomic_load(&barrier->cause);
    if (!cause_names(cause, round))
        atomic_compare_exchange_strong(&barrier->cause, &cause, cause_word(reason, round));
    kin__event_notify(&barrier->ended, INT32_MAX);
    return true;
}

static void break_now(kin_barrier *barrier, const kin_barrier_reason *reason)
{
    while (!break_round(barrier, round_of(atomic_load(&barrier->phase)), reason))
        ;
}

static kin_barrier_reason own_reason(enum kin_barrier_break kind)
{
    return (kin_barrier_reason){.kind = kind, .pid = kin__os_pid()};
}

int kin_barrier_abort(kin_barrier *barrier)
{
    int rc = enter(barrier);
    if (rc < 0) return rc;
    kin_barrier_reason reason = own_reason(KIN_BARRIER_ABORTED);
    break_now(barrier, &reason);
    return 0;
}

int kin_barrier_reset(kin_barrier *barrier)
{
    int rc = enter(barrier);
    if (rc < 0) return rc;
    uint64_t seen = atomic_load(&barrier->phase);
    while (!atomic_compare_exchange_weak(&barrier->phase, &seen, next_round(seen, true)))
        ;
    kin__event_notify(&barrier->ended, INT32_MAX);
    return 0;
}

/* ---- arriving and waiting ------------------------------------------------------------------------ */

static _Atomic uint64_t *party_at(kin_barrier *barrier, uint32_t round, uint32_t index)
{
    struct party_chunk *chunk = atomic_load(&barrier->chunk[index / CHUNK_PARTIES]);
    return &chunk->party[round & 1][index % CHUNK_PARTIES];
}

/* Notes that this process is the party `index` of the round, unless the table has gone on. */
static void sign(kin_barrier *barrier, uint32_t round, uint32_t index)
{
    _Atomic uint64_t *party = party_at(barrier, round, index);
    uint64_t mine = (uint64_t)round << 32 | (uint32_t)kin__self.process_identity;
    uint64_t seen = atomic_load(party);
    while ((int32_t)(round - (uint32_t)(seen >> 32)) > 0 && !atomic_compare_exchange_weak(party, &seen, mine))
        ;
}

struct wait {
    kin_barrier *barrier;
    uint32_t opened;
    uint32_t round;
};

static bool is_closed(const struct wait *wait)
{
    return enter(wait->barrier) < 0 || atomic_load(&wait->barrier->head.opened) != wait->opened;
}

static bool is_over(void *context)
{
    const struct wait *wait = context;
    uint64_t phase = atomic_load(&wait->barrier->phase);
    return round_of(phase) != wait->round || state_of(phase) == BROKEN || is_closed(wait);
}

/* How did it end for one who arrived in the round, which is over? */
static int outcome(const struct wait *wait, int index)
{
    uint64_t phase = atomic_load(&wait->barrier->phase);
    if (is_closed(wait)) return KIN_ECLOSED;
    if (round_of(phase) == wait->round) return KIN_EBARRIER;
    return was_reset(phase, wait->round) ? KIN_EBARRIER : index;
}

static int await_others(struct wait *wait, int index, kin_deadline deadline)
{
    int rc = kin__event_await(&wait->barrier->ended, is_over, wait, deadline);
    if (rc == 0) return outcome(wait, index);
    if (is_closed(wait)) return KIN_ECLOSED;
    kin_barrier_reason reason = own_reason(KIN_BARRIER_DEADLINE);
    /* Somebody else may have ended the round just now. */
    uint64_t cause = cause_word(&reason, wait->round);
    if (!break_round(wait->barrier, wait->round, &reason)) return outcome(wait, index);
    return atomic_load(&wait->barrier->cause) == cause ? rc : KIN_EBARRIER;
}

/* Who opened the barrier may have the program elsewhere in its memory. */
static int act(const kin_barrier *barrier)
{
    const void *action = (const void *)barrier->action;
    if (barrier->image.layout != kin__os_image()->layout) action = kin__os_translate(action, &barrier->image);
    if (kin__os_is_code(action) != 1) return KIN_ENOTCODE;
    return ((kin_barrier_action *)(uintptr_t)action)(barrier->argument);
}

/* The last one: all are there. */
static int complete(struct wait *wait, uint64_t phase, int index)
{
    kin_barrier *barrier = wait->barrier;
    int rc = act(barrier);
    if (rc < 0) {
        kin_barrier_reason reason = own_reason(KIN_BARRIER_ACTION);
        break_round(barrier, wait->round, &reason);
        return rc;
    }
    if (!atomic_compare_exchange_strong(&barrier->phase, &phase, next_round(phase, false)))
        return outcome(wait, index);
    kin__event_notify(&barrier->ended, INT32_MAX);
    return index;
}

/* One attempt to be counted; -EAGAIN: the round is full, or somebody else was faster. */
static int arrive(struct wait *wait, kin_deadline deadline)
{
    kin_barrier *barrier = wait->barrier;
    uint64_t seen = atomic_load(&barrier->phase), then;
    uint32_t index = arrived_of(seen);
    bool last = index + 1 == atomic_load_explicit(&barrier->parties, memory_order_relaxed);
    wait->round = round_of(seen);
    if (is_closed(wait)) return KIN_ECLOSED;
    if (state_of(seen) == BROKEN) return KIN_EBARRIER;
    if (state_of(seen) == ACTING) {
        int rc = kin__event_await(&barrier->ended, is_over, wait, deadline);
        return rc < 0 ? rc : -EAGAIN;
    }
    if (last && barrier->action == NULL)
        then = next_round(seen, false);
    else
        then = in_round(seen, index + 1, last ? ACTING : WHOLE);
    if (!atomic_compare_exchange_strong(&barrier->phase, &seen, then)) return -EAGAIN;
    /* CRASH: from here we are counted; what we touch names us until the table does. */
    sign(barrier, wait->round, index);
    if (!last) return await_others(wait, (int)index, deadline);
    if (barrier->action != NULL) return complete(wait, then, (int)index);
    kin__event_notify(&barrier->ended, INT32_MAX);
    return (int)index;
}

int kin_barrier_wait(kin_barrier *barrier, kin_deadline deadline)
{
    int rc = enter(barrier);
    if (rc < 0) return rc;
    struct wait wait = {.barrier = barrier, .opened = atomic_load(&barrier->head.opened)};
    void *outer = kin__touch(barrier);
    do rc = arrive(&wait, deadline);
    while (rc == -EAGAIN);
    kin__untouch(outer);
    return rc;
}

/* ---- reading the state ------------------------------------------------------------------------------ */

int kin_barrier_parties(kin_barrier *barrier)
{
    int rc = enter(barrier);
    return rc < 0 ? rc : (int)atomic_load_explicit(&barrier->parties, memory_order_relaxed);
}

int kin_barrier_waiting(kin_barrier *barrier)
{
    int rc = enter(barrier);
    if (rc < 0) return rc;
    uint64_t phase = atomic_load(&barrier->phase);
    return state_of(phase) == BROKEN ? 0 : (int)arrived_of(phase);
}

int kin_barrier_broken(kin_barrier *barrier)
{
    int rc = enter(barrier);
    return rc < 0 ? rc : state_of(atomic_load(&barrier->phase)) == BROKEN;
}

int kin_barrier_cause_sized(kin_barrier *barrier, kin_barrier_reason *reason, size_t size)
{
    int rc = enter(barrier);
    if (rc < 0) return rc;
    if (reason == NULL) return -EINVAL;
    kin_barrier_reason found = {.kind = KIN_BARRIER_WHOLE};
    uint64_t phase = atomic_load(&barrier->phase), cause = atomic_load(&barrier->cause);
    if (state_of(phase) == BROKEN && cause_names(cause, round_of(phase))) {
        found.kind = (enum kin_barrier_break)(cause & 15);
        found.pid = (int)(cause >> 32);
        found.end = (enum kin_exit_kind)(cause >> 4 & 15);
        found.code = found.end == KIN_EXITED ? (int)(cause >> 8 & 0xff) : 0;
        found.signal = found.end == KIN_SIGNALED ? (int)(cause >> 8 & 0xff) : 0;
    } else if (state_of(phase) == BROKEN) {
        /* Who broke it has not said so yet, and perhaps never will. */
        found = (kin_barrier_reason){.kind = KIN_BARRIER_DEATH, .end = KIN_UNKNOWN};
    }
    memcpy(reason, &found, size < sizeof found ? size : sizeof found);
    return 0;
}

/* ---- after a death ------------------------------------------------------------------------------------- */

static kin_barrier_reason death_of(int pid, const kin_exit_status *status)
{
    return (kin_barrier_reason){.kind = KIN_BARRIER_DEATH,
                                .pid = pid,
                                .end = status->kind,
                                .code = status->kind == KIN_EXITED ? status->code : 0,
                                .signal = status->kind == KIN_SIGNALED ? status->signal : 0};
}

static void break_by_death(kin_barrier *barrier, int pid, const kin_exit_status *status)
{
    kin_barrier_reason reason = death_of(pid, status);
    break_now(barrier, &reason);
    if (kin__waiters_any(&barrier->ended.point)) kin__waiters_wake_all(&barrier->ended.point);
}

/* A thread has died inside kin_barrier_wait, or while it opened or closed the barrier. */
static void announce(void *object, struct kin__member *dead)
{
    kin_barrier *barrier = object;
    kin_exit_status status;
    if (kin__object_closing(&barrier->head, dead)) {
        take_down(barrier);
    } else if (__atomic_load_n(&barrier->head.magic, __ATOMIC_ACQUIRE) == MAGIC_BARRIER) {
        int pid = kin__member_pid(dead);
        kin__death_look(pid, &status);
        break_by_death(barrier, pid, &status);
    }
}

/* Has the process of that generation arrived in the round? */
static bool took_part(kin_barrier *barrier, uint32_t round, uint32_t generation)
{
    for (uint32_t i = 0; i < atomic_load(&barrier->parties); i++) {
        if (atomic_load(&barrier->chunk[i / CHUNK_PARTIES]) == NULL) return false; /* just being closed */
        if (atomic_load(party_at(barrier, round, i)) == ((uint64_t)round << 32 | generation)) return true;
    }
    return false;
}

/* A process has ended.  If it had arrived, the round cannot be completed; if it was killed after the
 * round before, it will not come. */
static void forget(void *object, struct kin__process_slot *dead)
{
    kin_barrier *barrier = object;
    kin_exit_status status;
    if (__atomic_load_n(&barrier->head.magic, __ATOMIC_ACQUIRE) != MAGIC_BARRIER) return;
    uint32_t generation = (uint32_t)atomic_load(&dead->generation);
    uint64_t phase = atomic_load(&barrier->phase);
    uint32_t round = round_of(phase);
    int pid = kin__process_pid(atomic_load(&dead->state));
    bool arrived = took_part(barrier, round, generation);
    /* A reset forgives: who took part before it is not waited for. */
    bool expected = !was_reset(phase, round - 1) && took_part(barrier, round - 1, generation);
    if (arrived || expected) {
        kin__death_look(pid, &status);
        bool in_order = atomic_load(&dead->leaving) != 0 || status.kind == KIN_EXITED;
        if (arrived || !in_order) break_by_death(barrier, pid, &status);
    }
    /* Whoever it was, it may have been about to wake them. */
    if (kin__waiters_any(&barrier->ended.point)) kin__waiters_wake_all(&barrier->ended.point);
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_BARRIER] = (struct kin__reap_hooks){.announce = announce, .forget = forget};
}

KIN__LAYOUT_PART(barrier, struct kin_barrier);
KIN__LAYOUT_PART(parties, struct party_chunk);
