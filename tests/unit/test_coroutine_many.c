/* test_coroutine_many.c: many coroutines at once, and many switches: what each takes, and that each has its turn. */
#define _GNU_SOURCE
#include "support/test.h"

#include <stdio.h>
#include <unistd.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/loop.h>

/* Ends a case: nobody is left, and the loop's descriptors are closed. */
static void run_to_end(void)
{
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

/* ---- many ------------------------------------------------------------------------------------------------------ */

struct sleepers {
    kin_deadline until;
    long asleep;
    long awake;
};

static int sleep_with_others(void *argument)
{
    struct sleepers *sleepers = argument;
    sleepers->asleep++;
    CHECK_OK(kin_coroutine_sleep(sleepers->until));
    sleepers->awake++;
    return 0;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* How many stacks there is room for where each guard is a mapping: before Linux 6.13, and in emulators. */
static long room_of_mappings(void)
{
    long most = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%ld", &most), 1);
    fclose(file);
    return most / 2;
}

TEST(a_hundred_thousand_sleep_at_once)
{
    struct sleepers sleepers = {0};
    long many = test_sanitized() ? 2000 : 100000, before = resident();
    for (long i = 0; i < many; i++) {
        int rc = kin_coroutine_start(NULL, sleep_with_others, &sleepers, NULL);
        if (rc == -ENOMEM && i > room_of_mappings() - 1000)
            SKIP("each guard is a mapping here, and vm.max_map_count is too small");
        CHECK_OK(rc);
    }
    sleepers.until = kin_in_ms(1000);
    while (sleepers.asleep < many) CHECK_OK(kin_loop_turn(KIN_NOW));
    long each = (resident() - before) / many;
    run_to_end();
    CHECK_EQ(sleepers.awake, many);
    if (!test_sanitized()) CHECK_LE(each, 8192);
    NOTE("%ld bytes each", each);
}

static int ping(void *rounds)
{
    for (long i = 0; i < *(long *)rounds; i++) CHECK_OK(kin_coroutine_yield());
    return 0;
}

TEST(a_million_switches)
{
    long rounds = 500000;
    CHECK_OK(kin_coroutine_start(NULL, ping, &rounds, NULL));
    CHECK_OK(kin_coroutine_start(NULL, ping, &rounds, NULL));
    run_to_end();
}

/* ---- fairness ------------------------------------------------------------------------------------------- */

enum { PLAYERS = 50 };
static long turns_of[PLAYERS];
static bool enough;

static int take_turns(void *turns)
{
    while (!enough) {
        ++*(long *)turns;
        CHECK_OK(kin_coroutine_yield());
    }
    return 0;
}

static int call_it_enough(void *unused)
{
    (void)unused;
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(20)));
    enough = true;
    return 0;
}

/* Nobody runs twice before everybody has run, however many run between two looks at the world. */
TEST(all_that_can_run_take_turns)
{
    for (int i = 0; i < PLAYERS; i++) CHECK_OK(kin_coroutine_start(NULL, take_turns, &turns_of[i], NULL));
    CHECK_OK(kin_coroutine_start(NULL, call_it_enough, NULL, NULL));
    run_to_end();
    CHECK_GT(turns_of[0], 0);
    for (int i = 1; i < PLAYERS; i++) {
        CHECK_GE(turns_of[i] + 1, turns_of[0]);
        CHECK_LE(turns_of[i], turns_of[0] + 1);
    }
}

static int hear_a_byte(void *ends)
{
    char byte;
    CHECK_OK(kin_wait_descriptor(*(int *)ends, KIN_READABLE, KIN_FOREVER));
    CHECK_EQ(read(*(int *)ends, &byte, 1), 1);
    enough = true;
    return 0;
}

/* Those that always can run do not keep a descriptor from being heard. */
TEST(descriptors_are_heard_among_the_busy)
{
    int ends[2];
    CHECK_OK(pipe(ends));
    for (int i = 0; i < PLAYERS; i++) CHECK_OK(kin_coroutine_start(NULL, take_turns, &turns_of[i], NULL));
    CHECK_OK(kin_coroutine_start(NULL, hear_a_byte, ends, NULL));
    CHECK_RC(kin_loop_run(kin_in_ms(2)), -ETIMEDOUT);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    run_to_end();
    close(ends[0]);
    close(ends[1]);
}
