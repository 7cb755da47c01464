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
    example_run("l14_threads");
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
    example_run("l21_progress");
    example_expect("told several times: yes; backwards: no; at the end: 100", "tasks: 2 of 2");
}
