/* test_support_runner.c: kin-test on cases that go wrong in known ways (planted/planted.c).
 *
 * kin-test, planted and quiet are looked for where the build puts them, from where this program
 * lies, and beside it.
 */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[1 << 18]; /* what kin-test wrote */
static char runner[PATH_MAX], planted[PATH_MAX], quiet[PATH_MAX];

static void find_program(char *path, const char *directory, const char *name, const char *const *places)
{
    struct stat status;
    for (size_t i = 0; places[i]; i++) {
        CHECK_LT(snprintf(path, PATH_MAX, "%s/%s/%s", directory, places[i], name), PATH_MAX);
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) return;
    }
    FAIL("there is no %s for %s", name, directory);
}

static void find_programs(void)
{
    char self[PATH_MAX] = "";
    if (test_sanitized()) SKIP("the runner has no sanitizer: it is the same in every build");
    CHECK_OK(readlink("/proc/self/exe", self, sizeof self - 1));
    const char *directory = dirname(self);
    find_program(runner, directory, "kin-test", (const char *const[]){"../bin", ".", NULL});
    find_program(planted, directory, "planted", (const char *const[]){"planted", ".", NULL});
    find_program(quiet, directory, "quiet", (const char *const[]){"planted", ".", NULL});
}

/* Starts kin-test with these words, its output going to the descriptor. */
static pid_t start_runner(int to, char **words)
{
    pid_t child = fork();
    CHECK_OK(child);
    if (child > 0) return child;
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    setenv("NO_COLOR", "1", 1);
    execv(runner, words);
    _exit(127);
}

/* Runs it to its end and returns its exit code. */
static int run_runner(const char *first, ...)
{
    char *words[16] = {runner, (char *)(uintptr_t)first};
    int count = 1, ends[2];
    va_list arguments;
    va_start(arguments, first);
    while (words[count] && count < 14) words[++count] = va_arg(arguments, char *);
    va_end(arguments);
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    pid_t child = start_runner(ends[1], words);
    close(ends[1]);
    size_t used = 0;
    for (ssize_t length; (length = read(ends[0], output + used, sizeof output - 1 - used)) > 0;) {
        used += (size_t)length;
    }
    output[used] = '\0';
    close(ends[0]);
    int status = test_collect(child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_output(const char *text)
{
    if (!strstr(output, text)) FAIL("\"%s\" is not in the output of kin-test:\n%s", text, output);
}

static void expect_last_line(const char *line)
{
    size_t length = strlen(output), expected = strlen(line);
    CHECK_GT(length, expected + 1);
    output[length - 1] = '\0';
    CHECK_STR(strrchr(output, '\n') + 1, line);
    output[length - 1] = '\n';
}

static void expect_failure(const char *name, const char *reason)
{
    char filter[100];
    find_programs();
    snprintf(filter, sizeof filter, "*/%s", name); /* the whole name */
    CHECK_EQ(run_runner("--filter", filter, planted, NULL), 1);
    expect_last_line("0 passed, 1 failed");
    expect_output("\nnot ok 1 - planted/");
    expect_output(reason);
}

static void expect_pass(const char *name)
{
    char filter[100];
    find_programs();
    snprintf(filter, sizeof filter, "*/%s", name); /* the whole name */
    CHECK_EQ(run_runner("--filter", filter, planted, NULL), 0);
    expect_last_line("1 passed, 0 failed");
    expect_output("\nok 1 - planted/");
}

/* ---- checks ------------------------------------------------------------------------------- */

TEST(a_pass_is_short_and_has_its_notes)
{
    expect_pass("passes");
    expect_output("\n# a figure: 42\n");
    CHECK(!strstr(output, "NOTE"));
}

TEST(a_failed_check_shows_both_values_and_the_output)
{
    expect_failure("fails_a_check", "-1 against 4294967295");
    expect_output("#   said before the check\n");
}

TEST(a_failed_code_has_a_name)
{
    expect_failure("fails_a_code", "ENOENT");
}

TEST(a_check_that_fails_in_a_child_ends_the_case)
{
    expect_failure("fails_in_a_child", "CHECK(!\"in the child\")");
}

TEST(a_check_that_fails_in_a_thread_ends_the_case)
{
    expect_failure("fails_in_a_thread", "in a thread");
}

TEST(a_crash_names_the_signal)
{
    expect_failure("crashes", "# killed by SIGSEGV\n");
}

/* As a shell starts what runs behind it. */
TEST(an_interrupt_that_was_ignored_counts_in_a_case)
{
    signal(SIGINT, SIG_IGN);
    expect_failure("interrupts_itself", "killed by SIGINT");
}

TEST(an_exit_code_is_a_failure)
{
    expect_failure("exits_with_code_3", "# exit code 3\n");
}

/* ---- leftovers ------------------------------------------------------------------------------ */

TEST(a_process_left_behind_is_found)
{
    expect_failure("leaves_a_process", "left 1 process behind");
}

TEST(a_daemon_left_behind_is_found)
{
    expect_failure("leaves_a_daemon", "planted-daemon");
}

TEST(a_process_on_its_way_out_is_not_left_behind)
{
    expect_pass("leaves_a_process_on_its_way_out");
}

TEST(a_descriptor_left_open_is_found)
{
    expect_failure("leaves_a_descriptor", "(/dev/null)");
}

TEST(one_pipe_is_the_lifeline_and_two_are_not)
{
    expect_failure("leaves_two_pipes", "(pipe:");
    expect_pass("keeps_what_a_family_keeps");
}

TEST(a_thread_left_running_is_found)
{
    expect_failure("leaves_a_thread", "1 thread");
}

TEST(a_file_left_is_found)
{
    expect_failure("leaves_a_file", "left 1 file in $TMPDIR: left-here");
}

TEST(a_socket_left_is_found)
{
    expect_failure("leaves_a_socket", "left 1 file in $TMPDIR: socket");
}

TEST(shared_memory_left_is_found)
{
    expect_failure("leaves_shared_memory", "left 1 file in /dev/shm: kin-planted");
    unlink("/dev/shm/kin-planted"); /* where the case could not have one of its own */
}

/* ---- time ------------------------------------------------------------------------------------- */

TEST(a_case_that_hangs_is_dumped_and_ended)
{
    /* The case has little time: on a busy machine it may be over before its child has begun. */
    do expect_failure("hangs", "timed out after");
    while (strstr(output, "(planted-child)") == NULL);
    if (access("/usr/bin/gdb", X_OK) == 0) expect_output("hang_in_here");
}

TEST(a_wait_in_vain_says_for_what)
{
    expect_failure("waits_in_vain", "waited in vain for getppid() == 0");
}

/* Everything that could hold the pipe open is gone when it ends, whoever was killed. */
TEST(when_the_runner_is_killed_nothing_stays)
{
    int ends[2], nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    char number[16], byte;
    char filter[] = "planted/hangs_for_long", option[] = "--filter";
    find_programs();
    CHECK_OK(pipe(ends));
    CHECK_OK(fcntl(ends[0], F_SETFD, FD_CLOEXEC));
    snprintf(number, sizeof number, "%d", ends[1]);
    setenv("KIN_PLANTED_DESCRIPTOR", number, 1);
    pid_t child = start_runner(nothing, (char *[]){runner, option, filter, planted, NULL});
    close(ends[1]);
    close(nothing);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    test_kill(child);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* ---- options and reports -------------------------------------------------------------------------- */

TEST(cases_are_reported_in_their_order)
{
    find_programs();
    CHECK_EQ(run_runner("-j4", quiet, NULL), 0);
    expect_last_line("2 passed, 0 failed, 1 skipped");
    expect_output("TAP version 13\n1..3\nok 1 - quiet/passes #");
    expect_output("\nok 2 - quiet/passes_alone #");
    expect_output("\nok 3 - quiet/skips # SKIP it is told to\n");
}

TEST(cases_can_be_repeated)
{
    find_programs();
    CHECK_EQ(run_runner("--repeat", "20", "-j", "3", quiet, NULL), 0);
    expect_last_line("40 passed, 0 failed, 20 skipped");
}

TEST(a_case_may_ask_to_be_run_again)
{
    int tries = open("tries", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK_EQ(write(tries, "x", 1), 1);
    long count = lseek(tries, 0, SEEK_END);
    close(tries);
    if (test_again()) return;
    CHECK_EQ(unlink("tries"), 0);
    CHECK_EQ(count, 3);
}

TEST(a_filter_may_be_a_pattern)
{
    find_programs();
    CHECK_EQ(run_runner("--filter", "*/passes*", quiet, planted, NULL), 0);
    expect_last_line("3 passed, 0 failed");
    CHECK_EQ(run_runner("--filter", "there is none", quiet, NULL), 1);
    expect_last_line("0 passed, 0 failed");
    expect_output("no case was chosen");
}

TEST(the_json_file_has_every_case)
{
    find_programs();
    CHECK_EQ(run_runner("--json", "result.json", "--filter", "*s_a_c[oh]*", planted, quiet, NULL), 1);
    FILE *file = fopen("result.json", "re");
    CHECK(file);
    size_t length = fread(output, 1, sizeof output - 1, file);
    output[length] = '\0';
    fclose(file);
    expect_output("\"passed\": 0, \"failed\": 2, \"skipped\": 0,");
    expect_output("{\"name\": \"planted/fails_a_check\", \"outcome\": \"failed\", \"seconds\": ");
    expect_output("\"reason\": \"planted.c:");
    expect_output("said before the check\\nFAILED: ");
    CHECK_OK(unlink("result.json"));
}

TEST(usage_errors_have_a_code_of_their_own)
{
    find_programs();
    CHECK_EQ(run_runner(NULL, NULL), 2);
    expect_output("no program given");
    CHECK_EQ(run_runner("--nonsense", quiet, NULL), 2);
    expect_output("there is no option --nonsense");
    CHECK_EQ(run_runner("-j", "0", quiet, NULL), 2);
    CHECK_EQ(run_runner("--repeat", NULL), 2);
    expect_output("--repeat needs a value");
    CHECK_EQ(run_runner("/does/not/exist", NULL), 2);
    expect_output("cannot find /does/not/exist: No such file or directory");
}
