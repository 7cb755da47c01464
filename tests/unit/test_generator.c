/* test_generator.c: generators, and channels between coroutines. */
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>

#include <kin/channel.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/generator.h>
#include <kin/loop.h>
#include <kin/thread.h>

static int count_to(kin_generator *self, void *last)
{
    for (long i = 1; i <= *(long *)last; i++) {
        int rc = kin_generator_yield(self, &i, NULL);
        if (rc < 0) return rc;
    }
    return 7;
}

static kin_generator *open_generator(kin_generator_function *target, void *argument)
{
    kin_generator *generator = NULL;
    CHECK_OK(kin_generator_open(&generator, target, argument, NULL));
    return generator;
}

TEST_COLD(a_generator_yields_values)
{
    long last = 1000, expected = 0;
    int result;
    void *value;
    kin_generator *generator = open_generator(count_to, &last);
    CHECK_RC(kin_generator_result(generator, &result), -EBUSY);
    while (kin_generator_next(generator, &value) == 1) CHECK_EQ(*(long *)value, ++expected);
    CHECK_EQ(expected, last);
    CHECK_EQ(kin_generator_next(generator, &value), 0);
    CHECK_OK(kin_generator_result(generator, &result));
    CHECK_EQ(result, 7);
    CHECK_OK(kin_generator_close(generator));
}

static int clean_up(kin_generator *self, void *cleaned)
{
    void *sent = NULL;
    CHECK_OK(kin_generator_yield(self, NULL, &sent));
    CHECK(sent == cleaned);
    CHECK_RC(kin_generator_yield(self, NULL, &sent), -ECANCELED);
    CHECK_RC(kin_generator_yield(self, NULL, &sent), -ECANCELED);
    *(int *)cleaned = 1;
    return 0;
}

TEST_COLD(closing_lets_a_generator_clean_up)
{
    int cleaned = 0;
    kin_generator *generator = open_generator(clean_up, &cleaned);
    CHECK_EQ(kin_generator_next(generator, NULL), 1);
    CHECK_EQ(kin_generator_send(generator, &cleaned, NULL), 1);
    CHECK_EQ(cleaned, 0);
    CHECK_OK(kin_generator_close(generator));
    CHECK_EQ(cleaned, 1);
    /* One that was never asked for a value has nothing to clean up. */
    CHECK_OK(kin_generator_close(open_generator(clean_up, NULL)));
}

static int call_itself(kin_generator *self, void *unused)
{
    (void)unused;
    CHECK_RC(kin_generator_next(self, NULL), -EBUSY);
    CHECK_RC(kin_generator_close(self), -EBUSY);
    return 0;
}

TEST_COLD(generator_bad_input)
{
    kin_generator *generator = NULL;
    CHECK_RC(kin_generator_open(NULL, count_to, NULL, NULL), -EINVAL);
    CHECK_RC(kin_generator_open(&generator, NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_generator_open(&generator, count_to, NULL, &(kin_generator_options){.stack_size = 1}),
             -EINVAL);
    CHECK_RC(kin_generator_next(NULL, NULL), -EINVAL);
    CHECK_RC(kin_generator_yield(NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_generator_result(NULL, NULL), -EINVAL);
    CHECK_OK(kin_generator_close(NULL));
    generator = open_generator(call_itself, NULL);
    CHECK_RC(kin_generator_yield(generator, NULL, NULL), -EPERM);
    CHECK_EQ(kin_generator_next(generator, NULL), 0);
    CHECK_OK(kin_generator_close(generator));
}

/* Each passes on what the one before yields. */
static int filter(kin_generator *self, void *source)
{
    for (void *value; kin_generator_next(source, &value) == 1;)
        CHECK_OK(kin_generator_yield(self, value, NULL));
    return 0;
}

TEST_COLD(generators_nest)
{
    enum { DEPTH = 20 };
    long last = 50, expected = 0;
    kin_generator *chain[DEPTH];
    chain[0] = open_generator(count_to, &last);
    for (int i = 1; i < DEPTH; i++) chain[i] = open_generator(filter, chain[i - 1]);
    for (void *value; kin_generator_next(chain[DEPTH - 1], &value) == 1;)
        CHECK_EQ(*(long *)value, ++expected);
    CHECK_EQ(expected, last);
    for (int i = DEPTH - 1; i >= 0; i--) CHECK_OK(kin_generator_close(chain[i]));
}

static int sum_up(void *sum)
{
    long last = 20;
    kin_generator *generator = open_generator(count_to, &last);
    for (void *value; kin_generator_next(generator, &value) == 1;) {
        *(long *)sum += *(long *)value;
        CHECK_OK(kin_coroutine_yield());
    }
    return kin_generator_close(generator);
}

TEST_COLD(coroutines_use_generators)
{
    long sum = 0;
    for (int i = 0; i < 5; i++) CHECK_OK(kin_coroutine_start(NULL, sum_up, &sum, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_EQ(sum, 5 * 210);
    CHECK_OK(kin_loop_close());
}

static int wait_between(kin_generator *self, void *unused)
{
    (void)unused;
    for (long i = 0; i < 5; i++) {
        CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
        CHECK_OK(kin_coroutine_yield());
        CHECK_OK(kin_generator_yield(self, &i, NULL));
    }
    return 0;
}

static int use_waiting(void *count)
{
    kin_generator *generator = open_generator(wait_between, NULL);
    while (kin_generator_next(generator, NULL) == 1) ++*(int *)count;
    return kin_generator_close(generator);
}

TEST_COLD(a_generator_may_wait)
{
    int count = 0;
    for (int i = 0; i < 5; i++) CHECK_OK(kin_coroutine_start(NULL, use_waiting, &count, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_EQ(count, 25);
    CHECK_OK(kin_loop_close());
}

static int run_here(void *generator)
{
    void *value;
    CHECK_EQ(kin_generator_next(generator, &value), 1);
    CHECK_EQ(*(long *)value, 2);
    return 0;
}

TEST_COLD(a_generator_can_be_handed_to_another_thread)
{
    long last = 3;
    void *value;
    kin_thread *thread = NULL;
    kin_generator *generator = open_generator(count_to, &last);
    CHECK_EQ(kin_generator_next(generator, &value), 1);
    CHECK_OK(kin_thread_start(&thread, run_here, generator, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(thread));
    CHECK_EQ(kin_generator_next(generator, &value), 1);
    CHECK_EQ(*(long *)value, 3);
    CHECK_OK(kin_generator_close(generator));
}

static int make_generator(void *context)
{
    return kin_generator_open(context, count_to, NULL, &(kin_generator_options){.stack_size = 1 << 21});
}

static int unmake_generator(void *context)
{
    return kin_generator_close(*(kin_generator **)context);
}

TEST_COLD(generator_open_under_faults)
{
    if (!crew_sees_processes()) SKIP("ThreadSanitizer keeps mappings of fibers that have ended");
    kin_generator *generator;
    struct faults_report report =
        faults(&(struct faults){.make = make_generator, .unmake = unmake_generator, .context = &generator});
    CHECK_GE(report.failures, 2);
}

/* ---- channels ------------------------------------------------------------------------------------------- */

struct traffic {
    kin_channel *channel;
    int items; /* of each sender */
    long sent;
    long received;
    int receivers_ended;
};

static int send_all(void *argument)
{
    struct traffic *traffic = argument;
    for (int i = 1; i <= traffic->items; i++) {
        CHECK_OK(kin_channel_send(traffic->channel, &i, KIN_FOREVER));
        traffic->sent += i;
        if (i % 7 == 0) CHECK_OK(kin_coroutine_yield());
    }
    return 0;
}

static int receive_all(void *argument)
{
    struct traffic *traffic = argument;
    int item, rc;
    while ((rc = kin_channel_receive(traffic->channel, &item, KIN_FOREVER)) == 0) {
        traffic->received += item;
        if (item % 5 == 0) CHECK_OK(kin_coroutine_yield());
    }
    CHECK_RC(rc, KIN_ECLOSED);
    traffic->receivers_ended++;
    return 0;
}

static void run_traffic(size_t capacity, int senders, int receivers)
{
    struct traffic traffic = {.items = 100};
    kin_group *group = NULL;
    CHECK_OK(kin_channel_open(&traffic.channel, sizeof(int), capacity));
    CHECK_OK(kin_group_open(&group));
    for (int i = 0; i < receivers; i++) CHECK_OK(kin_coroutine_start(NULL, receive_all, &traffic, NULL));
    for (int i = 0; i < senders; i++)
        CHECK_OK(kin_coroutine_start(NULL, send_all, &traffic, &(kin_coroutine_options){.group = group}));
    CHECK_OK(kin_group_join(group, KIN_FOREVER));
    CHECK_OK(kin_group_close(group));
    CHECK_OK(kin_channel_end(traffic.channel));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_EQ(traffic.sent, senders * 5050);
    CHECK_EQ(traffic.received, traffic.sent);
    CHECK_EQ(traffic.receivers_ended, receivers);
    CHECK_OK(kin_channel_close(traffic.channel));
}

TEST_COLD(what_is_sent_is_received)
{
    run_traffic(0, 1, 1);
    run_traffic(0, 5, 3);
    run_traffic(1, 3, 5);
    run_traffic(16, 4, 4);
    CHECK_OK(kin_loop_close());
}

static int use_alone(void *argument)
{
    kin_channel *channel = argument;
    int item = 5;
    CHECK_RC(kin_channel_receive(channel, &item, KIN_NOW), KIN_EMPTY);
    CHECK_RC(kin_channel_receive(channel, &item, kin_in_ms(1)), KIN_EMPTY);
    CHECK_OK(kin_channel_send(channel, &item, KIN_NOW));
    CHECK_RC(kin_channel_send(channel, &item, KIN_NOW), KIN_FULL);
    CHECK_RC(kin_channel_send(channel, &item, kin_in_ms(1)), KIN_FULL);
    CHECK_OK(kin_channel_end(channel));
    CHECK_RC(kin_channel_send(channel, &item, KIN_NOW), KIN_ECLOSED);
    item = 0;
    CHECK_OK(kin_channel_receive(channel, &item, KIN_NOW));
    CHECK_EQ(item, 5);
    CHECK_RC(kin_channel_receive(channel, &item, KIN_FOREVER), KIN_ECLOSED);
    return 0;
}

static int wait_for_item(void *channel)
{
    int item;
    return kin_channel_receive(channel, &item, KIN_FOREVER);
}

TEST_COLD(channels_have_deadlines_and_an_end)
{
    kin_channel *channel = NULL;
    kin_coroutine *waiting = NULL;
    int result;
    CHECK_OK(kin_channel_open(&channel, sizeof(int), 1));
    CHECK_OK(kin_coroutine_start(NULL, use_alone, channel, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_channel_close(channel));
    /* Cancelled and waited for. */
    CHECK_OK(kin_channel_open(&channel, sizeof(int), 1));
    CHECK_OK(kin_coroutine_start(&waiting, wait_for_item, channel, NULL));
    CHECK_RC(kin_loop_run(KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_channel_close(channel), -EBUSY);
    CHECK_OK(kin_coroutine_cancel(waiting));
    CHECK_OK(kin_coroutine_join(waiting, KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(waiting, &result));
    CHECK_RC(result, -ECANCELED);
    CHECK_OK(kin_coroutine_close(waiting));
    CHECK_OK(kin_channel_close(channel));
    CHECK_OK(kin_loop_close());
}

TEST_COLD(channel_bad_input)
{
    kin_channel *channel = NULL;
    int item = 0;
    CHECK_RC(kin_channel_open(NULL, 1, 1), -EINVAL);
    CHECK_RC(kin_channel_open(&channel, 0, 1), -EINVAL);
    CHECK_RC(kin_channel_open(&channel, SIZE_MAX, 2), -ENOMEM);
    CHECK_RC(kin_channel_send(NULL, &item, KIN_NOW), -EINVAL);
    CHECK_RC(kin_channel_receive(NULL, &item, KIN_NOW), -EINVAL);
    CHECK_RC(kin_channel_end(NULL), -EINVAL);
    CHECK_OK(kin_channel_close(NULL));
    CHECK_OK(kin_channel_open(&channel, sizeof item, 0));
    CHECK_RC(kin_channel_send(channel, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_channel_send(channel, &item, KIN_NOW), KIN_FULL);
    CHECK_RC(kin_channel_send(channel, &item, KIN_FOREVER), -EDEADLK);
    CHECK_OK(kin_channel_close(channel));
    CHECK_OK(kin_loop_close());
}
