/* quiet.c: a case that passes and one that is skipped, for the tests of the runner. */
#include "support/test.h"

TEST(passes)
{
    CHECK_STR("same", "same");
}

TEST(passes_alone, .alone = true, .deadline = 90)
{
    CHECK_MEM("same", "same", 4);
}

TEST(skips)
{
    SKIP("it is told to");
}
