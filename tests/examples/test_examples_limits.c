/* test_examples_limits.c: the examples of limits and logs, run. */
#define _GNU_SOURCE
#include "example.h"

#include <string.h>

TEST(p16_limits)
{
    example_run("p16_limits");
    CHECK_EQ(example_lines, 2);
    const char *killed = "filler: killed by SIGXFSZ: limit of file size (1048576 bytes), after ";
    CHECK_EQ(strncmp(example_line[0], killed, strlen(killed)), 0);
    const char *eater = "eater: killed by SIGKILL: out of memory (memory.max 64 MiB), after ";
    if (strncmp(example_line[1], "eater: not started: ", 20) != 0)
        CHECK_EQ(strncmp(example_line[1], eater, strlen(eater)), 0);
}

TEST(p17_log)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer has a thread of its own, of which the log warns");
#endif
    example_run("p17_log");
    example_expect("Process-1     begins", "Process-2     begins", "Process-2   ! has nothing to do",
                   "MainProcess   2 children have ended");
}

TEST(o01_inspect)
{
    example_run("o01_inspect");
    example_expect("the shop waits for a message of \"receipts\", in which there are 0",
                   "the seller waits for the lock \"till\", which the shop has");
}
