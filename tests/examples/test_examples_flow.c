/* test_examples_flow.c: the programs of examples/ about threads and coroutines do what their rows of
 * the tutorials say. */
#define _GNU_SOURCE
#include "example.h"

#include "support/crew.h"

TEST(t01_thread)
{
    example_run("t01_thread");
    example_expect("thread MainThread is running", "thread LoopThread >>> 1", "thread LoopThread >>> 2",
                   "thread LoopThread >>> 3", "thread Thread-1 >>> 1", "thread Thread-1 >>> 2",
                   "thread Thread-1 >>> 3", "thread Thread-2 >>> 1", "thread Thread-2 >>> 2",
                   "thread Thread-2 >>> 3", "LoopThread has ended after 3 rounds", "thread MainThread ends");
}

TEST(t02_local)
{
    example_run("t02_local");
    CHECK_EQ(example_lines, 3);
    example_find("hello, Alice (in Thread-A)", 0);
    example_find("hello, Bob (in Thread-B)", 0);
    CHECK_EQ(example_find("hello, nobody (in MainThread)", 0), 2);
}

TEST(t03_daemon_threads)
{
    example_run("t03_daemon_threads");
    example_expect("3 threads are alive; main returns", "the ordinary thread ends after main");
}

/* How long it took with one worker, with one for each processor, and with many. */
static void read_times(const char *what, long *times)
{
    char format[100];
    int found = 0;
    snprintf(format, sizeof format, "%s: 16 tasks by %%*d threads took %%ld ms", what);
    for (int i = 0; i < example_lines && found < 3; i++)
        found += sscanf(example_line[i], format, &times[found]) == 1;
    CHECK_EQ(found, 3);
}

TEST(t05_how_many)
{
    long computing[3], waiting[3];
    do {
        example_run("t05_how_many");
        CHECK_EQ(example_lines, 6);
        read_times("computing", computing);
        read_times("waiting", waiting);
        CHECK_GE(waiting[0], 160);
        /* That 16 threads wait at the same time needs no processor to be free, unless none was for long. */
    } while (waiting[2] >= waiting[0]);
    NOTE("computing %ld %ld %ld ms, waiting %ld %ld %ld ms", computing[0], computing[1], computing[2],
         waiting[0], waiting[1], waiting[2]);
}

TEST(a01_generator)
{
    example_run("a01_generator");
    CHECK_EQ(example_lines, 16);
    for (int n = 1; n <= 5; n++) {
        char line[64];
        snprintf(line, sizeof line, "[PRODUCER] producing %d ...", n);
        CHECK_STR(example_line[n * 3 - 3], line);
        snprintf(line, sizeof line, "[CONSUMER] consuming %d ...", n);
        CHECK_STR(example_line[n * 3 - 2], line);
        CHECK_STR(example_line[n * 3 - 1], "[PRODUCER] consumer returns: 200 OK");
    }
    CHECK_STR(example_line[15], "[CONSUMER] done");
}

TEST(a02_ten_thousand)
{
    long took;
    if (!crew_sees_processes()) SKIP("ThreadSanitizer knows 8128 fibers at most");
    example_run("a02_ten_thousand");
    CHECK_EQ(example_lines, 3);
    CHECK_STR(example_line[0], "the reader has got \"hello\"");
    CHECK_STR(example_line[1], "the follower has waited for the reader");
    CHECK_EQ(sscanf(example_line[2], "10000 have slept 300 ms, all together in %ld ms", &took), 1);
    CHECK_GE(took, 300);
    /* One after the other it would be 50 minutes. */
    NOTE("%ld ms", took);
}

TEST(a03_echo_server)
{
    long most;
    example_run("a03_echo_server");
    CHECK_EQ(example_lines, 1);
    CHECK_EQ(
        sscanf(example_line[0], "1000 messages echoed, up to %ld connections at once, by one thread", &most),
        1);
    CHECK_GT(most, 1);
    CHECK_LE(most, 200);
}

TEST(d05_remote_pool)
{
    example_run("d05_remote_pool");
    example_expect("the sum of 1000 squares is 332833500", "a worker has ended with code 0",
                   "a worker has ended with code 0");
}
