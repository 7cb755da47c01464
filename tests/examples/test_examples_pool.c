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
