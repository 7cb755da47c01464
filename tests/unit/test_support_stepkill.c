/* test_support_stepkill.c: the single-step killer, on operations whose every state is known. */
#define _GNU_SOURCE
#include "support/litter.h"
#include "support/stepkill.h"
#include "support/test.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 40

struct shared {
    volatile unsigned word[WORDS];
    volatile unsigned char bytes[100];
    _Atomic unsigned futex;
    volatile int prepared;
    volatile int handled;
};

static struct shared *shared;
static bool seen[WORDS + 1]; /* with how many words written a victim died */
static unsigned between;     /* how often word 0 and word 1 differed */
static unsigned finished_rounds, woken, reached_calls, at_step_calls, teardowns;
static pid_t at_step_victim;

static void reset(void *context)
{
    (void)context;
    if (!shared) shared = test_shared(sizeof(*shared));
    memset(shared, 0, sizeof(*shared));
}

static void prepare(void *context)
{
    (void)context;
    shared->prepared = 1;
}

/* ---- straight code: all prefixes, in order ------------------------------------------------ */

static void write_words(void *context)
{
    (void)context;
    for (unsigned i = 0; i < WORDS; i++) shared->word[i] = 1;
}

static void check_prefix(void *context, long step, bool finished)
{
    (void)context;
    (void)step;
    unsigned written = 0;
    while (written < WORDS && shared->word[written] == 1) written++;
    for (unsigned i = written; i < WORDS; i++) CHECK_EQ(shared->word[i], 0);
    if (finished) CHECK_EQ(written, WORDS);
    CHECK_EQ(shared->prepared, 1);
    seen[written] = true;
    finished_rounds += finished;
}

static void count_teardown(void *context)
{
    (void)context;
    teardowns++;
}

static void note_victim(void *context, long step, pid_t victim)
{
    (void)context;
    (void)step;
    CHECK_OK(kill(victim, 0));
    at_step_victim = victim;
    at_step_calls++;
}

static void expect_all_prefixes(struct stepkill_report report)
{
    for (unsigned i = 0; i <= WORDS; i++) CHECK(seen[i]);
    CHECK_EQ(finished_rounds, 2); /* those that were traced */
    CHECK_GE(report.points, report.steps);
    CHECK_EQ(report.distinct_addresses, report.addresses);
    CHECK_EQ(report.diverged, 0);
    CHECK(!report.asleep);
}

TEST(dies_after_every_prefix)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = reset,
                                                                .prepare = prepare,
                                                                .operation = write_words,
                                                                .at_step = note_victim,
                                                                .survive = check_prefix,
                                                                .teardown = count_teardown});
    expect_all_prefixes(report);
    CHECK_EQ(at_step_calls, report.points);
    CHECK_EQ(teardowns, report.points);
    CHECK_RC(kill(at_step_victim, 0), -1);
}

TEST(dies_after_every_prefix_without_breakpoints)
{
    expect_all_prefixes(stepkill(&(struct stepkill){.setup = reset,
                                                    .prepare = prepare,
                                                    .operation = write_words,
                                                    .survive = check_prefix,
                                                    .stepped = true}));
}

TEST(dies_after_every_prefix_with_breakpoints_in_the_code)
{
    setenv("KIN_STEPKILL_SOFTWARE", "1", 1);
    expect_all_prefixes(stepkill(&(struct stepkill){
        .setup = reset, .prepare = prepare, .operation = write_words, .survive = check_prefix}));
}

TEST(every_address_is_enough_where_a_loop_is_long)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_ADDRESSES,
                                                                .setup = reset,
                                                                .prepare = prepare,
                                                                .operation = write_words,
                                                                .survive = check_prefix});
    CHECK_EQ(report.distinct_addresses, report.addresses);
    CHECK_LT(report.points, report.steps);
    CHECK(seen[0] && seen[WORDS]);
}

TEST(a_stride_leaves_points_out)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = reset,
                                                                .prepare = prepare,
                                                                .operation = write_words,
                                                                .survive = check_prefix,
                                                                .stride = 7,
                                                                .from = 3});
    CHECK_LE(report.points, report.steps / 6 + 2);
    CHECK_GT(report.points, report.steps / 8);
}

/* ---- a window of one instruction ------------------------------------------------------------ */

static void write_pair(void *context)
{
    (void)context;
    shared->word[0] = 1;
    shared->word[1] = 1;
}

static void compare_pair(void *context, long step, bool finished)
{
    (void)context;
    (void)step;
    (void)finished;
    between += shared->word[0] != shared->word[1];
}

TEST(finds_a_window_of_one_instruction)
{
    stepkill(&(struct stepkill){.setup = reset, .operation = write_pair, .survive = compare_pair});
    CHECK_GE(between, 1);
    CHECK_LE(between, 3); /* the compiler may load an address in between */
}

/* ---- counting from a condition ---------------------------------------------------------------- */

static bool half_is_written(void *context)
{
    (void)context;
    return shared->word[WORDS / 2];
}

static void count_reached(void *context, pid_t victim)
{
    (void)context;
    CHECK_OK(kill(victim, 0));
    CHECK_EQ(shared->word[WORDS / 2], 1);
    CHECK_EQ(shared->word[WORDS / 2 + 1], 0);
    reached_calls++;
}

TEST(counts_from_a_condition)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.setup = reset,
                                                                .prepare = prepare,
                                                                .operation = write_words,
                                                                .survive = check_prefix,
                                                                .reached = half_is_written,
                                                                .on_reached = count_reached});
    CHECK_EQ(reached_calls, report.points);
    for (unsigned i = 0; i <= WORDS; i++) CHECK_EQ(seen[i], i > WORDS / 2);
}

TEST(kills_once)
{
    struct stepkill plan = {.setup = reset, .operation = write_words, .reached = half_is_written};
    CHECK(!stepkill_once(&plan, 0));
    CHECK_EQ(shared->word[WORDS / 2], 1);
    CHECK_EQ(shared->word[WORDS / 2 + 1], 0);
    CHECK(stepkill_once(&plan, 100000));
    CHECK_EQ(shared->word[WORDS - 1], 1);
}

/* ---- sleeping ------------------------------------------------------------------------------------ */

static void sleep_between(void *context)
{
    (void)context;
    shared->word[0] = 1;
    while (shared->futex == 0) syscall(SYS_futex, &shared->futex, FUTEX_WAIT, 0, NULL, NULL, 0);
    shared->word[1] = 1;
}

static void wake_sleeper(void *context)
{
    (void)context;
    woken++;
    shared->futex = 1;
    syscall(SYS_futex, &shared->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void check_sleeper(void *context, long step, bool finished)
{
    (void)context;
    (void)step;
    if (finished) CHECK_EQ(shared->word[1], 1);
    if (shared->word[1]) CHECK_GE(woken, 1);
    finished_rounds += finished;
    between += shared->word[1] && !finished;
}

TEST(a_sleep_is_the_last_point)
{
    struct stepkill_report report =
        stepkill(&(struct stepkill){.setup = reset, .operation = sleep_between, .survive = check_sleeper});
    CHECK(report.asleep);
    CHECK_EQ(finished_rounds, 0);
    CHECK_EQ(shared->word[1], 0);
}

TEST(a_sleeper_that_is_woken_goes_on)
{
    struct stepkill_report report = stepkill(&(struct stepkill){
        .setup = reset, .operation = sleep_between, .survive = check_sleeper, .wake = wake_sleeper});
    CHECK(!report.asleep);
    CHECK_EQ(finished_rounds, 2);
    CHECK_GE(between, 1);
    CHECK_GE(woken, 2);
}

/* ---- signals, system calls, children ---------------------------------------------------------------- */

static void handle(int signal)
{
    (void)signal;
    shared->handled++;
}

static void signal_itself(void *context)
{
    write_words(context);
    raise(SIGUSR1);
}

static void prepare_handler(void *context)
{
    prepare(context);
    signal(SIGUSR1, handle);
}

static void check_handled(void *context, long step, bool finished)
{
    check_prefix(context, step, finished);
    CHECK_LE(shared->handled, 1);
    if (finished) CHECK_EQ(shared->handled, 1);
}

TEST(signals_reach_the_victim)
{
    stepkill(&(struct stepkill){.setup = reset,
                                .prepare = prepare_handler,
                                .operation = signal_itself,
                                .survive = check_handled,
                                .stride = 5});
}

static void call_the_kernel(void *context)
{
    (void)context;
    for (unsigned i = 0; i < 5; i++) {
        shared->word[i] = 1;
        syscall(SYS_getppid);
    }
}

static void check_five(void *context, long step, bool finished)
{
    (void)context;
    unsigned written = 0;
    while (written < WORDS && shared->word[written] == 1) written++;
    if (!finished && step > 0) CHECK_EQ(written, step < 10 ? (step + 1) / 2 : 5);
    seen[written] = true;
    finished_rounds += finished;
}

TEST(dies_before_and_after_every_system_call)
{
    struct stepkill_report report = stepkill(&(struct stepkill){
        .mode = STEPKILL_SYSCALLS, .setup = reset, .operation = call_the_kernel, .survive = check_five});
    CHECK_EQ(finished_rounds, 1);
    for (unsigned i = 0; i <= 5; i++) CHECK(seen[i]);
    CHECK_GE(report.steps, 10);
    CHECK_LE(report.steps, 16);
}

/* A child that ends when its parent does: it must be collected, and it must not run into a
 * breakpoint that was meant for the victim. */
static void fork_in_operation(void *context)
{
    int ends[2];
    (void)context;
    if (pipe(ends) < 0) _exit(1);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        if (read(ends[0], &byte, 1) == 0) shared->word[0] = 1;
        _exit(0);
    }
    shared->word[1] = 1;
}

static void stay(void *context)
{
    (void)context;
    for (;;) pause();
}

TEST(orphans_are_collected)
{
    pid_t own = test_child(stay, NULL);
    stepkill(&(struct stepkill){.setup = reset, .operation = fork_in_operation, .forks = true, .stride = 97});
    CHECK_EQ(waitpid(own, NULL, WNOHANG), 0);
    test_kill(own);
}

/* ---- how fast it is ------------------------------------------------------------------------------------ */

static void copy_bytes(void *context)
{
    (void)context;
    for (unsigned i = 0; i < sizeof shared->bytes; i++) shared->bytes[i] = (unsigned char)i;
}

static void check_bytes(void *context, long step, bool finished)
{
    (void)context;
    (void)step;
    if (finished)
        CHECK_EQ(shared->bytes[sizeof shared->bytes - 1], (unsigned char)(sizeof shared->bytes - 1));
}

TEST(breakpoints_take_fewer_stops_than_steps, .deadline = 240)
{
    struct stepkill plan = {.setup = reset, .operation = copy_bytes, .survive = check_bytes, .stepped = true};
    struct stepkill_report stepped = stepkill(&plan);
    plan.stepped = false;
    struct stepkill_report quick = stepkill(&plan);
    CHECK_EQ(stepped.distinct_addresses, stepped.addresses);
    CHECK_EQ(quick.distinct_addresses, quick.addresses);
    CHECK_EQ(quick.diverged, 0);
    NOTE("%ld stops instead of %ld", quick.stops, stepped.stops);
    CHECK_LT(quick.stops, stepped.stops / 2);
}

/* ---- what must fail ------------------------------------------------------------------------------------- */

static void compare_strictly(void *context, long step, bool finished)
{
    (void)context;
    (void)step;
    (void)finished;
    CHECK_EQ(shared->word[0], shared->word[1]);
}

TEST(a_failed_survivor_names_the_step)
{
    if (!test_inner()) {
        test_expect_failure("a_failed_survivor_names_the_step", "\n  at step ");
    } else {
        stepkill(&(struct stepkill){.setup = reset, .operation = write_pair, .survive = compare_strictly});
    }
}

static void leave_child(void *context)
{
    (void)context;
    if (fork() == 0) stay(NULL);
}

TEST(an_orphan_that_stays_is_found)
{
    if (!test_inner()) {
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* it comes here, to be ended */
        test_expect_failure("an_orphan_that_stays_is_found", "has outlived the victim");
        pid_t orphans[8];
        size_t count = litter_children(getpid(), orphans, 8);
        for (size_t i = 0; i < count; i++) test_kill(orphans[i]);
    } else {
        stepkill(&(struct stepkill){.setup = reset, .operation = leave_child, .forks = true, .stride = 50});
    }
}
