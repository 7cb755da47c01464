/* test_array_traffic.c: an array in the hands of many: sums are exact, copies are whole, and who
 * is killed leaves the numbers right. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>

#include <kin/array.h>
#include <kin/error.h>
#include <kin/memory.h>

#define ITEMS 16

struct work {
    kin_array *integers, *reals, *pairs;
    int rounds;
    _Atomic long sum;
};

static struct work *open_work(int rounds)
{
    struct work *work = test_shared(sizeof *work);
    work->rounds = test_sanitized() ? rounds / 10 : rounds;
    CHECK_OK(kin_array_open(&work->integers, 'q', ITEMS, NULL));
    CHECK_OK(kin_array_open(&work->reals, 'd', ITEMS, NULL));
    CHECK_OK(kin_array_open(&work->pairs, 'i', ITEMS, NULL));
    return work;
}

static void close_work(struct work *work)
{
    CHECK_RC(kin_array_close(work->integers), 0);
    CHECK_RC(kin_array_close(work->reals), 0);
    CHECK_RC(kin_array_close(work->pairs), 0);
}

/* ---- atomic steps ------------------------------------------------------------------------------- */

static void add(void *context, unsigned index)
{
    struct work *work = context;
    long own = 0;
    for (int i = 0; i < work->rounds; i++) {
        size_t item = (size_t)i % ITEMS;
        CHECK_RC(kin_array_add(work->integers, item, i % 7 - 3), 0);
        CHECK_RC(kin_array_add(work->reals, item, 0.5), 0);
        own += i % 7 - 3;
        /* The same by hand: a loop of compare and exchange. */
        int seen = 0;
        CHECK_RC(kin_array_get(work->pairs, item, &seen), 0);
        while (kin_array_compare_exchange(work->pairs, item, &seen, seen + 1) == 0)
            ;
    }
    (void)index;
    atomic_fetch_add(&work->sum, own);
}

static void sums_are_exact(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = open_work(50000);
    crew_run(kind, 4, add, work);
    long long sum = 0, count = 0;
    double halves = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        long long integer = 0;
        double real = 0;
        int pair = 0;
        CHECK_OK(kin_array_get(work->integers, i, &integer));
        CHECK_OK(kin_array_get(work->reals, i, &real));
        CHECK_OK(kin_array_get(work->pairs, i, &pair));
        sum += integer;
        halves += real;
        count += pair;
    }
    CHECK_EQ(sum, work->sum);
    CHECK_EQ(halves, 2.0 * work->rounds);
    CHECK_EQ(count, 4LL * work->rounds);
    close_work(work);
    books_check(&books);
}
CREW_TEST(sums_are_exact)

/* ---- copies under the lock ------------------------------------------------------------------------ */

static void write_and_read(void *context, unsigned index)
{
    struct work *work = context;
    int items[ITEMS];
    for (int i = 0; i < work->rounds; i++) {
        if ((i + (int)index) % 3 == 0) {
            for (int n = 0; n < ITEMS; n++) items[n] = (int)index * 1000000 + i;
            CHECK_OK(kin_array_write(work->pairs, 0, ITEMS, items, KIN_FOREVER));
        } else {
            CHECK_OK(kin_array_read(work->pairs, 0, ITEMS, items, KIN_FOREVER));
            for (int n = 1; n < ITEMS; n++) CHECK_EQ(items[n], items[0]);
        }
        CHECK_OK(kin_lock_acquire(kin_array_lock(work->integers), KIN_FOREVER));
        ((long long *)kin_array_data(work->integers))[0]++;
        CHECK_OK(kin_lock_release(kin_array_lock(work->integers)));
    }
}

static void copies_are_whole(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = open_work(20000);
    crew_run(kind, 4, write_and_read, work);
    long long count = 0;
    CHECK_OK(kin_array_get(work->integers, 0, &count));
    CHECK_EQ(count, 4LL * work->rounds);
    close_work(work);
    books_check(&books);
}
CREW_TEST(copies_are_whole)

static void open_and_close(void *context, unsigned index)
{
    struct work *work = context;
    for (int i = 0; i < work->rounds; i++) {
        kin_array *array = NULL;
        CHECK_RC(kin_array_open(&array, 'l', (size_t)(i % 300 + 1), NULL), 0);
        CHECK_RC(kin_array_add(array, (size_t)(i % 300), index), 0);
        CHECK_RC(kin_array_close(array), 0);
    }
}

static void arrays_come_and_go(enum crew_kind kind)
{
    struct books books = books_open();
    struct work *work = open_work(5000);
    crew_run(kind, 4, open_and_close, work);
    close_work(work);
    books_check(&books);
}
CREW_TEST(arrays_come_and_go)

/* ---- killed at random --------------------------------------------------------------------------------- */

/* Under the lock the two halves are equal, unless the owner died between them: then the next one
 * is told and mends it. */
static void change_pairs(void *context, unsigned index)
{
    struct work *work = context;
    (void)index;
    while (!chaos_stopping()) {
        kin_lock *lock = kin_array_lock(work->pairs);
        int *pair = kin_array_data(work->pairs);
        int rc = kin_lock_acquire(lock, KIN_FOREVER);
        CHECK_OK(rc);
        if (rc == KIN_OWNER_DIED) pair[1] = pair[0];
        CHECK_EQ(pair[0], pair[1]);
        pair[0]++;
        atomic_signal_fence(memory_order_seq_cst);
        pair[1]++;
        CHECK_OK(kin_lock_release(lock));
        kin_array *own = NULL;
        CHECK_OK(kin_array_open(&own, 'd', 3, NULL));
        CHECK_OK(kin_array_close(own));
        chaos_progress();
    }
}

TEST(killed_at_random, .deadline = 120, .alone = true)
{
    struct work *work = open_work(1);
    struct chaos_report report = chaos(&(struct chaos){
        .roles = {{"changer", 3, change_pairs}}, .kills = 3000, .seconds = 6, .context = work});
    CHECK_GT(report.progress, 0);
    int pair[2];
    CHECK_OK(kin_sweep());
    CHECK_OK(kin_array_read(work->pairs, 0, 2, pair, kin_in_s(5)));
    NOTE("%ld killed, %d changes", report.kills, pair[0]);
    close_work(work);
}
