/* rwlock.c: the public read-write lock: a mutex for the writer, and a robust word for each reader.
 *
 * Invariants:
 *  - A reader holds an entry: a robust word of its own in its robust list.  So many readers do not
 *    share a cache line, and one that dies is taken off by the kernel, which wakes a writer that
 *    waits for it.
 *  - The writer holds `gate`, and after that has seen every entry free.  A reader takes its entry
 *    first and then looks at the gate, and gives the entry back if it is held.  Both steps are
 *    seq_cst: one of the two sees the other.
 *  - Readers never hold the gate for long: only to take it over from a dead writer.
 *  - `untold` keeps the news of a dead writer when the one who was told could not stay.
 * The entries are the "distributed" readers of brlock (Linux 2.4) and BRAVO (Dice, Kogan 2019).
 */
#include <kin/rwlock.h>

#include <errno.h>
#include <string.h>

#include "memory/object.h"
#include "memory/reap.h"
#include "os/os.h"
#include "sync/deadlock.h"
#include "sync/rwlock.h"

/* An acquisition takes so many words at once for a moment. */
#define HOLDS_NEEDED 2

static int enter(const kin_rwlock *lock)
{
    int rc = kin__enter();
    if (rc == 0) rc = kin__check(lock, offsetof(struct kin_rwlock, head.magic), KIN__MAGIC_RWLOCK);
    return rc == 0 && kin__self.robust->pending != NULL ? -EDEADLK : rc;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static struct kin__reader *entry(kin_rwlock *lock, uint32_t index)
{
    if (__builtin_expect(index < KIN__READERS_FIRST, 1)) return &lock->first[index];
    struct kin__reader *segment =
        atomic_load(&lock->segment[(index - KIN__READERS_FIRST) / KIN__READER_SEGMENT]);
    return &segment[(index - KIN__READERS_FIRST) % KIN__READER_SEGMENT];
}

static uint32_t entry_word(const struct kin__reader *reader)
{
    return atomic_load_explicit(&reader->hold.point.word, memory_order_relaxed);
}

static void init_entries(struct kin__reader *reader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        kin__point_init(&reader[i].hold.point, KIN__POINT_HELD);
        atomic_store(&reader[i].hold.point.word, 0);
        reader[i].depth = 0;
    }
}

/* Where to begin: at the entry that the thread used last, of whatever lock; at first at one that
 * is likely to be no other thread's. */
static uint32_t place(uint32_t capacity)
{
    uint32_t habit = kin__self.reader_place;
    if (__builtin_expect(habit == 0, 0)) habit = (uint32_t)(kin__self.member - kin__family.members);
    return habit <= capacity ? habit - 1 : habit % capacity;
}

/* The calling thread's entry, NULL if it has none. */
static struct kin__reader *own_entry(kin_rwlock *lock)
{
    uint32_t capacity = atomic_load(&lock->capacity);
    for (uint32_t n = 0, i = place(capacity); n < capacity; n++, i = i + 1 < capacity ? i + 1 : 0)
        if (kin__word_is_mine(entry_word(entry(lock, i)))) return entry(lock, i);
    return NULL;
}

/* Adds a segment if there are still `capacity` entries: 0, KIN_EHELD, -ENOMEM, or an error of a
 * latch. */
static int grow(kin_rwlock *lock, uint32_t capacity)
{
    uint32_t number = (capacity - KIN__READERS_FIRST) / KIN__READER_SEGMENT;
    int rc;
    if (number >= KIN__READER_SEGMENTS) return KIN_EHELD;
    struct kin__reader *segment =
        kin__allocate_object(KIN__OBJECT_READERS, KIN__READER_SEGMENT * sizeof *segment, &rc);
    if (segment == NULL) return rc;
    init_entries(segment, KIN__READER_SEGMENT);
    rc = kin__latch_acquire(&lock->growing, KIN_FOREVER);
    if (rc < 0 || atomic_load(&lock->segment[number]) != NULL) {
        if (rc >= 0) atomic_store(&lock->capacity, KIN__READERS_FIRST + (number + 1) * KIN__READER_SEGMENT);
        if (rc >= 0) kin__latch_release(&lock->growing);
        kin__allocate_cancel();
        return rc < 0 ? rc : 0;
    }
    if (rc > 0) kin__latch_clean(&lock->growing);
    /* CRASH: published and not yet counted: the next one who comes here counts it. */
    kin__allocate_publish(&lock->segment[number]);
    atomic_store(&lock->capacity, KIN__READERS_FIRST + (number + 1) * KIN__READER_SEGMENT);
    kin__latch_release(&lock->growing);
    return 0;
}

/* For one of the first entries: do writers look at it? */
static inline bool is_used(kin_rwlock *lock, uint32_t index)
{
    return (atomic_load(&lock->used) >> index & 1) != 0;
}

/* Before an entry is taken: they do from now on. */
static void note_used(kin_rwlock *lock, uint32_t index)
{
    if (index < KIN__READERS_FIRST && !is_used(lock, index)) atomic_fetch_or(&lock->used, 1u << index);
}

/* Takes a free entry. */
static int take_entry(kin_rwlock *lock, struct kin__reader **taken)
{
    for (;;) {
        uint32_t capacity = atomic_load(&lock->capacity);
        for (uint32_t n = 0, i = place(capacity); n < capacity; n++, i = i + 1 < capacity ? i + 1 : 0) {
            struct kin__reader *reader = entry(lock, i);
            uint32_t seen = entry_word(reader);
            if ((seen & KIN__WORD_OWNER) != 0) continue;
            note_used(lock, i);
            if (!kin__hold_take(&reader->hold, seen, 0)) continue;
            reader->depth = 0;
            kin__self.reader_place = i + 1;
            *taken = reader;
            return 0;
        }
        int rc = grow(lock, capacity);
        if (rc < 0) return rc;
    }
}

static void free_entry(struct kin__reader *reader)
{
    kin__hold_free(&reader->hold);
}

/* ---- news of a dead writer -------------------------------------------------------------------- */

/* The end of every acquisition. */
static int admit(kin_rwlock *lock)
{
    if (__builtin_expect(atomic_load_explicit(&lock->untold, memory_order_relaxed) == 0, 1)) return 0;
    return atomic_exchange(&lock->untold, 0) != 0 ? KIN_OWNER_DIED : 0;
}

/* ---- the gate --------------------------------------------------------------------------------- */

static bool gate_is_free(kin_rwlock *lock)
{
    return atomic_load(&lock->gate.robust.point.word) == 0;
}

static bool writers_wait(kin_rwlock *lock)
{
    return kin__waiters_any(&lock->gate.robust.point);
}

/* The gate is free, or a writer has given up.  Seq_cst on both sides: whoever leaves last tells. */
static void tell_readers(kin_rwlock *lock)
{
    if (kin__rwlock_is_fair(lock) || !writers_wait(lock)) kin__event_notify(&lock->waiting, INT32_MAX);
}

/* By a writer that gave up without the gate: readers stood back for it, whether the gate is free or another's.
 * Who holds a marked one tells them when it is free. */
static void give_up(kin_rwlock *lock)
{
    uint32_t word = atomic_load(&lock->gate.robust.point.word);
    if ((word & KIN__WORD_OWNER) == 0 || (word & KIN__WORD_WAITERS) == 0) tell_readers(lock);
}

/* The word was marked, or owed a wake-up. */
static __attribute__((noinline)) int free_gate_waking(kin_rwlock *lock)
{
    void *outer = kin__touch(lock);
    kin__hold_wake(&lock->gate.robust);
    /* CRASH: free, and the readers are not told: the reaper tells them (announce). */
    tell_readers(lock);
    kin__untouch(outer);
    return 0;
}

/* By the writer.  Without a mark no reader sleeps because of it. */
static inline __attribute__((always_inline)) int free_gate(kin_rwlock *lock)
{
    return kin__hold_drop(&lock->gate.robust) ? 0 : free_gate_waking(lock);
}

/* After a writer's death: makes the gate free, and keeps the news.  False if somebody else does. */
static bool inherit_gate(kin_rwlock *lock)
{
    uint32_t seen = atomic_load(&lock->gate.robust.point.word);
    if ((seen & KIN__WORD_OWNER) != 0 || (seen & KIN__WORD_DIED) == 0) return false;
    if (!kin__mutex_take(&lock->gate, seen, 0)) return false;
    atomic_store(&lock->untold, 1);
    free_gate(lock);
    return true;
}

/* ---- fair locks: one after the other ------------------------------------------------------------ */

/* How long a thread that comes lets those go first that have waited and are being woken. */
#define STAND_ASIDE 200

static int acquire_turn(kin_rwlock *lock, kin_deadline deadline)
{
    struct kin__wait_point *point = &lock->turn.robust.point;
    for (int i = 0; i < STAND_ASIDE && atomic_load(&point->word) == 0 && kin__waiters_any(point); i++)
        kin__os_yield();
    return kin__mutex_acquire(&lock->turn, KIN__MAGIC_TURN, deadline);
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* With an entry: 0 or KIN_OWNER_DIED, reads; -EAGAIN: the gate is held. */
static int make_sure(kin_rwlock *lock, struct kin__reader *reader)
{
    if (gate_is_free(lock)) return admit(lock);
    free_entry(reader);
    return -EAGAIN;
}

static int try_read(kin_rwlock *lock)
{
    struct kin__reader *reader;
    int rc = take_entry(lock, &reader);
    return rc < 0 ? rc : make_sure(lock, reader);
}

static bool may_read(void *context)
{
    kin_rwlock *lock = context;
    uint32_t word = atomic_load(&lock->gate.robust.point.word);
    if ((word & KIN__WORD_DIED) != 0) return true;
    return word == 0 && (kin__rwlock_is_fair(lock) || !writers_wait(lock));
}

/* The same, by who is counted as waiting and about to sleep: marks the gate, if that is held. */
static bool may_read_or_mark(void *context)
{
    kin_rwlock *lock = context;
    struct kin__wait_point *gate = &lock->gate.robust.point;
    for (;;) {
        uint32_t word = atomic_load(&gate->word);
        if ((word & KIN__WORD_OWNER) == 0) return may_read(lock);
        if (kin__owner_mark(gate, &word)) return false;
    }
}

static int await_gate(kin_rwlock *lock, kin_deadline deadline)
{
    if (may_read(lock)) return 0;
    if (deadline <= 0) return -ETIMEDOUT;
    return kin__watch_for(may_read, lock)
               ? 0
               : kin__event_sleep_for(&lock->waiting, may_read_or_mark, lock, deadline);
}

static int wait_to_read(kin_rwlock *lock, kin_deadline deadline)
{
    for (;;) {
        /* Readers stand back for writers who are counted: one that is not there would keep them for ever. */
        kin_deadline look = kin__os_clock() + KIN__SLICE_NS;
        int rc = await_gate(lock, deadline < look ? deadline : look);
        if (rc == -ETIMEDOUT && look < deadline) {
            if (atomic_load(&lock->gate.robust.point.word) == 0)
                kin__waiters_recount(&lock->gate.robust.point);
            continue;
        }
        if (rc < 0) return rc;
        inherit_gate(lock);
        rc = try_read(lock);
        if (rc != -EAGAIN) return rc;
    }
}

static int read_slow(kin_rwlock *lock, kin_deadline deadline)
{
    if (kin__mutex_held_by_me(&lock->gate)) return -EDEADLK;
    struct kin__reader *reader = own_entry(lock);
    if (reader != NULL) {
        if (reader->depth == UINT32_MAX) return KIN_EHELD;
        reader->depth++;
        return 0;
    }
    if (!kin__holds_room(HOLDS_NEEDED)) return KIN_EHELD;
    if (!kin__rwlock_is_fair(lock)) return wait_to_read(lock, deadline);
    int rc = acquire_turn(lock, deadline);
    if (rc < 0) return rc;
    rc = wait_to_read(lock, deadline);
    kin__mutex_free(&lock->turn);
    return rc;
}

/* Would it be rude to go first? */
static bool somebody_waits(kin_rwlock *lock)
{
    return kin__rwlock_is_fair(lock)
               ? atomic_load_explicit(&lock->turn.robust.point.word, memory_order_relaxed) != 0
               : writers_wait(lock);
}

/* With the reaper told where we are. */
static __attribute__((noinline)) int read_touching(kin_rwlock *lock, kin_deadline deadline)
{
    int rc = enter(lock);
    if (rc < 0) return rc;
    void *outer = kin__touch(lock);
    rc = -EAGAIN;
    if (gate_is_free(lock) && !somebody_waits(lock) && kin__holds_room(HOLDS_NEEDED)) rc = try_read(lock);
    if (rc == -EAGAIN) rc = read_slow(lock, deadline);
    kin__untouch(outer);
    return rc;
}

/* With an entry taken on the fast path, and a reason to look again. */
static __attribute__((noinline)) int read_unsure(kin_rwlock *lock, struct kin__reader *reader,
                                                 kin_deadline deadline)
{
    int rc = make_sure(lock, reader);
    return rc == -EAGAIN ? read_touching(lock, deadline) : rc;
}

/* The entry of the last time, of whatever lock: NULL if it is not one of the first. */
static inline struct kin__reader *usual_entry(kin_rwlock *lock)
{
    uint32_t usual = kin__self.reader_place - 1;
    return __builtin_expect(usual < KIN__READERS_FIRST, 1) ? &lock->first[usual] : NULL;
}

int kin_rwlock_acquire_read(kin_rwlock *lock, kin_deadline deadline)
{
    struct kin__reader *reader = usual_entry(lock);
    /* As in mutex.h: whether the entry is free the CAS finds out.
     * CRASH: with an entry and not yet sure of it: the kernel wakes a writer that waits for it. */
    if (__builtin_expect(reader != NULL && kin__self.member != NULL && kin__holds_room(HOLDS_NEEDED), 1) &&
        kin__is_open(lock, offsetof(struct kin_rwlock, head.magic), KIN__MAGIC_RWLOCK) &&
        __builtin_expect(kin__self.robust->pending == NULL && gate_is_free(lock) && !somebody_waits(lock) &&
                             is_used(lock, kin__self.reader_place - 1),
                         1) &&
        kin__hold_take(&reader->hold, 0, 0)) {
        if (__builtin_expect(
                gate_is_free(lock) && atomic_load_explicit(&lock->untold, memory_order_relaxed) == 0, 1))
            return 0;
        return read_unsure(lock, reader, deadline);
    }
    return read_touching(lock, deadline);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* Until that entry is free: 0, -EDEADLK, -ETIMEDOUT, -ECANCELED. */
static int wait_for_reader(struct kin__reader *reader, kin_deadline deadline)
{
    struct kin__wait_point *point = &reader->hold.point;
    unsigned budget = kin__spin_limit / 10, steps = 1;
    for (unsigned spent = 0; spent < budget; spent += kin__relax(&steps, KIN__RELAX_MOST))
        if ((atomic_load(&point->word) & KIN__WORD_OWNER) == 0) return 0;
    int rc = 0;
    kin__waiters_enter(point);
    while (rc >= 0) {
        uint32_t seen = atomic_load(&point->word);
        if ((seen & KIN__WORD_OWNER) == 0) break;
        if (kin__word_is_mine(seen)) rc = -EDEADLK;
        if (rc >= 0 && !kin__owner_mark(point, &seen)) continue;
        if (rc >= 0 && kin__deadlock_watched()) rc = kin__deadlock_check(point);
        if (rc >= 0) rc = kin__sleep(point, seen, deadline);
    }
    kin__waiters_leave(point);
    return rc < 0 ? rc : 0;
}

/* With the gate held: until nobody reads. */
static int drain(kin_rwlock *lock, kin_deadline deadline)
{
    uint32_t capacity = atomic_load(&lock->capacity);
    for (uint32_t i = 0; i < capacity; i++) {
        struct kin__reader *reader = entry(lock, i);
        uint32_t word = atomic_load(&reader->hold.point.word);
        if ((word & KIN__WORD_OWNER) == 0) continue;
        int rc = wait_for_reader(reader, deadline);
        if (rc < 0) return rc;
    }
    return 0;
}

/* With the gate held: are the entries that every lock has free? */
static inline bool first_are_free(kin_rwlock *lock)
{
    uint32_t words = 0;
    for (uint32_t left = atomic_load(&lock->used); left != 0; left &= left - 1)
        words |= atomic_load(&lock->first[__builtin_ctz(left)].hold.point.word);
    return (words & KIN__WORD_OWNER) == 0;
}

static int acquire_gate(kin_rwlock *lock, kin_deadline deadline)
{
    struct kin__mutex *gate = &lock->gate;
    /* Who reads itself would wait for ever, here or for the writer before it. */
    if (!gate_is_free(lock) && own_entry(lock) != NULL) return -EDEADLK;
    if (!kin__rwlock_is_fair(lock)) return kin__mutex_acquire(gate, KIN__MAGIC_GATE, deadline);
    if (kin__mutex_held_by_me(gate)) return -EDEADLK;
    int rc = acquire_turn(lock, deadline);
    if (rc < 0) return rc;
    rc = kin__mutex_acquire(gate, KIN__MAGIC_GATE, deadline);
    kin__mutex_free(&lock->turn);
    return rc;
}

/* With the gate: until nobody reads. */
static int write_after_readers(kin_rwlock *lock, kin_deadline deadline)
{
    int rc = drain(lock, deadline);
    if (rc < 0) free_gate(lock);
    return rc < 0 ? rc : admit(lock);
}

/* With the reaper told where we are: readers may stand back for us. */
static __attribute__((noinline)) int write_touching(kin_rwlock *lock, kin_deadline deadline, bool has_gate)
{
    int rc = has_gate ? 0 : enter(lock);
    if (rc < 0) return rc;
    void *outer = kin__touch(lock);
    if (!has_gate) rc = acquire_gate(lock, deadline);
    if (rc == KIN_OWNER_DIED) atomic_store(&lock->untold, 1);
    if (rc >= 0)
        rc = write_after_readers(lock, deadline);
    else
        give_up(lock);
    kin__untouch(outer);
    return rc;
}

int kin_rwlock_acquire_write(kin_rwlock *lock, kin_deadline deadline)
{
    /* As in mutex.h: whether the gate is free the CAS finds out.
     * CRASH: with the gate: the kernel marks it, and the next one is told. */
    if (__builtin_expect(kin__self.member != NULL && kin__holds_room(HOLDS_NEEDED), 1) &&
        kin__is_open(lock, offsetof(struct kin_rwlock, head.magic), KIN__MAGIC_RWLOCK) &&
        __builtin_expect(kin__self.robust->pending == NULL && !kin__rwlock_is_fair(lock), 1) &&
        kin__mutex_take(&lock->gate, 0, 0)) {
        if (__builtin_expect(first_are_free(lock) && atomic_load(&lock->capacity) == KIN__READERS_FIRST &&
                                 atomic_load_explicit(&lock->untold, memory_order_relaxed) == 0,
                             1))
            return 0;
        return write_touching(lock, deadline, true);
    }
    return write_touching(lock, deadline, false);
}

/* ---- both ------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int release_slow(kin_rwlock *lock)
{
    int rc = enter(lock);
    if (rc < 0) return rc;
    if (kin__mutex_held_by_me(&lock->gate)) return free_gate(lock);
    struct kin__reader *reader = own_entry(lock);
    if (reader == NULL) return -EPERM;
    if (reader->depth > 0)
        reader->depth--;
    else
        free_entry(reader);
    return 0;
}

int kin_rwlock_release(kin_rwlock *lock)
{
    struct kin__robust_list *list = kin__self.robust;
    if (__builtin_expect(list != NULL, 1) &&
        kin__is_open(lock, offsetof(struct kin_rwlock, head.magic), KIN__MAGIC_RWLOCK) &&
        __builtin_expect(list->pending == NULL, 1)) {
        struct kin__reader *reader = usual_entry(lock);
        if (__builtin_expect(reader != NULL && kin__hold_is_newest(list, &reader->hold), 1) &&
            __builtin_expect(reader->depth == 0, 1))
            return kin__hold_free(&reader->hold);
        if (kin__hold_is_newest(list, &lock->gate.robust)) return free_gate(lock);
    }
    return release_slow(lock);
}

int kin_rwlock_owner_sized(kin_rwlock *lock, kin_owner *owner, size_t size)
{
    int rc = enter(lock);
    return rc < 0 ? rc : kin__mutex_tell(&lock->gate, KIN__MAGIC_GATE, kin__mutex_owner, owner, size);
}

int kin_rwlock_last_death_sized(kin_rwlock *lock, kin_owner *dead, size_t size)
{
    int rc = enter(lock);
    return rc < 0 ? rc : kin__mutex_tell(&lock->gate, KIN__MAGIC_GATE, kin__mutex_last_death, dead, size);
}

long kin_rwlock_readers(kin_rwlock *lock)
{
    int rc = enter(lock);
    if (rc < 0) return rc;
    long count = 0;
    uint32_t capacity = atomic_load(&lock->capacity);
    for (uint32_t i = 0; i < capacity; i++) count += (entry_word(entry(lock, i)) & KIN__WORD_OWNER) != 0;
    return count;
}

/* ---- opening and closing ------------------------------------------------------------------------ */

int kin_rwlock_open_sized(kin_rwlock **lock, const kin_rwlock_options *options, size_t size)
{
    kin_rwlock_options given = {0};
    if (lock == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = kin__enter();
    if (rc < 0) return rc;
    kin_rwlock *made = kin__object_make(KIN__OBJECT_RWLOCK, sizeof *made, &rc);
    if (made == NULL) return rc;
    void *outer = kin__touch(made);
    atomic_store(&made->fair, given.fair);
    atomic_store(&made->untold, 0);
    atomic_store(&made->capacity, KIN__READERS_FIRST);
    atomic_store(&made->used, 0);
    kin__event_init(&made->waiting);
    kin__mutex_init(&made->gate, (struct kin__mutex_plan){0}, KIN__MAGIC_GATE);
    kin__mutex_init(&made->turn, (struct kin__mutex_plan){0}, KIN__MAGIC_TURN);
    init_entries(made->first, KIN__READERS_FIRST);
    kin__object_prepare(&made->head);
    *lock = made;
    kin__object_open(&made->head, KIN__MAGIC_RWLOCK);
    kin__untouch(outer);
    return 0;
}

static bool in_use(kin_rwlock *lock)
{
    if ((atomic_load(&lock->gate.robust.point.word) & KIN__WORD_OWNER) != 0 ||
        (atomic_load(&lock->turn.robust.point.word) & KIN__WORD_OWNER) != 0 ||
        kin__point_in_use(&lock->gate.robust.point) || kin__point_in_use(&lock->waiting.point) ||
        kin__point_in_use(&lock->turn.robust.point))
        return true;
    uint32_t capacity = atomic_load(&lock->capacity);
    for (uint32_t i = 0; i < capacity; i++)
        if ((atomic_load(&entry(lock, i)->hold.point.word) & KIN__WORD_OWNER) != 0) return true;
    return false;
}

static int destroy(kin_rwlock *lock)
{
    for (int i = 0; i < KIN__READER_SEGMENTS; i++) {
        void *segment = atomic_load(&lock->segment[i]);
        if (segment != NULL) kin__free(segment, &lock->segment[i]);
    }
    return kin__object_close_end(&lock->head);
}

/* Closes it if nobody uses it; `lock` counts as closed. */
static int close_unused(kin_rwlock *lock)
{
    if (!in_use(lock)) return destroy(lock);
    atomic_store(&lock->head.closer, NULL);
    __atomic_store_n(&lock->head.magic, KIN__MAGIC_RWLOCK, __ATOMIC_SEQ_CST);
    return -EBUSY;
}

int kin_rwlock_close(kin_rwlock *lock)
{
    if (lock == NULL) return 0;
    int rc = enter(lock);
    if (rc < 0) return rc;
    void *outer = kin__touch(lock);
    rc = kin__object_close_begin(&lock->head);
    if (rc == 0) rc = close_unused(lock);
    kin__untouch(outer);
    return rc;
}

/* ---- after a death ------------------------------------------------------------------------------ */

/* A writer that waited, perhaps: readers stood back for it. */
static void left(void *object)
{
    kin_rwlock *lock = object;
    kin__waiters_wake_all(&lock->waiting.point);
}

static void announce(void *object, struct kin__member *dead)
{
    kin_rwlock *lock = object;
    bool closing = kin__object_closing(&lock->head, dead);
    left(lock);
    if (closing) close_unused(lock);
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_RWLOCK] = (struct kin__reap_hooks){.announce = announce, .left = left};
}
KIN__LAYOUT_PART(readers, struct kin__reader);
KIN__LAYOUT_PART(rwlock, struct kin_rwlock);
