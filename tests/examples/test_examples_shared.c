/* test_examples_shared.c: the examples of what processes share do what they say; see test_examples.c
 * for how their lines are written. */
#define _GNU_SOURCE
#include "example.h"

TEST(m01_value_array)
{
    example_run("m01_value_array");
    example_expect("parent: squares 0 0 0 0, their sum 0, round 6",
                   "child: squares 0 1 4 9, their sum 14, round 7",
                   "parent: squares 0 1 4 9, their sum 14, round 7",
                   "the fifth of four: the index is beyond the end of the array");
}

TEST(c10_shared_memory)
{
    example_run("c10_shared_memory");
    example_expect("drawn in the block", "#....", ".#...", "..#..", "afterwards: No such file or directory");
}

TEST(join_family)
{
    example_run("join_family");
    example_expect("client: one is done", "client: two is done", "client: three is done",
                   "client: 3 jobs are done");
}
