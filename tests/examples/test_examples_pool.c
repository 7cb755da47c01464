/* test_examples_pool.c: the examples of what tasks of a pool can ask for. */
#define _GNU_SOURCE
#include "example.h"

TEST(l10_needs)
{
    example_run("l10_needs");
    CHECK_EQ(example_lines, 3);
    CHECK_STR(example_line[0], "the cake costs 16");
    CHECK_STR(example_line[1], "task 5 (step): a task that it needs has failed");
    CHECK_STR(example_line[2], "task 4 (step): returned 7");
}

TEST(l11_cancel)
{
    example_run("l11_cancel");
    CHECK_EQ(example_lines, 3);
    CHECK_STR(example_line[0], "the endless task: cancelled");
    CHECK_STR(example_line[1], "the other one: 5");
    CHECK_STR(example_line[2], "once more: KIN_EOVER");
}

TEST(l12_stream)
{
    example_run("l12_stream");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "32 squared is 1024");
    CHECK_STR(example_line[1], "pulled at most 8 more: yes");
}

TEST(l13_callbacks)
{
    example_run("l13_callbacks");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "drained, and nothing called: 0 0");
    CHECK_STR(example_line[1], "polled: 15 5");
}

TEST(l14_threads)
{
    example_run("l14_threads");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "page 1, 6 bytes, one after the other it would have taken longer: yes");
    CHECK_STR(example_line[1], "task 9 (poll_for_ever): it took longer than its timeout");
}

TEST(l15_priority)
{
    example_run("l15_priority");
    CHECK_EQ(example_lines, 4);
    CHECK_STR(example_line[0], "priority 5");
    CHECK_STR(example_line[1], "priority 1");
    CHECK_STR(example_line[2], "priority 0");
    CHECK_STR(example_line[3], "priority -1");
}

TEST(l16_weight)
{
    example_run("l16_weight");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "at most 2 at a time");
    CHECK_STR(example_line[1], "beside the exclusive one: 0");
}

TEST(l17_poison)
{
    example_run("l17_poison");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "done: 19 of 20");
    CHECK_STR(example_line[1], "set aside: 13, after attempt 2: signal 9");
}

TEST(l18_resize)
{
    example_run("l18_resize");
    CHECK_EQ(example_lines, 3);
    CHECK_STR(example_line[0], "4 workers");
    CHECK_STR(example_line[1], "2 workers");
    CHECK_STR(example_line[2], "done: 100, deaths: 0");
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
    CHECK_EQ(example_lines, 1);
    CHECK_STR(example_line[0], "6 questions took a tenth of a second at least: yes");
}

TEST(l21_progress)
{
    example_run("l21_progress");
    CHECK_EQ(example_lines, 2);
    CHECK_STR(example_line[0], "told several times: yes; backwards: no; at the end: 100");
    CHECK_STR(example_line[1], "tasks: 2 of 2");
}
