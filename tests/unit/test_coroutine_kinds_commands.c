/* test_coroutine_kinds_commands.c: coroutines run commands from beginning to end, and end trees of processes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coroutine_kinds.h"

/* What the kinds wait for; each opens what it needs. */
static struct {
    int gate; /* commands end when they have read a byte from it */
    kin_subprocess *subprocess;
    kin_process *process;
    kin_event *ready, *never;
} at;

#define WAITS KIN_COMMAND("head", "-c", "1", "gate")

static void gate_open(void)
{
    CHECK_OK(mkfifo("gate", 0600));
    at.gate = open("gate", O_RDWR | O_CLOEXEC);
    CHECK_OK(at.gate);
}
static void gate_happen(void)
{
    CHECK_EQ(write(at.gate, "x", 1), 1);
}
static void gate_close(void)
{
    CHECK_OK(close(at.gate));
    CHECK_OK(unlink("gate"));
}

/* ---- from beginning to end: what is cancelled or late is killed ---------------------------------------------------- */

static int run(kin_deadline deadline)
{
    kin_completed done;
    int rc = kin_subprocess_run(&done, WAITS, &(kin_subprocess_options){.capture_output = true}, deadline);
    if (rc == 0) CHECK_STR(done.out, "x");
    if (rc < 0) CHECK_EQ(done.exit_code, -SIGKILL);
    kin_completed_free(&done);
    return rc;
}
/* With time to end in order. */
static int run_with_grace(kin_deadline deadline)
{
    kin_completed done;
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .grace_ms = 60000};
    int rc = kin_subprocess_run(&done, WAITS, &options, deadline);
    if (rc < 0) CHECK_EQ(done.exit_code, -SIGTERM);
    kin_completed_free(&done);
    return rc;
}
static int run_pipeline(kin_deadline deadline)
{
    kin_subprocess_options options = {.stdout_to = KIN_PIPE};
    kin_completed done;
    int rc = kin_subprocess_run_pipeline(&done, KIN_PIPELINE(WAITS, KIN_COMMAND("cat")), &options, deadline);
    kin_completed_free(&done);
    return rc;
}
static int call(kin_deadline deadline)
{
    int code = 1,
        rc = kin_subprocess_call(&code, KIN_COMMAND("sh", "-c", "head -c 1 gate > /dev/null"), deadline);
    return rc == 0 ? code : rc;
}
static int check_call(kin_deadline deadline)
{
    return kin_subprocess_check_call(KIN_COMMAND("sh", "-c", "head -c 1 gate > /dev/null"), deadline);
}
static int check_output(kin_deadline deadline)
{
    char *output = NULL;
    int rc = kin_subprocess_check_output(&output, NULL, WAITS, deadline);
    free(output);
    return rc;
}
static int getoutput(kin_deadline deadline)
{
    char *output = NULL;
    int rc = kin_subprocess_getoutput(&output, "head -c 1 gate", deadline);
    free(output);
    return rc;
}
static int getstatusoutput(kin_deadline deadline)
{
    char *output = NULL;
    int code, rc = kin_subprocess_getstatusoutput(&code, &output, "head -c 1 gate", deadline);
    free(output);
    return rc;
}

/* ---- step by step --------------------------------------------------------------------------------------------------- */

static void started_open(void)
{
    gate_open();
    CHECK_OK(kin_subprocess_start(&at.subprocess, WAITS, &(kin_subprocess_options){.stdout_to = KIN_PIPE}));
}
static int communicate(kin_deadline deadline)
{
    return kin_subprocess_communicate(at.subprocess, NULL, 0, deadline);
}
static int read_line(kin_deadline deadline)
{
    const char *line;
    long rc = kin_subprocess_read_line(at.subprocess, 1, &line, deadline);
    return rc == 1 ? 0 : (int)rc;
}
static void started_close(void)
{
    CHECK_OK(kin_subprocess_wait(at.subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_close(at.subprocess));
    gate_close();
}

/* ---- ending trees: the deadline is for the end in order; then, or when the wait is given up, comes SIGKILL ----------- */

static void stubborn_open(void)
{
    const char *line;
    kin_subprocess_options options = {.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .shell = true};
    CHECK_OK(
        kin_subprocess_start(&at.subprocess, KIN_COMMAND("trap '' TERM; echo ready; read line"), &options));
    CHECK_EQ(kin_subprocess_read_line(at.subprocess, 1, &line, KIN_FOREVER), 5);
}
static int end_tree(kin_deadline grace)
{
    int rc = kin_subprocess_end_tree(at.subprocess, grace);
    CHECK_EQ(kin_subprocess_poll(at.subprocess), 1);
    return rc;
}
static void stubborn_kill(void)
{
    CHECK_OK(kin_subprocess_kill(at.subprocess));
}
static void stubborn_close(void)
{
    CHECK_OK(kin_subprocess_end_tree(at.subprocess, KIN_NOW));
    CHECK_OK(kin_subprocess_close(at.subprocess));
}

static int ignore_sigterm(void *ready)
{
    signal(SIGTERM, SIG_IGN);
    CHECK_OK(kin_event_set(ready));
    return kin_event_wait(at.never, KIN_FOREVER);
}
static void stubborn_process_open(void)
{
    CHECK_OK(kin_event_open(&at.ready, NULL));
    CHECK_OK(kin_event_open(&at.never, NULL));
    CHECK_OK(kin_process_start(&at.process, ignore_sigterm, at.ready, NULL));
    CHECK_OK(kin_event_wait(at.ready, KIN_FOREVER));
}
static int process_end_tree(kin_deadline grace)
{
    int rc = kin_process_end_tree(at.process, grace);
    CHECK_EQ(kin_process_is_alive(at.process), 0);
    return rc;
}
static void stubborn_process_kill(void)
{
    CHECK_OK(kin_process_kill(at.process));
}
static void stubborn_process_close(void)
{
    CHECK_OK(kin_process_join(at.process, KIN_FOREVER));
    CHECK_OK(kin_process_close(at.process));
    CHECK_OK(kin_event_close(at.ready));
    CHECK_OK(kin_event_close(at.never));
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

const struct kind kinds[] = {
    {"run", gate_open, run, gate_happen, gate_close, -ETIMEDOUT},
    {"run, with grace", gate_open, run_with_grace, gate_happen, gate_close, -ETIMEDOUT},
    {"run_pipeline", gate_open, run_pipeline, gate_happen, gate_close, -ETIMEDOUT},
    {"call", gate_open, call, gate_happen, gate_close, -ETIMEDOUT},
    {"check_call", gate_open, check_call, gate_happen, gate_close, -ETIMEDOUT},
    {"check_output", gate_open, check_output, gate_happen, gate_close, -ETIMEDOUT},
    {"getoutput", gate_open, getoutput, gate_happen, gate_close, -ETIMEDOUT},
    {"getstatusoutput", gate_open, getstatusoutput, gate_happen, gate_close, -ETIMEDOUT},
    {"communicate", started_open, communicate, gate_happen, started_close, -ETIMEDOUT},
    {"read_line", started_open, read_line, gate_happen, started_close, -ETIMEDOUT},
    {"subprocess, end_tree", stubborn_open, end_tree, stubborn_kill, stubborn_close, 0},
    {"process, end_tree", stubborn_process_open, process_end_tree, stubborn_process_kill,
     stubborn_process_close, 0},
    {NULL, NULL, NULL, NULL, NULL, 0},
};

/* ---- a command that is given up has its time of grace --------------------------------------------------------------- */

static int run_slow_to_end(void *unused)
{
    const char *line = "trap 'sleep 0.2; exit 3' TERM; : > ready; while :; do sleep 1; done";
    kin_subprocess_options options = {.shell = true, .grace_ms = 60000};
    kin_completed done;
    (void)unused;
    CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND(line), &options, KIN_FOREVER), -ECANCELED);
    int code = done.exit_code;
    kin_completed_free(&done);
    return code;
}

TEST(a_cancelled_command_ends_in_order)
{
    kin_coroutine *running = NULL;
    int result = 0;
    CHECK_OK(kin_coroutine_start(&running, run_slow_to_end, NULL, NULL));
    while (access("ready", F_OK) < 0) CHECK_OK(kin_loop_turn(kin_in_ms(1)));
    CHECK_OK(kin_coroutine_cancel(running));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_coroutine_result(running, &result));
    CHECK_EQ(result, 3);
    CHECK_OK(kin_coroutine_close(running));
    CHECK_OK(kin_loop_close());
    CHECK_OK(unlink("ready"));
}
