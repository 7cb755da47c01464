/* test_sync_suite.c: one suite over every object of synchronisation and shared data: each used by
 * processes, by threads and by both, begun by fork and by exec, and by many more than there are
 * processors. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <string.h>

#include <kin.h>

#define FEW   6
#define CROWD 64
#define MANY  3 /* of a semaphore's permits */

/* In family memory, with everything that it leads to. */
struct place {
    unsigned members;
    int rounds;
    kin_lock *lock;
    kin_rlock *rlock;
    kin_rwlock *rwlock;
    kin_semaphore *permits;
    kin_semaphore *signals;
    kin_condition *condition;
    kin_condition *other; /* with the same lock */
    kin_event *go[2];
    kin_event *back[2];
    kin_barrier *barrier;
    kin_array *array;
    long first, second; /* the same whenever nobody is inside */
    long turn;
    _Atomic int inside;
    _Atomic long passed;
};

/* One subject: how it is opened, used by each member, checked and closed. */
struct subject {
    void (*open)(struct place *place);
    crew_function *use;
    void (*close)(struct place *place);
};

static void run(const struct subject *subject, enum crew_kind kind, unsigned members, int rounds)
{
    struct books books = books_open();
    struct place *place = kin_alloc(sizeof *place);
    CHECK(place != NULL);
    memset(place, 0, sizeof *place);
    place->members = members;
    place->rounds = test_sanitized() ? (rounds + 4) / 5 : rounds;
    subject->open(place);
    crew_run(kind, members, subject->use, place);
    subject->close(place);
    CHECK_OK(kin_free(place));
    books_check(&books);
}

/* A step that only one at a time may do. */
static void step(struct place *place)
{
    CHECK_EQ(atomic_fetch_add(&place->inside, 1), 0);
    CHECK_EQ(place->first, place->second);
    place->first++;
    place->second++;
    atomic_fetch_sub(&place->inside, 1);
}

static void check_steps(struct place *place, long for_each)
{
    CHECK_EQ(place->first, (long)place->members * place->rounds * for_each);
    CHECK_EQ(place->second, place->first);
}

/* ---- lock and rlock ----------------------------------------------------------------------------- */

static void lock_open(struct place *place)
{
    CHECK_OK(kin_lock_open(&place->lock));
}

static void lock_use(void *context, unsigned index)
{
    struct place *place = context;
    (void)index;
    for (int i = 0; i < place->rounds; i++) {
        CHECK_RC(kin_lock_acquire(place->lock, KIN_FOREVER), 0);
        step(place);
        CHECK_OK(kin_lock_release(place->lock));
    }
}

static void lock_close(struct place *place)
{
    check_steps(place, 1);
    CHECK_OK(kin_lock_close(place->lock));
}

static void rlock_open(struct place *place)
{
    CHECK_OK(kin_rlock_open(&place->rlock, NULL));
}

static void rlock_use(void *context, unsigned index)
{
    struct place *place = context;
    for (int i = 0; i < place->rounds; i++) {
        unsigned depth = 1 + (index + (unsigned)i) % 3;
        for (unsigned n = 0; n < depth; n++) CHECK_RC(kin_rlock_acquire(place->rlock, KIN_FOREVER), 0);
        step(place);
        for (unsigned n = 0; n < depth; n++) CHECK_OK(kin_rlock_release(place->rlock));
    }
}

static void rlock_close(struct place *place)
{
    check_steps(place, 1);
    CHECK_OK(kin_rlock_close(place->rlock));
}

/* ---- read-write locks ----------------------------------------------------------------------------- */

static void rwlock_open(struct place *place)
{
    CHECK_OK(kin_rwlock_open(&place->rwlock, NULL));
}

static void fair_rwlock_open(struct place *place)
{
    CHECK_OK(kin_rwlock_open(&place->rwlock, &(kin_rwlock_options){.fair = true}));
}

static void rwlock_use(void *context, unsigned index)
{
    struct place *place = context;
    for (int i = 0; i < place->rounds; i++) {
        bool writes = (index + (unsigned)i) % 5 == 0;
        if (writes) {
            CHECK_RC(kin_rwlock_acquire_write(place->rwlock, KIN_FOREVER), 0);
            step(place);
            atomic_fetch_add(&place->passed, 1);
        } else {
            CHECK_RC(kin_rwlock_acquire_read(place->rwlock, KIN_FOREVER), 0);
            CHECK_EQ(place->first, place->second);
        }
        CHECK_OK(kin_rwlock_release(place->rwlock));
    }
}

static void rwlock_close(struct place *place)
{
    CHECK_EQ(place->first, (long)place->passed);
    CHECK_EQ(place->second, place->first);
    CHECK_EQ(kin_rwlock_readers(place->rwlock), 0);
    CHECK_OK(kin_rwlock_close(place->rwlock));
}

/* ---- semaphores ------------------------------------------------------------------------------------- */

static void permits_open(struct place *place)
{
    CHECK_OK(kin_semaphore_open(&place->permits, MANY, &(kin_semaphore_options){.bounded = true}));
}

static void permits_use(void *context, unsigned index)
{
    struct place *place = context;
    (void)index;
    for (int i = 0; i < place->rounds; i++) {
        CHECK_OK(kin_semaphore_acquire(place->permits, KIN_FOREVER));
        CHECK_LT(atomic_fetch_add(&place->inside, 1), MANY);
        atomic_fetch_add(&place->passed, 1);
        atomic_fetch_sub(&place->inside, 1);
        CHECK_OK(kin_semaphore_release(place->permits));
    }
}

static void permits_close(struct place *place)
{
    CHECK_EQ((long)place->passed, (long)place->members * place->rounds);
    CHECK_EQ(kin_semaphore_value(place->permits), MANY);
    CHECK_RC(kin_semaphore_release(place->permits), KIN_ERELEASED);
    CHECK_OK(kin_semaphore_close(place->permits));
}

static void signals_open(struct place *place)
{
    CHECK_OK(kin_semaphore_open(&place->signals, 0, &(kin_semaphore_options){.plain = true}));
}

/* Those of odd index wait for as many signals as those of even index give. */
static void signals_use(void *context, unsigned index)
{
    struct place *place = context;
    for (int i = 0; i < place->rounds; i++) {
        if (index % 2 == 0)
            CHECK_OK(kin_semaphore_release(place->signals));
        else
            CHECK_OK(kin_semaphore_acquire(place->signals, KIN_FOREVER));
    }
}

static void signals_close(struct place *place)
{
    CHECK_EQ(kin_semaphore_value(place->signals), 0);
    CHECK_OK(kin_semaphore_close(place->signals));
}

/* ---- conditions ----------------------------------------------------------------------------------------- */

static void condition_open(struct place *place)
{
    CHECK_OK(kin_lock_open(&place->lock));
    kin_condition_options options = {.lock = place->lock};
    CHECK_OK(kin_condition_open(&place->condition, &options));
    CHECK_OK(kin_condition_open(&place->other, &options));
}

/* One after the other, as at a round table: whoever's turn it is tells everybody. */
static void turns_use(void *context, unsigned index)
{
    struct place *place = context;
    for (int i = 0; i < place->rounds; i++) {
        CHECK_RC(kin_lock_acquire(place->lock, KIN_FOREVER), 0);
        while (place->turn % place->members != index)
            CHECK_RC(kin_condition_wait(place->condition, KIN_FOREVER), 0);
        step(place);
        place->turn++;
        CHECK_OK(kin_condition_notify_all(place->condition));
        CHECK_OK(kin_lock_release(place->lock));
    }
}

static bool has_room(void *context)
{
    return ((struct place *)context)->turn < 2;
}

static bool has_goods(void *context)
{
    return ((struct place *)context)->turn > 0;
}

/* A buffer of two places, with a condition for each side. */
static void buffer_use(void *context, unsigned index)
{
    struct place *place = context;
    bool puts = index % 2 == 0;
    for (int i = 0; i < place->rounds; i++) {
        CHECK_RC(kin_lock_acquire(place->lock, KIN_FOREVER), 0);
        CHECK_RC(kin_condition_wait_for(puts ? place->condition : place->other, puts ? has_room : has_goods,
                                        place, KIN_FOREVER),
                 0);
        place->turn += puts ? 1 : -1;
        step(place);
        CHECK_OK(kin_condition_notify(puts ? place->other : place->condition, 1));
        CHECK_OK(kin_lock_release(place->lock));
    }
}

static void condition_close(struct place *place)
{
    check_steps(place, 1);
    CHECK_OK(kin_condition_close(place->condition));
    CHECK_OK(kin_condition_close(place->other));
    CHECK_OK(kin_lock_close(place->lock));
}

/* ---- events and barriers ------------------------------------------------------------------------------- */

static void event_open(struct place *place)
{
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_event_open(&place->go[i], NULL));
        CHECK_OK(kin_event_open(&place->back[i], NULL));
    }
}

/* The first sets, the others wait, the last of them answers; the events of each other round. */
static void event_use(void *context, unsigned index)
{
    struct place *place = context;
    for (int i = 0; i < place->rounds; i++) {
        if (index == 0) {
            CHECK_OK(kin_event_clear(place->go[(i + 1) % 2]));
            CHECK_OK(kin_event_clear(place->back[(i + 1) % 2]));
            CHECK_OK(kin_event_set(place->go[i % 2]));
            CHECK_OK(kin_event_wait(place->back[i % 2], KIN_FOREVER));
        } else {
            CHECK_OK(kin_event_wait(place->go[i % 2], KIN_FOREVER));
            if ((atomic_fetch_add(&place->passed, 1) + 1) % (place->members - 1) == 0)
                CHECK_OK(kin_event_set(place->back[i % 2]));
        }
    }
}

static void event_close(struct place *place)
{
    CHECK_EQ((long)place->passed, (long)(place->members - 1) * place->rounds);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_event_close(place->go[i]));
        CHECK_OK(kin_event_close(place->back[i]));
    }
}

static void barrier_open(struct place *place)
{
    CHECK_OK(kin_barrier_open(&place->barrier, place->members, NULL));
}

static void barrier_use(void *context, unsigned index)
{
    struct place *place = context;
    (void)index;
    for (long i = 0; i < place->rounds; i++) {
        CHECK_GE(atomic_fetch_add(&place->passed, 1), i * place->members);
        int rc = kin_barrier_wait(place->barrier, KIN_FOREVER);
        CHECK_OK(rc);
        CHECK_LT((unsigned)rc, place->members);
        CHECK_GE((long)place->passed, (i + 1) * place->members);
    }
}

static void barrier_close(struct place *place)
{
    CHECK_EQ(kin_barrier_broken(place->barrier), 0);
    CHECK_OK(kin_barrier_close(place->barrier));
}

/* ---- shared data ------------------------------------------------------------------------------------------ */

static void array_open(struct place *place)
{
    CHECK_OK(kin_array_open(&place->array, 'q', 3, NULL));
}

static void array_use(void *context, unsigned index)
{
    struct place *place = context;
    int64_t *item = kin_array_data(place->array);
    for (int i = 0; i < place->rounds; i++) {
        CHECK_OK(kin_array_add(place->array, 0, 1));
        CHECK_RC(kin_lock_acquire(kin_array_lock(place->array), KIN_FOREVER), 0);
        CHECK_EQ(item[1], -item[2]);
        item[1] += index;
        item[2] -= index;
        CHECK_OK(kin_lock_release(kin_array_lock(place->array)));
    }
}

static void array_close(struct place *place)
{
    int64_t added = 0;
    CHECK_OK(kin_array_get(place->array, 0, &added));
    CHECK_EQ(added, (int64_t)place->members * place->rounds);
    CHECK_OK(kin_array_close(place->array));
}

/* ---- the cases -------------------------------------------------------------------------------------------- */

/* Each subject by a few of every kind, so many rounds; and by a crowd of processes. */
#define SUBJECT(name, opens, uses, closes, few, of_crowd) \
    static const struct subject name##_subject = {opens, uses, closes}; \
    static void name(enum crew_kind kind) \
    { \
        run(&name##_subject, kind, FEW, few); \
    } \
    CREW_TEST_EXEC(name, .deadline = 120) \
    TEST(name##_crowd, .deadline = 120) \
    { \
        run(&name##_subject, CREW_PROCESSES, CROWD, of_crowd); \
    }

SUBJECT(lock, lock_open, lock_use, lock_close, 10000, 2000)
SUBJECT(rlock, rlock_open, rlock_use, rlock_close, 5000, 1000)
SUBJECT(rwlock, rwlock_open, rwlock_use, rwlock_close, 3000, 1000)
SUBJECT(fair_rwlock, fair_rwlock_open, rwlock_use, rwlock_close, 300, 30)
SUBJECT(permits, permits_open, permits_use, permits_close, 5000, 1000)
SUBJECT(signals, signals_open, signals_use, signals_close, 5000, 1000)
SUBJECT(turns, condition_open, turns_use, condition_close, 200, 10)
SUBJECT(buffer, condition_open, buffer_use, condition_close, 500, 50)
SUBJECT(event, event_open, event_use, event_close, 200, 30)
SUBJECT(barrier, barrier_open, barrier_use, barrier_close, 300, 30)
SUBJECT(array, array_open, array_use, array_close, 5000, 1000)
