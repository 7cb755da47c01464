/* test_examples_pool.c: the examples of what tasks of a pool can ask for. */
#define _GNU_SOURCE
#include "example.h"

TEST(l10_needs)
{
    example_run("l10_needs");
    example_expect("the cake costs 16", "task 5 (step): a task that it needs has failed",
                   "task 4 (step): returned 7");
}

TEST(l11_cancel)
{
    example_run("l11_cancel");
    example_expect("the endless task: cancelled", "the other one: 5", "once more: KIN_EOVER");
}

TEST(l12_stream)
{
    example_run("l12_stream");
    example_expect("32 squared is 1024", "pulled at most 8 more: yes");
}

TEST(l13_callbacks)
{
    example_run("l13_callbacks");
    example_expect("drained, and nothing called: 0 0", "polled: 15 5");
}

TEST(l14_threads)
{
    /* The eight wait at the same time, unless no processor was free for long. */
    do example_run("l14_threads");
    while (strstr(example_line[0], "would have taken longer: no") != NULL);
    example_expect("page 1, 6 bytes, one after the other it would have taken longer: yes",
                   "task 9 (poll_for_ever): it took longer than its timeout");
}

TEST(l15_priority)
{
    example_run("l15_priority");
    example_expect("priority 5", "priority 1", "priority 0", "priority -1");
}

TEST(l16_weight)
{
    example_run("l16_weight");
    example_expect("at most 2 at a time", "beside the exclusive one: 0");
}

TEST(l17_poison)
{
    example_run("l17_poison");
    example_expect("done: 19 of 20", "set aside: 13, after attempt 2: signal 9");
}

TEST(l18_resize)
{
    example_run("l18_resize");
    example_expect("4 workers", "2 workers", "done: 100, deaths: 0");
}

TEST(l19_starmap)
{
    example_run("l19_starmap");
    CHECK_EQ(example_lines, 4);
    CHECK_STR(example_line[0], "2 to the power of 10 is 1024");
    CHECK_STR(example_line[3], "0.5 to the power of 2 is 0.25");
}

TEST(l20_rate)
{
    example_run("l20_rate");
    example_expect("6 questions took a tenth of a second at least: yes");
}

TEST(l21_progress)
{
    /* The caller hears of it meanwhile, unless no processor was free for it. */
    do example_run("l21_progress");
    while (strstr(example_line[0], "several times: no") != NULL);
    example_expect("told several times: yes; backwards: no; at the end: 100", "tasks: 2 of 2");
}

TEST(l22_local_state)
{
    example_run("l22_local_state");
    example_expect("KIN_EINITIALIZER: EHOSTUNREACH", "worker 1, request 1", "worker 1, request 2",
                   "worker 1, request 3", "worker 2, request 1", "worker 2, request 2", "worker 2, request 3",
                   "worker 3, request 1");
}

TEST(l23_deadline)
{
    example_run("l23_deadline");
    example_expect("page 0 is there", "page 1 is there", "page 2: took too long", "page 3 is there",
                   "workers ended: 1");
}

TEST(l24_retries)
{
    example_run("l24_retries");
    example_expect("there in attempt 3", "there in attempt 4", "given up in attempt 3: ECONNREFUSED",
                   "there in attempt 4", "after pauses of 10, 20 and 40 ms: yes");
}

TEST(l25_affinity)
{
    example_run("l25_affinity");
    example_expect("on their customer's worker: 40 of 40, in order: 40");
}

TEST(l26_as_completed)
{
    example_run("l26_as_completed");
    example_expect("result {one}", "result {other}", "result 0", "the first has failed: yes",
                   "999 squared is 998001");
}

TEST(l27_nested)
{
    example_run("l27_nested");
    example_expect("fibonacci(8) is 21", "the sum of the squares below 10 is 285");
}

TEST(l28_placement)
{
    example_run("l28_placement");
    example_expect("processors: 1, files: 64", "done: 200, failed: 0, deaths: 0",
                   "one of so many has its times counted: yes");
}

TEST(l29_terminate)
{
    example_run("l29_terminate");
    example_expect("paused, and it is there within 20 ms: no", "drained, and it is there: yes",
                   "closed, joined within 20 ms: ETIMEDOUT", "what was in it has been run: yes",
                   "terminated: KIN_EFAILED", "because of that: yes");
}
