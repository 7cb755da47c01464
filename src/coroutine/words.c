/* words.c: coroutines that wait for a word in memory to change.
 *
 * The loop waits for descriptors, and a word that any process of the family may change is none.  So the
 * loop looks at the words whenever its coroutines have run; and before it sleeps it sees to it that one of
 * its descriptors tells of each: by a bell (memory/bell.h) for a word in family memory, by a watch
 * (memory/private.h) for one of this process alone.  A lock's owner may die, and then it is the kernel
 * that changes the word and rings nothing: so the owner's end is waited for as well.  What nothing can
 * be found for is looked at after a pause that grows from LOOK_FIRST to LOOK_LAST while nothing happens.
 *
 * Invariants:
 *  - Each word that is waited for has one watch, with all the coroutines that wait for it.  A point in
 *    family memory counts the watch as one sleeper, and the thread's ledger names it: wakers change
 *    the word for it, the reaper corrects the count after a death.
 *  - A coroutine is counted itself until its watch is, and again before the watch is not: nobody
 *    finds the point without a sleeper while it waits.
 *  - The loop looks at a word after it has armed its bell or entered its watch, and sleeps only then.
 *  - A coroutine looks at its predicate again after a slice at the latest, as everything that sleeps does.
 */
#include "coroutine/words.h"

#include <errno.h>
#include <string.h>

#include "memory/bell.h"
#include "memory/latch.h"
#include "memory/private.h"
#include "memory/reap.h"
#include "memory/region.h"
#include "memory/table.h"
#include "memory/wait.h"
#include "os/epoll.h"
#include "os/os.h"

#define BUCKETS       512
#define LOOK_FIRST_NS 20000
#define LOOK_LAST_NS  1000000
/* Slices grow with the number of those that wait, so that looking again stays cheap. */
#define SLICE_EACH_NS 10000

typedef _Atomic(struct kin__wait_point *) entry;

/* A coroutine that waits, on its stack. */
struct parked {
    struct parked *next;
    struct parked *previous;
    kin_coroutine *who;
    uint32_t expected;
};

struct watch {
    struct watch *next_in_bucket;
    struct watch *next;
    struct watch *previous;
    const _Atomic uint32_t *word;
    struct kin__wait_point *point; /* NULL: of this process alone */
    entry *ledger;                 /* NULL: not counted; its coroutines look again often */
    struct kin__bell *bell;        /* NULL: none hangs there (yet) */
    struct kin__private_watch own; /* without a point; word NULL: not entered (yet) */
    uint32_t owner;                /* of a lock: whose end `end` tells; 0: nobody's */
    int end;                       /* a descriptor in the loop's set; -1: none */
    struct parked *first;
};

struct kin__words {
    struct watch *buckets[BUCKETS];
    struct watch *first;
    size_t waited;
    int socket; /* that the bells ring; -1: none has been hung */
    int event;  /* that is set by who changes a word of this process; -1: likewise */
    uint64_t number;
    int64_t pause;
    kin_deadline sweep_at;
    entry **free; /* ledger entries that are not used */
    size_t free_count;
    size_t free_size;
    struct kin__member *member; /* whose ledger they are of, and which life of it */
    uint64_t life;
};

/* ---- the ledger ------------------------------------------------------------------------------------- */

static int extend_ledger(struct kin__words *words)
{
    size_t size = words->free_size + KIN__LEDGER_ENTRIES;
    entry **more = kin__os_malloc(size * sizeof *more);
    if (more == NULL) return -ENOMEM;
    int rc = kin__ledger_extend(more);
    if (rc < 0) {
        kin__os_free(more);
        return rc;
    }
    kin__os_free(words->free);
    words->free = more;
    words->free_count = KIN__LEDGER_ENTRIES;
    words->free_size = size;
    words->member = kin__self.member;
    words->life = atomic_load(&words->member->state);
    return 0;
}

static void count_watch(struct kin__words *words, struct watch *watch)
{
    if (words->free_count == 0 && extend_ledger(words) < 0) return;
    watch->ledger = words->free[--words->free_count];
    kin__waiters_enter_at(watch->ledger, watch->point);
}

/* ---- watches ------------------------------------------------------------------------------------------ */

static struct watch **bucket_of(struct kin__words *words, const _Atomic uint32_t *word)
{
    return &words->buckets[((uintptr_t)word >> 3) * 0x9e3779b97f4a7c15u >> 55];
}

static struct watch *find_watch(struct kin__words *words, const _Atomic uint32_t *word)
{
    struct watch *watch = *bucket_of(words, word);
    while (watch != NULL && watch->word != word) watch = watch->next_in_bucket;
    return watch;
}

static struct watch *make_watch(struct kin__words *words, const _Atomic uint32_t *word,
                                struct kin__wait_point *point)
{
    struct watch *watch = kin__os_calloc(1, sizeof *watch), **bucket = bucket_of(words, word);
    if (watch == NULL) return NULL;
    watch->word = word;
    watch->point = point;
    watch->end = -1;
    watch->next_in_bucket = *bucket;
    *bucket = watch;
    watch->next = words->first;
    if (words->first != NULL) words->first->previous = watch;
    words->first = watch;
    if (point != NULL) count_watch(words, watch);
    return watch;
}

static void drop_watch(struct kin__words *words, struct watch *watch)
{
    struct watch **link = bucket_of(words, watch->word);
    while (*link != watch) link = &(*link)->next_in_bucket;
    *link = watch->next_in_bucket;
    *(watch->previous != NULL ? &watch->previous->next : &words->first) = watch->next;
    if (watch->next != NULL) watch->next->previous = watch->previous;
    if (watch->bell != NULL) kin__bell_take_down(watch->bell);
    if (watch->own.word != NULL) kin__private_unwatch(&watch->own);
    if (watch->end >= 0) kin__os_close(watch->end);
    if (watch->ledger != NULL) {
        kin__waiters_leave_at(watch->ledger, watch->point);
        words->free[words->free_count++] = watch->ledger;
    }
    kin__os_free(watch);
}

/* ---- who tells ---------------------------------------------------------------------------------------- */

static int add_to_set(struct kin__loop *loop, int made, int *descriptor)
{
    int rc = made < 0 ? made : kin__os_epoll_add(loop->epoll, made, KIN__READABLE, (uint64_t)made);
    if (rc < 0 && made >= 0) kin__os_close(made);
    if (rc >= 0) *descriptor = made;
    return rc;
}

static int make_socket(struct kin__loop *loop)
{
    struct kin__words *words = loop->words;
    char name[KIN__BELL_NAME];
    if (words->socket >= 0) return 0;
    words->number = atomic_fetch_add(&kin__family.header->generation, 1);
    kin__bell_name(name, words->number);
    return add_to_set(loop, kin__os_bell_make(name), &words->socket);
}

static bool arm_own(struct kin__loop *loop, struct watch *watch)
{
    struct kin__words *words = loop->words;
    if (watch->own.word != NULL) return true;
    if (words->event < 0 && add_to_set(loop, kin__os_event_make(), &words->event) < 0) return false;
    watch->own.event = words->event;
    watch->own.word = watch->word;
    kin__private_watch(&watch->own);
    return true;
}

/* Has the end of the word's present owner reported.  Where that cannot be had, the next slice tells. */
static void arm_end(struct kin__loop *loop, struct watch *watch)
{
    uint32_t owner = atomic_load(watch->word) & KIN__WORD_OWNER;
    struct kin__armed armed = {0};
    if (owner == watch->owner) return;
    if (watch->end >= 0) kin__os_close(watch->end);
    watch->owner = owner;
    watch->end =
        owner == 0 ? -1 : kin__os_thread_open((int)owner, kin__member_pid(kin__member_of_thread(owner)));
    /* Once: after it the word has another owner, or the loop looks again and again for nothing. */
    if (watch->end >= 0) kin__os_epoll_arm(loop->epoll, watch->end, KIN__READABLE, &armed);
}

/* From here on whoever changes the watch's word makes a descriptor of the loop readable.  False: nobody does. */
static bool arm(struct kin__loop *loop, struct watch *watch)
{
    if (watch->point == NULL) return arm_own(loop, watch);
    if (watch->ledger == NULL || watch->point->kind == KIN__POINT_OWNER) return false;
    if (watch->bell == NULL) {
        if (make_socket(loop) < 0) return false;
        if (kin__bell_hang(&watch->bell, watch->point, loop->words->number) < 0) return false;
    }
    kin__bell_arm(watch->bell);
    if (watch->point->kind == KIN__POINT_HELD) arm_end(loop, watch);
    return true;
}

/* The loop is about to sleep.  False: it must not for long, because nobody tells of a word. */
static bool arm_all(struct kin__loop *loop)
{
    bool armed = true;
    for (struct watch *watch = loop->words->first; watch != NULL; watch = watch->next)
        armed = arm(loop, watch) && armed;
    return armed;
}

bool kin__words_rung(struct kin__loop *loop, int descriptor)
{
    if (loop->words == NULL) return false;
    if (descriptor == loop->words->socket)
        kin__os_bell_silence(descriptor);
    else if (descriptor == loop->words->event)
        kin__os_event_clear(descriptor);
    else
        return false;
    kin__words_look(loop);
    return true;
}

void kin__words_forget(struct kin__loop *loop)
{
    if (loop->words == NULL) return;
    for (struct watch *watch = loop->words->first; watch != NULL; watch = watch->next)
        if (watch->end >= 0) kin__os_close(watch->end);
    if (loop->words->socket >= 0) kin__os_close(loop->words->socket);
    if (loop->words->event >= 0) kin__os_close(loop->words->event);
}

/* ---- the waiting side ----------------------------------------------------------------------------------- */

static int be_open(struct kin__loop *loop)
{
    if (loop->words != NULL) return 0;
    struct kin__words *words = kin__os_calloc(1, sizeof *words);
    if (words == NULL) return -ENOMEM;
    words->socket = words->event = -1;
    words->pause = LOOK_FIRST_NS;
    words->sweep_at = kin__os_clock() + KIN__SLICE_NS;
    loop->words = words;
    return 0;
}

static struct watch *enter_watch(struct kin__loop *loop, const _Atomic uint32_t *word,
                                 struct kin__wait_point *point, struct parked *parked)
{
    struct kin__words *words = loop->words;
    struct watch *watch = find_watch(words, word);
    if (watch == NULL) watch = make_watch(words, word, point);
    if (watch == NULL) return NULL;
    parked->who = loop->current;
    parked->next = watch->first;
    if (watch->first != NULL) watch->first->previous = parked;
    watch->first = parked;
    words->waited++;
    words->pause = LOOK_FIRST_NS;
    return watch;
}

static void leave_watch(struct kin__words *words, struct watch *watch, struct parked *parked)
{
    *(parked->previous != NULL ? &parked->previous->next : &watch->first) = parked->next;
    if (parked->next != NULL) parked->next->previous = parked->previous;
    words->waited--;
    if (watch->first == NULL) drop_watch(words, watch);
}

/* Parks until the word has changed, for a slice at most: 0, 1 (the slice is over), -ETIMEDOUT, -ECANCELED. */
static int park(struct kin__loop *loop, const struct watch *watch, const struct parked *parked,
                kin_deadline deadline)
{
    if (atomic_load(watch->word) != parked->expected) return 0;
    kin_deadline now = kin__os_clock();
    if (deadline <= now) return -ETIMEDOUT;
    bool counted = watch->point == NULL || watch->ledger != NULL;
    int64_t slice = counted ? KIN__SLICE_NS + (int64_t)loop->words->waited * SLICE_EACH_NS : LOOK_LAST_NS;
    bool last = deadline - now <= slice;
    int rc = kin__park(loop, last ? deadline : now + slice);
    return rc == -ETIMEDOUT && !last ? 1 : rc;
}

int kin__words_sleep_private(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline)
{
    struct kin__loop *loop = kin__loop;
    struct parked parked = {.expected = expected};
    int rc = be_open(loop);
    if (rc < 0) return rc;
    struct watch *watch = enter_watch(loop, word, NULL, &parked);
    if (watch == NULL) return -ENOMEM;
    rc = park(loop, watch, &parked, deadline);
    leave_watch(loop->words, watch, &parked);
    return rc == 1 ? 0 : rc;
}

int kin__words_sleep(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline)
{
    struct kin__loop *loop = kin__loop;
    struct parked parked = {.expected = expected};
    if (be_open(loop) < 0) return kin__sleep_thread(point, expected, deadline);
    struct watch *watch = enter_watch(loop, &point->word, point, &parked);
    if (watch == NULL) return kin__sleep_thread(point, expected, deadline);
    /* What the caller is inside of is for the reaper to know while the caller does something; what
     * the thread does from now on is another coroutine's.  CRASH: a waiter leaves nothing half done. */
    void *touching = atomic_load_explicit(&kin__self.member->touching, memory_order_relaxed);
    atomic_store_explicit(&kin__self.member->touching, NULL, memory_order_relaxed);
    kin__waiters_leave(point);
    int rc = park(loop, watch, &parked, deadline);
    kin__waiters_enter(point);
    atomic_store_explicit(&kin__self.member->touching, touching, memory_order_relaxed);
    leave_watch(loop->words, watch, &parked);
    return rc;
}

/* ---- the loop's side ------------------------------------------------------------------------------------- */

size_t kin__words_waited(const struct kin__loop *loop)
{
    return loop->words != NULL ? loop->words->waited : 0;
}

int kin__words_look(struct kin__loop *loop)
{
    int found = 0;
    for (struct watch *watch = loop->words->first; watch != NULL; watch = watch->next) {
        uint32_t word = atomic_load(watch->word);
        for (struct parked *parked = watch->first; parked != NULL; parked = parked->next) {
            if (parked->expected == word) continue;
            kin__ready(parked->who);
            found = 1;
        }
    }
    return found;
}

kin_deadline kin__words_next(struct kin__loop *loop)
{
    struct kin__words *words = loop->words;
    kin_deadline now = kin__os_clock();
    if (now >= words->sweep_at) {
        words->sweep_at = now + KIN__SLICE_NS;
        if (kin__self.member != NULL && kin__reap_needed()) kin__reap();
    }
    bool armed = arm_all(loop);
    if (kin__words_look(loop)) return KIN_NOW;
    if (armed) return words->sweep_at;
    kin_deadline next = now + words->pause;
    words->pause = words->pause * 2 < LOOK_LAST_NS ? words->pause * 2 : LOOK_LAST_NS;
    return next;
}

void kin__words_close(struct kin__loop *loop)
{
    struct kin__words *words = loop->words;
    if (words == NULL) return;
    /* It may have left meanwhile, and joined once more: then it is another member. */
    bool joined = words->member != NULL && words->member == kin__self.member &&
                  atomic_load(&words->member->state) == words->life;
    while (words->first != NULL) {
        /* A thread that has left the family has given its ledger back. */
        if (!joined) words->first->ledger = NULL;
        struct kin__wait_point *counted = words->first->ledger != NULL ? words->first->point : NULL;
        drop_watch(words, words->first);
        if (counted != NULL) kin__waiter_vanished(counted);
    }
    if (joined) kin__ledger_close(kin__self.member);
    kin__words_forget(loop);
    kin__os_free(words->free);
    kin__os_free(words);
    loop->words = NULL;
}
