/* test_map_stop.c: time limits, Ctrl-C, and what is left when the tool is killed. */
#define _GNU_SOURCE
#include "cli/tool.h"

TEST(a_job_that_takes_too_long_is_ended)
{
    char expected[200];
    double seconds;
    struct ran ran = MAP_TIMEOUT(&seconds, 2, "[ {} = b ] && sleep 1000; echo {}", ":::", "a", "b", "c");
    CHECK_EQ(ran.code, 1);
    CHECK_LT(ran.seconds, 100);
    CHECK_STR(ran.out, "a\nc\n");
    snprintf(expected, sizeof expected,
             "kin map: job 2 (b) failed: timed out after %g s\nkin map: 1 of 3 jobs failed\n", seconds);
    CHECK_STR(ran.err, expected);
}

TEST(a_job_that_ignores_sigterm_is_killed_with_its_children)
{
    struct ran ran;
    char limit[32];
    double seconds = 0.15;
    /* Whatever the machine does, some time is enough to print that much. */
    do {
        seconds *= 2;
        snprintf(limit, sizeof limit, "%g", seconds);
        ran = MAP("", "--timeout", limit, "--grace", "200ms",
                  "trap '' TERM; echo {}; : >printed; sleep 1000 & while :; do wait; done", ":::", "a");
        CHECK_EQ(ran.code, 1);
        CHECK_LT(ran.seconds, 100);
    } while (unlink("printed") != 0);
    CHECK_STR(ran.out, "a\n");
}

TEST(a_stopped_job_is_ended_too)
{
    struct ran ran = MAP("", "--timeout", "300ms", ": {}; kill -STOP $$", ":::", "a");
    CHECK_EQ(ran.code, 1);
    CHECK_LT(ran.seconds, 100);
}

static bool exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

/* Jobs 1 and 3 are over, 2 and 4 run, 5 is never begun. */
static struct running start_five(const char *order)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct running running = START(null, "-j2", order,
                                   "case {} in 2|4) : >begun{}; trap 'echo ended; exit 1' TERM; "
                                   "while :; do sleep 1000 & wait; done;; esac; echo {}",
                                   ":::", "1", "2", "3", "4", "5");
    close(null);
    test_until(exists("begun2") && exists("begun4"));
    return running;
}

static void remove_begun(void)
{
    CHECK_EQ(unlink("begun2"), 0);
    CHECK_EQ(unlink("begun4"), 0);
    CHECK(!exists("begun5"));
}

static void check_ended_in_order(int signal, const char *order)
{
    struct running running = start_five(order);
    CHECK_EQ(kill(running.pid, signal), 0);
    struct ran ran = tool_wait(running);
    remove_begun();
    CHECK_EQ(ran.code, 128 + signal);
    CHECK_STR(ran.out, "1\n3\n");
    CHECK(strstr(ran.err, "job 2 (2) stopped: ended early\n") != NULL);
    CHECK(strstr(ran.err, "job 4 (4) stopped: ended early\n") != NULL);
    CHECK(strstr(ran.err, "(5)") == NULL);
}

TEST(an_interrupt_ends_the_run_in_order)
{
    check_ended_in_order(SIGINT, "-k");
}

TEST(so_does_sigterm)
{
    check_ended_in_order(SIGTERM, "--group");
}

TEST(an_ignored_interrupt_counts)
{
    /* A shell starts its background jobs with SIGINT ignored. */
    signal(SIGINT, SIG_IGN);
    check_ended_in_order(SIGINT, "--group");
}

TEST(a_second_interrupt_ends_it_at_once)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct running running =
        START(null, "--grace", "1h",
              ": {}; trap ': >ended' TERM; : >begun; while :; do sleep 1000 & wait; done", ":::", "1");
    close(null);
    test_until(exists("begun"));
    CHECK_EQ(kill(running.pid, SIGINT), 0);
    test_until(exists("ended"));
    CHECK_EQ(kill(running.pid, SIGINT), 0);
    struct ran ran = tool_wait(running);
    CHECK_EQ(unlink("begun"), 0);
    CHECK_EQ(unlink("ended"), 0);
    CHECK_EQ(ran.code, 130);
}

/* Whether a process has ended; that nobody has collected it yet does not count. */
static bool has_ended(int pid)
{
    char path[64];
    char state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return true;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
    fclose(file);
    return state == 'Z' || state == 'X';
}

TEST(jobs_end_with_a_tool_that_is_killed)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct running running = START(null, ": {}; exec sleep 1000", ":::", "1");
    close(null);
    /* The runner fails the case if the job is left over. */
    char path[64];
    char children[64] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)running.pid, (int)running.pid);
    int descriptor = -1;
    test_until((descriptor >= 0 || (descriptor = open(path, O_RDONLY | O_CLOEXEC)) >= 0) &&
               pread(descriptor, children, sizeof children - 1, 0) > 0);
    close(descriptor);
    int job = atoi(children);
    CHECK_GT(job, 0);
    CHECK_EQ(kill(running.pid, SIGKILL), 0);
    CHECK_EQ(tool_wait(running).code, 1000 + SIGKILL);
    test_until(has_ended(job));
}
