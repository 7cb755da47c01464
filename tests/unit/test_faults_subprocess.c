/* test_faults_subprocess.c: every call of the system that a start or a run makes fails once, for each
 * of them: it says so and leaves nothing behind, no process either. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/subprocess.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static const kin_subprocess_options piped = {
    .stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .stderr_to = KIN_PIPE};

static bool says_why(int rc)
{
    return rc >= 0 || kin_subprocess_error()[0] != '\0';
}

static int start(void *context)
{
    kin_subprocess_options options = piped;
    options.env_changes = LIST("A=b");
    options.end_with_parent = true;
    options.pass_fds = &(int){2};
    options.pass_fd_count = 1;
    int rc = kin_subprocess_start(context, KIN_COMMAND("cat"), &options);
    CHECK(says_why(rc));
    return rc;
}

static int start_forked(void *context)
{
    kin_subprocess_options options = {.stdin_from = KIN_DEVNULL, .stdout_file = "/dev/null", .group = "0"};
    options.extra_groups = (const char *const[]){NULL};
    int rc = kin_subprocess_start(context, KIN_COMMAND("cat"), &options);
    CHECK(says_why(rc));
    return rc;
}

static int start_pipeline(void *context)
{
    int rc = kin_subprocess_start_pipeline(
        context, KIN_PIPELINE(KIN_COMMAND("cat"), KIN_COMMAND("cat"), KIN_COMMAND("cat")), &piped);
    CHECK(says_why(rc));
    return rc;
}

static int stop(void *context)
{
    kin_subprocess *subprocess = *(kin_subprocess **)context;
    CHECK_OK(kin_subprocess_kill(subprocess));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    return kin_subprocess_close(subprocess);
}

static void start_under_faults(int (*make)(void *context))
{
    kin_subprocess *subprocess = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = stop, .context = &subprocess});
    CHECK_GT(report.failures, 5);
}

TEST(start_under_faults_leaves_nothing)
{
    start_under_faults(start);
}

TEST(a_forked_start_under_faults_leaves_nothing)
{
    if (getuid() != 0) SKIP("only root may change its groups");
    start_under_faults(start_forked);
}

TEST(a_pipeline_under_faults_leaves_nothing)
{
    start_under_faults(start_pipeline);
}

/* The command may have ended with a signal because its run was given up. */
static int run(void *context)
{
    kin_completed *done = context;
    kin_subprocess_options options = {.capture_output = true, .input = "some", .input_size = 4};
    int rc = kin_subprocess_run(done, KIN_COMMAND("cat"), &options, KIN_FOREVER);
    CHECK(says_why(rc));
    if (rc == 0) CHECK_STR(done->out, "some");
    if (rc < 0) kin_completed_free(done);
    return rc;
}

static int free_completed(void *context)
{
    kin_completed_free(context);
    return 0;
}

static bool accepts(void *context, enum kin__fault kind, int code)
{
    (void)context;
    return kind == KIN__FAULT_MEMORY && code == -ENOMEM;
}

TEST(run_under_faults_leaves_nothing)
{
    /* What libc's functions for directories and files take from a sanitizer's heap is not given back. */
    if (test_sanitized()) SKIP("the sanitizer's own memory cannot be told from what is left behind");
    kin_completed done = {.out = NULL};
    struct faults_report report =
        faults(&(struct faults){.make = run, .unmake = free_completed, .accepts = accepts, .context = &done});
    CHECK_GT(report.failures, 5);
}

TEST(a_tree_is_ended_in_spite_of_faults)
{
    for (unsigned n = 1; n < 60; n++) {
        kin_subprocess *subprocess = NULL;
        test_context("call %u", n);
        CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("sleep", "1000"), NULL));
        kin__os_fault_set(KIN__FAULT_KINDS, n, ENOMEM, true);
        kin_subprocess_end_tree(subprocess, KIN_NOW);
        bool happened = kin__os_fault_calls() >= n;
        kin__os_fault_set(KIN__FAULT_KINDS, 0, 0, false);
        /* Whatever could not be looked at, the command itself is ended. */
        CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
        CHECK_OK(kin_subprocess_close(subprocess));
        if (!happened) return;
    }
}
