/* test_condition_traffic.c: conditions under load: nobody is forgotten, nothing is lost, with
 * processes, threads and both, and with some of them killed all the time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <kin/condition.h>
#include <kin/error.h>
#include <kin/memory.h>

/* A buffer of ROOM places between producers and consumers, with a condition for each side. */
#define ROOM 4

struct buffer {
    kin_lock *lock;
    kin_condition *filled;
    kin_condition *emptied;
    long place[ROOM];
    unsigned in, out; /* under the lock */
    int rounds;
    _Atomic long sum;
    int phase; /* of the rounds in step */
    int arrived;
    unsigned members;
};

static struct buffer *open_buffer(int rounds, unsigned members)
{
    struct buffer *buffer = test_shared(sizeof *buffer);
    buffer->rounds = test_sanitized() ? rounds / 10 : rounds;
    buffer->members = members;
    CHECK_OK(kin_lock_open(&buffer->lock));
    kin_condition_options options = {.lock = buffer->lock};
    CHECK_OK(kin_condition_open(&buffer->filled, &options));
    CHECK_OK(kin_condition_open(&buffer->emptied, &options));
    return buffer;
}

static void close_buffer(struct buffer *buffer)
{
    CHECK_RC(kin_condition_close(buffer->filled), 0);
    CHECK_RC(kin_condition_close(buffer->emptied), 0);
    CHECK_RC(kin_lock_close(buffer->lock), 0);
}

static bool has_room(void *argument)
{
    struct buffer *buffer = argument;
    return buffer->in - buffer->out < ROOM;
}

static bool has_goods(void *argument)
{
    struct buffer *buffer = argument;
    return buffer->in != buffer->out;
}

static void put(struct buffer *buffer, long value)
{
    CHECK_RC(kin_lock_acquire(buffer->lock, KIN_FOREVER), 0);
    KIN_LOCK_GUARD(buffer->lock);
    CHECK_RC(kin_condition_wait_for(buffer->emptied, has_room, buffer, KIN_FOREVER), 0);
    buffer->place[buffer->in++ % ROOM] = value;
    CHECK_RC(kin_condition_notify(buffer->filled, 1), 0);
}

static long get(struct buffer *buffer)
{
    CHECK_RC(kin_lock_acquire(buffer->lock, KIN_FOREVER), 0);
    KIN_LOCK_GUARD(buffer->lock);
    CHECK_RC(kin_condition_wait_for(buffer->filled, has_goods, buffer, KIN_FOREVER), 0);
    long value = buffer->place[buffer->out++ % ROOM];
    CHECK_RC(kin_condition_notify(buffer->emptied, 1), 0);
    return value;
}

static void produce_or_consume(void *context, unsigned index)
{
    struct buffer *buffer = context;
    for (int i = 0; i < buffer->rounds; i++) {
        if (index < buffer->members / 2)
            put(buffer, i);
        else
            buffer->sum += get(buffer);
    }
}

static void run(enum crew_kind kind, unsigned members, int rounds)
{
    struct books books = books_open();
    struct buffer *buffer = open_buffer(rounds, members);
    double start = test_seconds();
    crew_run(kind, members, produce_or_consume, buffer);
    NOTE("%.0f ns each", (test_seconds() - start) / buffer->rounds / members * 2 * 1e9);
    CHECK_EQ(buffer->in, buffer->out);
    CHECK_EQ(buffer->sum, (long)buffer->rounds * (buffer->rounds - 1) / 2 * (members / 2));
    close_buffer(buffer);
    books_check(&books);
}

static void one_to_one(enum crew_kind kind)
{
    run(kind, 2, 50000);
}
CREW_TEST(one_to_one)

static void four_to_four(enum crew_kind kind)
{
    run(kind, 8, 20000);
}
CREW_TEST(four_to_four)

/* ---- all of them, again and again ------------------------------------------------------------------ */

struct turn {
    struct buffer *buffer;
    int phase;
};

static bool turned(void *argument)
{
    struct turn *turn = argument;
    return turn->buffer->phase != turn->phase;
}

static void keep_step(void *context, unsigned index)
{
    struct buffer *buffer = context;
    (void)index;
    for (int i = 0; i < buffer->rounds; i++) {
        CHECK_RC(kin_lock_acquire(buffer->lock, KIN_FOREVER), 0);
        KIN_LOCK_GUARD(buffer->lock);
        struct turn turn = {buffer, buffer->phase};
        CHECK_EQ(turn.phase, i);
        if (++buffer->arrived == (int)buffer->members) {
            buffer->arrived = 0;
            buffer->phase++;
            CHECK_RC(kin_condition_notify_all(buffer->filled), 0);
        } else {
            CHECK_RC(kin_condition_wait_for(buffer->filled, turned, &turn, KIN_FOREVER), 0);
        }
    }
}

static void all_in_step(enum crew_kind kind)
{
    struct books books = books_open();
    struct buffer *buffer = open_buffer(1000, 16);
    crew_run(kind, buffer->members, keep_step, buffer);
    CHECK_EQ(buffer->phase, buffer->rounds);
    close_buffer(buffer);
    books_check(&books);
}
CREW_TEST(all_in_step)

/* ---- killed all the time ------------------------------------------------------------------------------ */

struct ring {
    kin_condition *changed;
    long balance, booked; /* equal whenever nobody holds the lock */
    _Atomic long rounds[8];
};

static bool odd(void *argument)
{
    return ((struct ring *)argument)->balance % 2 != 0;
}

static bool even(void *argument)
{
    return !odd(argument);
}

/* Makes an odd balance even, or the other way round. */
static void alternate(void *context, unsigned index)
{
    struct ring *ring = context;
    for (;;) {
        int rc = kin_condition_acquire(ring->changed, KIN_FOREVER);
        CHECK_OK(rc);
        if (rc == 0) rc = kin_condition_wait_for(ring->changed, index % 2 ? odd : even, ring, KIN_FOREVER);
        CHECK_OK(rc);
        if (rc == KIN_OWNER_DIED) {
            ring->balance = ring->booked;
        } else {
            CHECK_EQ(ring->balance, ring->booked);
            ring->balance++;
            ring->booked++;
        }
        ring->rounds[index]++;
        CHECK_RC(kin_condition_notify_all(ring->changed), 0);
        CHECK_RC(kin_condition_release(ring->changed), 0);
    }
}

static void alternate_even(void *argument)
{
    alternate(argument, 0);
}

static void alternate_odd(void *argument)
{
    alternate(argument, 1);
}

TEST(alternating_goes_on_whoever_is_killed, .deadline = 120)
{
    struct books books = books_open();
    struct ring *ring = test_shared(sizeof *ring);
    CHECK_OK(kin_condition_open(&ring->changed, NULL));
    uint64_t random = 5;
    pid_t child[4];
    void (*role[2])(void *) = {alternate_even, alternate_odd};
    for (int i = 0; i < 4; i++) child[i] = test_child(role[i % 2], ring);
    int kills = test_sanitized() ? 100 : 1000;
    for (int i = 0; i < kills; i++) {
        long before[2] = {ring->rounds[0], ring->rounds[1]};
        for (uint64_t spin = chaos_random(&random) % 20000; spin > 0; spin--) __asm__ volatile("");
        int victim = i % 4;
        test_kill(child[victim]);
        child[victim] = test_child(role[victim % 2], ring);
        test_until(ring->rounds[0] != before[0] && ring->rounds[1] != before[1]);
    }
    for (int i = 0; i < 4; i++) test_kill(child[i]);
    CHECK_OK(kin_condition_close(ring->changed));
    books_check_blocks(&books);
    NOTE("%d kills, %ld rounds", kills, ring->rounds[0] + ring->rounds[1]);
}
