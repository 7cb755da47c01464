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

TEST(m06_shareable_list)
{
    example_run("m06_shareable_list");
    example_expect("child: größe, 42, true", "parent: größe, 43, true",
                   "bytes that Python would cut: Invalid or incomplete multibyte or wide character");
}

TEST(y13_rlock)
{
    example_run("y13_rlock");
    example_expect("held 2 times", "once more: Operation not permitted", "0 and 3000");
}

TEST(y14_bounded)
{
    example_run("y14_bounded");
    example_expect("parent: took one, 1 left", "parent: one too many: released more often than acquired",
                   "child: took all, 0 left", "parent: took one of those that came back, 1 left");
}
