/* test_coroutine.c: coroutines: who runs when, joining, cancelling, groups, threads and
 * forks. */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/channel.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/local.h>
#include <kin/loop.h>
#include <kin/thread.h>

/* What happened, in order. */
static char story[256];

static void tell(char letter)
{
    size_t length = strlen(story);
    CHECK_LT(length, sizeof story - 1);
    story[length] = letter;
    story[length + 1] = '\0';
}

/* Ends a case: nobody is left, and the loop's descriptors are closed. */
static void run_to_end(void)
{
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
}

static kin_coroutine *start(kin_coroutine_function *target, void *argument)
{
    kin_coroutine *coroutine = NULL;
    CHECK_OK(kin_coroutine_start(&coroutine, target, argument, NULL));
    return coroutine;
}

static int tell_three(void *letter)
{
    for (int i = 0; i < 3; i++) {
        tell(*(char *)letter);
        CHECK_OK(kin_coroutine_yield());
    }
    return *(char *)letter;
}

/* ---- who runs when ---------------------------------------------------------------------------------- */

TEST_COLD(coroutines_take_turns)
{
    int result;
    kin_coroutine *a = start(tell_three, (char[]){'a'}), *b = start(tell_three, (char[]){'b'});
    CHECK_STR(story, "");
    CHECK_EQ(kin_coroutine_is_alive(a), 1);
    CHECK_RC(kin_coroutine_result(a, &result), -EBUSY);
    CHECK_RC(kin_coroutine_close(a), -EBUSY);
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_STR(story, "ababab");
    CHECK_EQ(kin_coroutine_is_alive(a), 0);
    CHECK_OK(kin_coroutine_result(b, &result));
    CHECK_EQ(result, 'b');
    CHECK_OK(kin_coroutine_close(a));
    CHECK_OK(kin_coroutine_close(b));
    run_to_end();
}

static int run_for_ever(void *count)
{
    while (kin_coroutine_yield() == 0) ++*(long *)count;
    return 0;
}

static int sleep_then_cancel(void *other)
{
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(5)));
    return kin_coroutine_cancel(other);
}

TEST(one_that_never_waits_does_not_starve_sleepers)
{
    long count = 0;
    kin_coroutine *busy = start(run_for_ever, &count);
    CHECK_OK(kin_coroutine_start(NULL, sleep_then_cancel, busy, NULL));
    run_to_end();
    CHECK_GT(count, 0);
    CHECK_OK(kin_coroutine_close(busy));
}

static int sleep_until(void *moment)
{
    CHECK_OK(kin_coroutine_sleep(*(kin_deadline *)moment));
    CHECK_GE(kin_clock(), *(kin_deadline *)moment);
    tell((char)('0' + *(kin_deadline *)moment % 10));
    return 0;
}

/* Tells whether all were asleep before the first had to wake. */
static bool sleep_in_disorder(void)
{
    kin_deadline now = kin_in_ms(100) / 10 * 10, moments[7];
    static const int order[7] = {4, 0, 6, 2, 5, 1, 3};
    story[0] = '\0';
    for (int i = 0; i < 7; i++) {
        moments[i] = now + order[i] * 1000000 + order[i];
        CHECK_OK(kin_coroutine_start(NULL, sleep_until, &moments[i], NULL));
    }
    CHECK_OK(kin_loop_turn(KIN_NOW));
    bool all_slept = kin_clock() < now;
    run_to_end();
    return all_slept;
}

TEST(sleepers_wake_in_order_of_their_deadlines)
{
    while (!sleep_in_disorder())
        ;
    CHECK_STR(story, "0123456");
}

static int start_more(void *depth)
{
    if (depth == NULL) return 0;
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_coroutine_start(NULL, start_more, (void *)((uintptr_t)depth - 1), NULL));
    tell('.');
    return 0;
}

TEST(coroutines_start_coroutines)
{
    CHECK_OK(kin_coroutine_start(NULL, start_more, (void *)4, NULL));
    run_to_end();
    CHECK_EQ(strlen(story), 1 + 3 + 9 + 27);
}

TEST(the_loop_stops_at_the_deadline)
{
    long count = 0;
    kin_coroutine *busy = start(run_for_ever, &count);
    CHECK_RC(kin_loop_run(KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_loop_run(kin_in_ms(2)), -ETIMEDOUT);
    CHECK_EQ(kin_loop_turn(KIN_NOW), 1);
    CHECK_RC(kin_loop_close(), -EBUSY);
    CHECK_OK(kin_coroutine_cancel(busy));
    run_to_end();
    CHECK_OK(kin_coroutine_close(busy));
}

/* ---- joining ------------------------------------------------------------------------------------------ */

static int join_and_tell(void *other)
{
    CHECK_OK(kin_coroutine_join(other, KIN_FOREVER));
    tell('j');
    return 0;
}

TEST(several_join_one)
{
    kin_coroutine *a = start(tell_three, (char[]){'a'});
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_start(NULL, join_and_tell, a, NULL));
    CHECK_OK(kin_coroutine_join(a, KIN_FOREVER));
    CHECK_OK(kin_coroutine_join(a, KIN_NOW));
    run_to_end();
    CHECK_STR(story, "aaajjj");
    CHECK_OK(kin_coroutine_close(a));
}

static int join_in_vain(void *other)
{
    CHECK_RC(kin_coroutine_join(other, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_coroutine_join(other, kin_in_ms(2)), -ETIMEDOUT);
    CHECK_RC(kin_coroutine_join(kin_coroutine_current(), KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_loop_run(KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_loop_turn(KIN_NOW), -EDEADLK);
    CHECK_RC(kin_loop_close(), -EBUSY);
    return kin_coroutine_cancel(other);
}

static int sleep_for_ever(void *unused)
{
    (void)unused;
    CHECK_RC(kin_coroutine_sleep(KIN_FOREVER), -ECANCELED);
    return 7;
}

TEST(a_join_has_a_deadline)
{
    kin_coroutine *asleep = start(sleep_for_ever, NULL);
    CHECK_RC(kin_coroutine_join(asleep, kin_in_ms(2)), -ETIMEDOUT);
    CHECK_OK(kin_coroutine_start(NULL, join_in_vain, asleep, NULL));
    run_to_end();
    CHECK_OK(kin_coroutine_close(asleep));
}

static int join_other(void *other)
{
    return kin_coroutine_join(*(kin_coroutine **)other, KIN_FOREVER);
}

TEST(all_waiting_for_each_other_is_an_error)
{
    kin_coroutine *a = NULL, *b = NULL;
    CHECK_OK(kin_coroutine_start(&a, join_other, &b, NULL));
    CHECK_OK(kin_coroutine_start(&b, join_other, &a, NULL));
    CHECK_RC(kin_loop_run(KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_coroutine_join(a, KIN_FOREVER), -EDEADLK);
    CHECK_OK(kin_coroutine_cancel(a));
    run_to_end();
    CHECK_OK(kin_coroutine_close(a));
    CHECK_OK(kin_coroutine_close(b));
}

/* ---- cancelling ---------------------------------------------------------------------------------------- */

static int wait_everywhere(void *argument)
{
    int *ends = argument;
    tell('w');
    int rc = ends == NULL ? kin_coroutine_sleep(KIN_FOREVER)
                          : kin_wait_descriptor(*ends, KIN_READABLE, KIN_FOREVER);
    CHECK_RC(rc, -ECANCELED);
    CHECK_EQ(kin_coroutine_cancelled(), 1);
    /* From now on nothing waits. */
    CHECK_RC(kin_coroutine_yield(), -ECANCELED);
    CHECK_RC(kin_coroutine_sleep(KIN_FOREVER), -ECANCELED);
    tell('c');
    return -5;
}

TEST(a_cancelled_one_cleans_up)
{
    int ends[2], result;
    CHECK_OK(pipe(ends));
    for (int i = 0; i < 2; i++) {
        kin_coroutine *waiting = start(wait_everywhere, i == 0 ? NULL : ends);
        CHECK_RC(kin_loop_run(kin_in_ms(1)), -ETIMEDOUT);
        CHECK_OK(kin_coroutine_cancel(waiting));
        CHECK_OK(kin_coroutine_join(waiting, KIN_FOREVER));
        CHECK_OK(kin_coroutine_result(waiting, &result));
        CHECK_EQ(result, -5);
        CHECK_OK(kin_coroutine_cancel(waiting));
        CHECK_OK(kin_coroutine_close(waiting));
    }
    run_to_end();
    CHECK_STR(story, "wcwc");
    close(ends[0]);
    close(ends[1]);
}

TEST(one_that_has_not_begun_does_not_begin)
{
    int result;
    kin_coroutine *a = start(tell_three, (char[]){'a'});
    CHECK_OK(kin_coroutine_cancel(a));
    run_to_end();
    CHECK_STR(story, "");
    CHECK_OK(kin_coroutine_result(a, &result));
    CHECK_EQ(result, -ECANCELED);
    CHECK_OK(kin_coroutine_close(a));
}

/* ---- groups ---------------------------------------------------------------------------------------------- */

static int fail(void *unused)
{
    (void)unused;
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    return -EIO;
}

TEST(the_first_failure_cancels_the_rest)
{
    kin_group *group = NULL;
    CHECK_OK(kin_group_open(&group));
    kin_coroutine_options in = {.group = group};
    for (int i = 0; i < 5; i++)
        CHECK_OK(kin_coroutine_start(NULL, i == 2 ? fail : sleep_for_ever, NULL, &in));
    CHECK_RC(kin_group_join(group, KIN_FOREVER), -EIO);
    CHECK_RC(kin_coroutine_start(NULL, fail, NULL, &in), -ECANCELED);
    CHECK_OK(kin_group_close(group));
    run_to_end();
}

static int use_group(void *unused)
{
    (void)unused;
    kin_group *group = NULL;
    CHECK_OK(kin_group_open(&group));
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_coroutine_start(NULL, wait_everywhere, NULL, &(kin_coroutine_options){.group = group}));
    CHECK_RC(kin_group_join(group, KIN_FOREVER), -ECANCELED);
    tell('g');
    /* It is cancelled itself, and waits for its own all the same. */
    CHECK_OK(kin_group_close(group));
    tell('e');
    return 0;
}

TEST(leaving_a_group_ends_its_members)
{
    kin_coroutine *user = start(use_group, NULL);
    CHECK_RC(kin_loop_run(kin_in_ms(1)), -ETIMEDOUT);
    CHECK_OK(kin_coroutine_cancel(user));
    run_to_end();
    CHECK_STR(story, "wwwgccce");
    CHECK_OK(kin_coroutine_close(user));
}

TEST(an_empty_group_is_complete)
{
    kin_group *group = NULL;
    CHECK_OK(kin_group_open(&group));
    CHECK_OK(kin_group_join(group, KIN_NOW));
    CHECK_OK(kin_group_close(group));
    CHECK_OK(kin_loop_close());
}

static int join_group(void *group)
{
    return kin_group_join(group, KIN_FOREVER);
}

static int close_group(void *group)
{
    return kin_group_close(group);
}

TEST(a_group_is_closed_while_others_join_it)
{
    kin_group *group = NULL;
    kin_coroutine *joining[3];
    int result;
    CHECK_OK(kin_group_open(&group));
    CHECK_OK(kin_coroutine_start(NULL, sleep_for_ever, NULL, &(kin_coroutine_options){.group = group}));
    for (int i = 0; i < 3; i++) {
        joining[i] = start(join_group, group);
        if (i == 1) CHECK_OK(kin_coroutine_start(NULL, close_group, group, NULL));
    }
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_coroutine_result(joining[i], &result));
        CHECK_EQ(result, 0);
        CHECK_OK(kin_coroutine_close(joining[i]));
    }
    run_to_end();
}

static int add_another(void *group)
{
    static char letter = 'm';
    CHECK_OK(kin_coroutine_start(NULL, tell_three, &letter, &(kin_coroutine_options){.group = group}));
    return 0;
}

TEST(a_join_waits_for_members_that_come_late)
{
    kin_group *group = NULL;
    CHECK_OK(kin_group_open(&group));
    CHECK_OK(kin_coroutine_start(NULL, tell_three, (char[]){'a'}, &(kin_coroutine_options){.group = group}));
    kin_coroutine *joining = start(join_group, group), *first = start(tell_three, (char[]){'b'});
    CHECK_OK(kin_coroutine_join(first, KIN_FOREVER));
    CHECK_OK(kin_coroutine_start(NULL, add_another, group, NULL));
    CHECK_OK(kin_coroutine_join(joining, KIN_FOREVER));
    run_to_end();
    CHECK_OK(kin_group_close(group));
    CHECK_OK(kin_coroutine_close(joining));
    CHECK_OK(kin_coroutine_close(first));
}

/* What was made in a loop that is closed by now belongs to no other one, wherever that lies in memory. */
TEST(groups_and_channels_outlive_their_loop)
{
    kin_group *group = NULL;
    kin_channel *channel = NULL;
    int number = 1;
    char letter = 'a';
    CHECK_OK(kin_group_open(&group));
    CHECK_OK(kin_channel_open(&channel, sizeof number, 1));
    CHECK_OK(kin_loop_close());
    for (int round = 0; round < 2; round++) {
        CHECK_RC(kin_group_join(group, KIN_NOW), -EPERM);
        CHECK_RC(kin_group_cancel(group), -EPERM);
        CHECK_RC(kin_channel_send(channel, &number, KIN_NOW), -EPERM);
        CHECK_RC(kin_channel_end(channel), -EPERM);
        CHECK_OK(kin_coroutine_start(NULL, tell_three, &letter, NULL));
    }
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_group_close(group));
    CHECK_OK(kin_channel_close(channel));
    CHECK_OK(kin_loop_close());
}

/* ---- threads, forks -------------------------------------------------------------------------------------- */

static int ping(void *rounds)
{
    for (long i = 0; i < *(long *)rounds; i++) CHECK_OK(kin_coroutine_yield());
    return 0;
}

static int run_own_loop(void *unused)
{
    (void)unused;
    long rounds = 1000;
    for (int i = 0; i < 10; i++) CHECK_OK(kin_coroutine_start(NULL, ping, &rounds, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    /* One that is left vanishes with its thread. */
    CHECK_OK(kin_coroutine_start(NULL, sleep_for_ever, NULL, NULL));
    CHECK_RC(kin_loop_run(kin_in_ms(1)), -ETIMEDOUT);
    return 0;
}

TEST(each_thread_has_its_own_loop)
{
    kin_thread *thread[4];
    kin_coroutine *ours = start(tell_three, (char[]){'o'});
    for (int i = 0; i < 4; i++) CHECK_OK(kin_thread_start(&thread[i], run_own_loop, NULL, NULL));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    run_to_end();
    CHECK_STR(story, "ooo");
    CHECK_OK(kin_coroutine_close(ours));
}

static int use_strange(void *coroutine)
{
    CHECK_RC(kin_coroutine_join(coroutine, KIN_FOREVER), -EPERM);
    CHECK_RC(kin_coroutine_cancel(coroutine), -EPERM);
    CHECK_RC(kin_coroutine_close(coroutine), -EPERM);
    return kin_loop_close();
}

TEST(another_threads_coroutine_is_refused)
{
    kin_thread *thread = NULL;
    kin_coroutine *ours = start(tell_three, (char[]){'o'});
    CHECK_OK(kin_thread_start(&thread, use_strange, ours, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(thread));
    run_to_end();
    CHECK_OK(kin_coroutine_close(ours));
}

static int fork_inside(void *status)
{
    pid_t child = fork();
    CHECK_OK(child);
    if (child == 0) {
        /* Not in a coroutine any more: what waits, waits for the child's own. */
        if (kin_coroutine_current() != NULL || kin_coroutine_sleep(kin_in_ms(1)) < 0) _exit(3);
        return 0;
    }
    *(int *)status = test_collect(child);
    return 0;
}

TEST(a_child_forked_by_a_coroutine_does_not_run_its_parents)
{
    if (!crew_sees_processes()) SKIP("ThreadSanitizer does not know that a child has no other fibers");
    int status = -1;
    pid_t parent = getpid();
    CHECK_OK(kin_coroutine_start(NULL, fork_inside, &status, NULL));
    kin_coroutine *other = start(tell_three, (char[]){'o'});
    int rc = kin_loop_run(KIN_FOREVER);
    if (getpid() != parent) _exit(rc == -ECHILD ? 0 : 1);
    CHECK_OK(rc);
    CHECK_EQ(status, 0);
    run_to_end();
    CHECK_OK(kin_coroutine_close(other));
}

/* ---- bad input, faults -------------------------------------------------------------------------------------------- */

TEST(bad_input_is_refused)
{
    char name[33];
    kin_coroutine *coroutine = NULL;
    memset(name, 'n', 32);
    name[32] = '\0';
    CHECK_RC(kin_coroutine_start(&coroutine, NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_coroutine_start(&coroutine, ping, NULL, &(kin_coroutine_options){.name = name}), -EINVAL);
    CHECK_RC(kin_coroutine_start(&coroutine, ping, NULL, &(kin_coroutine_options){.stack_size = 100}),
             -EINVAL);
    CHECK_RC(kin_coroutine_start(&coroutine, ping, NULL, &(kin_coroutine_options){.stack_size = SIZE_MAX}),
             -EINVAL);
    CHECK_RC(kin_coroutine_join(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_coroutine_cancel(NULL), -EINVAL);
    CHECK_RC(kin_coroutine_is_alive(NULL), -EINVAL);
    CHECK_RC(kin_coroutine_result(NULL, NULL), -EINVAL);
    CHECK(kin_coroutine_name(NULL) == NULL);
    CHECK_OK(kin_coroutine_close(NULL));
    CHECK_RC(kin_group_open(NULL), -EINVAL);
    CHECK_RC(kin_group_join(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_group_cancel(NULL), -EINVAL);
    CHECK_OK(kin_group_close(NULL));
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_coroutine_yield());
}

/* Without a key for its end a thread can have neither a loop nor values of its own. */
TEST_COLD(a_thread_without_keys_has_no_loop)
{
    static pthread_key_t keys[PTHREAD_KEYS_MAX];
    int used = 0;
    kin_local *local = NULL;
    while (used < PTHREAD_KEYS_MAX && pthread_key_create(&keys[used], NULL) == 0) used++;
    CHECK_RC(kin_coroutine_start(NULL, ping, (long[]){1}, NULL), -EAGAIN);
    CHECK_RC(kin_coroutine_sleep(kin_in_ms(1)), -EAGAIN);
    CHECK_RC(kin_local_open(&local, NULL), -EAGAIN);
    for (int i = 0; i < used; i++) CHECK(pthread_getspecific(keys[i]) == NULL);
}

static int make_one(void *context)
{
    int rc = kin_coroutine_start(context, ping, (long[]){0}, &(kin_coroutine_options){.stack_size = 1 << 22});
    if (rc < 0) kin_loop_close();
    return rc;
}

static int unmake_one(void *context)
{
    kin_coroutine **coroutine = context;
    kin_coroutine_cancel(*coroutine);
    int rc = kin_loop_run(KIN_FOREVER);
    if (rc == 0) rc = kin_coroutine_close(*coroutine);
    return rc < 0 ? rc : kin_loop_close();
}

TEST(start_under_faults)
{
    if (!crew_sees_processes()) SKIP("ThreadSanitizer keeps mappings of fibers that have ended");
    kin_coroutine *coroutine;
    struct faults_report report =
        faults(&(struct faults){.make = make_one, .unmake = unmake_one, .context = &coroutine});
    CHECK_GE(report.failures, 3);
}
