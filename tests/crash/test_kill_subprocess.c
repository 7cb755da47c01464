/* test_kill_subprocess.c: the process that runs a command is killed, at every system call of it. */
#define _GNU_SOURCE
#include "line.h"
#include "support/stepkill.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/subprocess.h>

/* ---- a command that is to end with its parent --------------------------------------------------------- */

static void run_until_end(void *unused)
{
    (void)unused;
    kin_subprocess *subprocess = NULL;
    kin_subprocess_options options = {
        .end_with_parent = true, .stdin_from = KIN_PIPE, .pass_fds = &line[1], .pass_fd_count = 1};
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("/bin/sleep", "1000"), &options));
    CHECK_OK(kin_subprocess_kill(subprocess));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(subprocess));
}

TEST(a_command_ends_with_its_parent_wherever_that_is_killed, .deadline = 120)
{
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .setup = line_make,
                                                                .operation = run_until_end,
                                                                .survive = line_see_it_ended,
                                                                .forks = true});
    CHECK_GT(report.points, 20);
    NOTE("%ld points, %.1f s", report.points, report.seconds);
}

/* ---- a child that dies on its way to the program --------------------------------------------------------- */

static int die(void *unused)
{
    (void)unused;
    return raise(SIGKILL);
}

TEST(a_child_that_dies_before_its_program_is_a_command_that_died)
{
    kin_subprocess *subprocess = NULL;
    int code = 0;
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("/bin/true"),
                                  &(kin_subprocess_options){.before_exec = die}));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
    CHECK_EQ(code, -SIGKILL);
    CHECK_OK(kin_subprocess_close(subprocess));
}

/* ---- at random ----------------------------------------------------------------------------------------- */

/* Whoever is killed, first, last or in the middle of a pipeline: nobody waits for ever, and what is
 * collected is whole lines up to where it was cut. */
TEST(commands_of_a_pipeline_are_killed_at_random)
{
    unsigned seed = (unsigned)getpid();
    NOTE("seed %u", seed);
    for (int round = 0; round < (test_sanitized() ? 20 : 100); round++) {
        kin_subprocess *subprocess = NULL;
        const char *line_read;
        test_context("round %d", round);
        CHECK_OK(kin_subprocess_start_pipeline(
            &subprocess, KIN_PIPELINE(KIN_COMMAND("yes"), KIN_COMMAND("cat"), KIN_COMMAND("cat")),
            &(kin_subprocess_options){.stdout_to = KIN_PIPE}));
        int count = rand_r(&seed) % 2000;
        for (int i = 0; i < count; i++)
            CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line_read, KIN_FOREVER), 1);
        /* The pid of the last; the others were started before it. */
        if (rand_r(&seed) % 2 == 0)
            CHECK_OK(kill(kin_subprocess_pid(subprocess), SIGKILL));
        else
            CHECK_OK(kin_subprocess_kill(subprocess));
        CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
        CHECK_OK(kin_subprocess_close(subprocess));
    }
}
