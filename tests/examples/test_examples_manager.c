/* test_examples_manager.c: the programs of examples/ about managers do what their rows of the tutorials say. */
#define _GNU_SOURCE
#include "example.h"

TEST(d03_same_calls)
{
    example_run("d03_same_calls");
    example_expect("here: the sum of the squares of 1 to 6 is 91",
                   "there: the sum of the squares of 1 to 6 is 91");
}

TEST(m05_manager_pool)
{
    example_run("m05_manager_pool");
    example_expect("the squares are [1, 4, 9, 16]", "4 are known after a restart");
}
