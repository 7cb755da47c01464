/* test_subprocess.c: starting other programs, their ends, their streams. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/subprocess.h>

#define SHELL(line) KIN_COMMAND("/bin/sh", "-c", line)

static const kin_subprocess_options all_piped = {
    .stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .stderr_to = KIN_PIPE};

static kin_subprocess *start(const char *const *argv, const kin_subprocess_options *options)
{
    kin_subprocess *subprocess = NULL;
    int rc = kin_subprocess_start(&subprocess, argv, options);
    if (rc < 0) FAIL("%s", kin_subprocess_error());
    CHECK(subprocess != NULL);
    return subprocess;
}

static int finish(kin_subprocess *subprocess)
{
    int code = -1000;
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
    CHECK_OK(kin_subprocess_close(subprocess));
    return code;
}

/* ---- beginning and end ---------------------------------------------------------------------------- */

TEST(the_exit_code_is_told)
{
    CHECK_EQ(finish(start(KIN_COMMAND("true"), NULL)), 0);
    CHECK_EQ(finish(start(KIN_COMMAND("false"), NULL)), 1);
    CHECK_EQ(finish(start(SHELL("exit 77"), NULL)), 77);
    CHECK_EQ(finish(start(SHELL("kill -SEGV $$"), NULL)), -SIGSEGV);
}

TEST(a_running_command_is_seen_to_run)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    int code;
    CHECK_RC(kin_subprocess_poll(subprocess), 0);
    CHECK_RC(kin_subprocess_exit_code(subprocess, &code), -EBUSY);
    CHECK_RC(kin_subprocess_close(subprocess), -EBUSY);
    CHECK_RC(kin_subprocess_wait(subprocess, KIN_NOW), -ETIMEDOUT);
    kin_deadline deadline = kin_in_ms(5);
    CHECK_RC(kin_subprocess_wait(subprocess, deadline), -ETIMEDOUT);
    CHECK_GE(kin_clock(), deadline);
    CHECK_EQ(kill(kin_subprocess_pid(subprocess), 0), 0);
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_RC(kin_subprocess_poll(subprocess), 1);
    CHECK_OK(kin_subprocess_kill(subprocess));
    CHECK_EQ(finish(subprocess), 0);
}

TEST(signals_reach_the_command)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    CHECK_OK(kin_subprocess_terminate(subprocess));
    CHECK_EQ(finish(subprocess), -SIGTERM);
    subprocess = start(KIN_COMMAND("cat"), &all_piped);
    CHECK_OK(kin_subprocess_kill(subprocess));
    CHECK_EQ(finish(subprocess), -SIGKILL);
    subprocess = start(KIN_COMMAND("cat"), &all_piped);
    const int none[] = {1000, 99, SIGRTMAX + 1, -1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK_RC(kin_subprocess_send_signal(subprocess, none[i]), -EINVAL);
    CHECK_OK(kin_subprocess_send_signal(subprocess, SIGHUP));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK_RC(kin_subprocess_send_signal(subprocess, none[i]), -EINVAL);
    CHECK_OK(kin_subprocess_send_signal(subprocess, SIGRTMAX));
    CHECK_EQ(finish(subprocess), -SIGHUP);
}

TEST(the_sentinel_is_readable_at_the_end)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    struct pollfd item = {.fd = kin_subprocess_sentinel(subprocess), .events = POLLIN};
    CHECK_EQ(poll(&item, 1, 0), 0);
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(what_it_used_is_told)
{
    kin_subprocess *subprocess = start(SHELL("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), NULL);
    kin_exit_status status;
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_exit_status(subprocess, &status));
    CHECK_EQ(status.kind, KIN_EXITED);
    CHECK_GT(status.max_rss, 100000);
    CHECK_GT(status.user_ns + status.system_ns, 0);
    CHECK_RC(kin_subprocess_status_of(subprocess, 1, &status), -ERANGE);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(a_core_is_told_of)
{
    kin_exit_status status;
    kin_subprocess *subprocess = start(SHELL("ulimit -c 0; kill -QUIT $$"), NULL);
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_OK(kin_subprocess_exit_status(subprocess, &status));
    CHECK_EQ(status.kind, KIN_SIGNALED);
    CHECK_EQ(status.signal, SIGQUIT);
    CHECK(!status.core_dumped);
    CHECK_EQ(finish(subprocess), -SIGQUIT);
}

static volatile sig_atomic_t children_ended;

static void count_child(int signal)
{
    (void)signal;
    children_ended++;
}

TEST(the_programs_own_handler_stays)
{
    struct sigaction action = {.sa_handler = count_child}, after;
    sigaction(SIGCHLD, &action, NULL);
    CHECK_EQ(finish(start(KIN_COMMAND("true"), NULL)), 0);
    sigaction(SIGCHLD, NULL, &after);
    CHECK(after.sa_handler == count_child);
    /* The thread sanitizer keeps signals back until it finds the moment right. */
    if (!test_sanitized()) test_until(children_ended == 1);
}

TEST(children_that_nobody_waits_for_are_told_all_the_same)
{
    /* The kernel collects them; since 6.15 it remembers how they ended. */
    signal(SIGCHLD, SIG_IGN);
    int code = finish(start(SHELL("exit 5"), NULL));
    CHECK(code == 5 || code == 255);
    NOTE("exit code %d", code);
}

/* ---- what cannot be started ----------------------------------------------------------------------- */

static void fails(int expected, const char *words, const char *const *argv,
                  const kin_subprocess_options *options)
{
    kin_subprocess *subprocess = NULL;
    CHECK_RC(kin_subprocess_start(&subprocess, argv, options), expected);
    CHECK(subprocess == NULL);
    CHECK_STR(kin_subprocess_error(), words);
}

static void make_file(const char *name, const char *text, mode_t mode)
{
    int file = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
    CHECK_OK(file);
    CHECK_EQ(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

TEST(a_program_that_cannot_be_run_is_an_error_with_words)
{
    fails(-ENOENT, "cannot run nothing-of-this-name: no such file or directory",
          KIN_COMMAND("nothing-of-this-name"), NULL);
    fails(-ENOENT, "cannot run ./nothing: no such file or directory", KIN_COMMAND("./nothing"), NULL);
    fails(-ENOENT, "cannot run : no such file or directory", KIN_COMMAND(""), NULL);
    fails(-EACCES, "cannot run /: permission denied", KIN_COMMAND("/"), NULL);
    make_file("plain", "text", 0644);
    fails(-EACCES, "cannot run ./plain: permission denied", KIN_COMMAND("./plain"), NULL);
    make_file("lost", "#!/no/such/interpreter\n", 0755);
    fails(-ENOENT, "cannot run ./lost: its interpreter cannot be found: no such file or directory",
          KIN_COMMAND("./lost"), NULL);
    fails(-ENOENT, "cannot run true in the directory /no/such: no such file or directory",
          KIN_COMMAND("true"), &(kin_subprocess_options){.cwd = "/no/such"});
    fails(-ENOENT, "cannot open /no/such/file: no such file or directory", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdin_file = "/no/such/file"});
    fails(-ENOENT, "there is no user no-such-user", KIN_COMMAND("true"),
          &(kin_subprocess_options){.user = "no-such-user"});
    fails(-ENOENT, "there is no group no-such-group", KIN_COMMAND("true"),
          &(kin_subprocess_options){.extra_groups = (const char *const[]){"no-such-group", NULL}});
    fails(-EBADF, "cannot pass descriptor 999: bad file descriptor", KIN_COMMAND("true"),
          &(kin_subprocess_options){.pass_fds = &(int){999}, .pass_fd_count = 1});
    unlink("plain");
    unlink("lost");
    CHECK_EQ(finish(start(KIN_COMMAND("true"), NULL)), 0);
    CHECK_STR(kin_subprocess_error(), "");
}

TEST(bad_input_is_refused)
{
    kin_subprocess *subprocess = NULL;
    int code;
    CHECK_RC(kin_subprocess_start(NULL, KIN_COMMAND("true"), NULL), -EINVAL);
    CHECK_RC(kin_subprocess_start(&subprocess, NULL, NULL), -EINVAL);
    CHECK_RC(kin_subprocess_start(&subprocess, (const char *const[]){NULL}, NULL), -EINVAL);
    CHECK_STR(kin_subprocess_error(), "there is no command");
    fails(-EINVAL, "KIN_STDOUT is for stderr only", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdout_to = KIN_STDOUT});
    fails(-EINVAL, "stdin is -9, which is no stream", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdin_from = -9});
    fails(-EINVAL, "stdout has a file and something else as well", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdout_to = KIN_PIPE, .stdout_file = "x"});
    fails(-EINVAL, "there is input, and stdin is no pipe", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdin_from = KIN_DEVNULL, .input = "x", .input_size = 1});
    fails(-EINVAL, "grace_ms is negative", KIN_COMMAND("true"), &(kin_subprocess_options){.grace_ms = -4});
    fails(-EINVAL, "env_changes has \"=x\", which has no name", KIN_COMMAND("true"),
          &(kin_subprocess_options){.env_changes = (const char *const[]){"=x", NULL}});
    fails(-EBADF, "cannot set the streams of true: bad file descriptor", KIN_COMMAND("true"),
          &(kin_subprocess_options){.stdout_to = 999});
    CHECK_RC(kin_subprocess_wait(NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_subprocess_poll(NULL), -EINVAL);
    CHECK_RC(kin_subprocess_pid(NULL), -EINVAL);
    CHECK_RC(kin_subprocess_communicate(NULL, NULL, 0, KIN_NOW), -EINVAL);
    CHECK_OK(kin_subprocess_close(NULL));
    CHECK(kin_subprocess_output(NULL, 1, NULL) == NULL);
    subprocess = start(KIN_COMMAND("true"), NULL);
    CHECK_RC(kin_subprocess_exit_code(subprocess, NULL), -EINVAL);
    CHECK_RC((int)kin_subprocess_write(subprocess, "x", 1, KIN_NOW), -EBADF);
    CHECK_RC((int)kin_subprocess_read(subprocess, 1, &code, 1, KIN_NOW), -EBADF);
    CHECK_RC((int)kin_subprocess_read(subprocess, 7, &code, 1, KIN_NOW), -EBADF);
    CHECK_RC(kin_subprocess_descriptor(subprocess, 1), -EBADF);
    CHECK_RC(kin_subprocess_take(subprocess, -1), -EBADF);
    CHECK_EQ(finish(subprocess), 0);
}

static void use_parents_handle(void *subprocess)
{
    CHECK_RC(kin_subprocess_wait(subprocess, KIN_NOW), KIN_ENOTCHILD);
    CHECK_RC(kin_subprocess_kill(subprocess), KIN_ENOTCHILD);
    CHECK_RC(kin_subprocess_close(subprocess), KIN_ENOTCHILD);
}

TEST(only_who_started_a_command_may_use_its_handle)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    CHECK_EQ(test_collect(test_child(use_parents_handle, subprocess)), 0);
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    CHECK_EQ(finish(subprocess), 0);
}

TEST(a_script_without_a_first_line_is_one_for_the_shell)
{
    make_file("script", "echo \"$0 $1 $#\"; exit 9\n", 0755);
    kin_completed done;
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("./script", "one", "two"),
                                &(kin_subprocess_options){.capture_output = true}, KIN_FOREVER));
    CHECK_STR(done.out, "./script one 2\n");
    CHECK_EQ(done.exit_code, 9);
    kin_completed_free(&done);
    unlink("script");
}

/* ---- communicate ------------------------------------------------------------------------------------ */

static void check_output(kin_subprocess *subprocess, int stream, const char *expected)
{
    size_t size;
    const char *output = kin_subprocess_output(subprocess, stream, &size);
    CHECK(output != NULL);
    CHECK_STR(output, expected);
    CHECK_EQ(size, strlen(expected));
}

TEST(communicate_gives_input_and_collects_both_outputs)
{
    kin_subprocess *subprocess = start(SHELL("cat; echo oops >&2; exit 3"), &all_piped);
    CHECK_OK(kin_subprocess_communicate(subprocess, "hello\n", 6, KIN_FOREVER));
    check_output(subprocess, 1, "hello\n");
    check_output(subprocess, 2, "oops\n");
    CHECK_EQ(finish(subprocess), 3);
}

static char *pattern(size_t size)
{
    char *data = malloc(size);
    CHECK(data != NULL);
    for (size_t i = 0; i < size; i++) data[i] = (char)(i * 2654435761u >> 13);
    return data;
}

TEST(large_input_and_outputs_do_not_deadlock)
{
    size_t size = 5000001, got;
    char *data = pattern(size);
    kin_subprocess *subprocess = start(KIN_COMMAND("tee", "/dev/stderr"), &all_piped);
    CHECK_OK(kin_subprocess_communicate(subprocess, data, size, KIN_FOREVER));
    for (int stream = 1; stream <= 2; stream++) {
        const char *output = kin_subprocess_output(subprocess, stream, &got);
        CHECK_EQ(got, size);
        CHECK_MEM(output, data, size);
    }
    CHECK_EQ(finish(subprocess), 0);
    free(data);
}

TEST(communicate_can_be_repeated_without_loss)
{
    size_t size = 3000000, got;
    char *data = pattern(size);
    int timeouts = 0, rc;
    kin_subprocess *subprocess;
    int gate[2];
    CHECK_OK(pipe2(gate, O_CLOEXEC));
    char line[64];
    snprintf(line, sizeof line, "read go <&%d; cat", gate[0]);
    subprocess =
        start(KIN_COMMAND("bash", "-c", line),
              &(kin_subprocess_options){
                  .stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE, .pass_fds = &gate[0], .pass_fd_count = 1});
    while ((rc = kin_subprocess_communicate(subprocess, data, size, kin_in_ms(1))) == -ETIMEDOUT) {
        if (timeouts++ == 3) CHECK_EQ(write(gate[1], "go\n", 3), 3);
        CHECK_RC(kin_subprocess_communicate(subprocess, data, size - 1, kin_in_ms(1)), -EINVAL);
    }
    CHECK_OK(rc);
    CHECK_GT(timeouts, 3);
    const char *output = kin_subprocess_output(subprocess, 1, &got);
    CHECK_EQ(got, size);
    CHECK_MEM(output, data, size);
    CHECK_EQ(finish(subprocess), 0);
    close(gate[0]);
    close(gate[1]);
    free(data);
}

TEST(a_command_that_reads_nothing_is_no_error)
{
    size_t size = 1000000;
    char *data = pattern(size);
    kin_subprocess *subprocess = start(SHELL("exec 0<&-; echo done"), &all_piped);
    CHECK_OK(kin_subprocess_communicate(subprocess, data, size, KIN_FOREVER));
    check_output(subprocess, 1, "done\n");
    CHECK_EQ(finish(subprocess), 0);
    free(data);
}

TEST(waiting_reads_the_pipes)
{
    /* More than a pipe holds. */
    kin_subprocess *subprocess = start(SHELL("head -c 300000 /dev/zero; echo end >&2"), &all_piped);
    size_t size;
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK(kin_subprocess_output(subprocess, 1, &size) != NULL);
    CHECK_EQ(size, 300000);
    check_output(subprocess, 2, "end\n");
    CHECK_EQ(finish(subprocess), 0);
}

TEST(a_process_left_behind_holds_communicate_or_not)
{
    kin_subprocess_options options = all_piped;
    kin_subprocess *subprocess = start(SHELL("echo here; sleep 1000 & exit 0"), &options);
    test_until(kin_subprocess_poll(subprocess) == 1);
    CHECK_RC(kin_subprocess_communicate(subprocess, NULL, 0, kin_in_ms(30)), -ETIMEDOUT);
    CHECK_OK(kin_subprocess_end_tree(subprocess, KIN_NOW));
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    check_output(subprocess, 1, "here\n");
    CHECK_EQ(finish(subprocess), 0);
    options.stop_at_exit = true;
    subprocess = start(SHELL("echo here; sleep 1000 & exit 0"), &options);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    check_output(subprocess, 1, "here\n");
    CHECK_OK(kin_subprocess_end_tree(subprocess, KIN_NOW));
    CHECK_EQ(finish(subprocess), 0);
}

/* ---- reading and writing ---------------------------------------------------------------------------- */

TEST(a_conversation_by_lines)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    const char *line;
    CHECK_RC((int)kin_subprocess_read_line(subprocess, 1, &line, KIN_NOW), -ETIMEDOUT);
    CHECK_EQ(kin_subprocess_write(subprocess, "one\ntwo\n\nhalf", 13, KIN_FOREVER), 13);
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 3);
    CHECK_STR(line, "one");
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 3);
    CHECK_STR(line, "two");
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 0);
    CHECK_STR(line, "");
    CHECK_RC((int)kin_subprocess_read_line(subprocess, 1, &line, kin_in_ms(10)), -ETIMEDOUT);
    check_output(subprocess, 1, "half");
    CHECK_EQ(kin_subprocess_write(subprocess, "-way", 4, KIN_FOREVER), 4);
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    CHECK_RC((int)kin_subprocess_write(subprocess, "x", 1, KIN_FOREVER), -EBADF);
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 8);
    CHECK_STR(line, "half-way");
    CHECK_RC((int)kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC((int)kin_subprocess_read_line(subprocess, 2, &line, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(reading_in_pieces_and_the_rest_at_once)
{
    kin_subprocess *subprocess = start(SHELL("printf 0123456789; echo aside >&2"), &all_piped);
    char bytes[4];
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, 4, KIN_FOREVER), 4);
    CHECK_MEM(bytes, "0123", 4);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    check_output(subprocess, 1, "456789");
    check_output(subprocess, 2, "aside\n");
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, 4, KIN_NOW), 4);
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, 4, KIN_NOW), 2);
    CHECK_EQ(kin_subprocess_read(subprocess, 1, bytes, 4, KIN_NOW), 0);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(the_other_stream_is_collected_while_one_is_read)
{
    kin_subprocess *subprocess = start(SHELL("head -c 400000 /dev/zero >&2; echo out"), &all_piped);
    const char *line;
    size_t size;
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 3);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    kin_subprocess_output(subprocess, 2, &size);
    CHECK_EQ(size, 400000);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(writing_never_deadlocks_and_never_raises_a_signal)
{
    size_t size = 2000000, got;
    char *data = pattern(size);
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &all_piped);
    CHECK_EQ(kin_subprocess_write(subprocess, data, size, KIN_FOREVER), (long)size);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    CHECK_MEM(kin_subprocess_output(subprocess, 1, &got), data, size);
    CHECK_EQ(finish(subprocess), 0);
    subprocess = start(KIN_COMMAND("sleep", "1000"), &all_piped);
    long taken = kin_subprocess_write(subprocess, data, size, kin_in_ms(10));
    CHECK_GE(taken, 4096);
    CHECK_LT(taken, (long)size);
    CHECK_RC((int)kin_subprocess_write(subprocess, data, size, KIN_NOW), -ETIMEDOUT);
    CHECK_OK(kin_subprocess_kill(subprocess));
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_RC((int)kin_subprocess_write(subprocess, data, size, KIN_FOREVER), -EPIPE);
    CHECK_EQ(finish(subprocess), -SIGKILL);
    free(data);
}

TEST(a_taken_stream_is_the_callers)
{
    kin_subprocess *subprocess = start(KIN_COMMAND("echo", "taken"), &all_piped);
    int descriptor = kin_subprocess_descriptor(subprocess, 1);
    CHECK_EQ(kin_subprocess_take(subprocess, 1), descriptor);
    CHECK_RC(kin_subprocess_take(subprocess, 1), -EBADF);
    CHECK_RC(kin_subprocess_descriptor(subprocess, 1), -EBADF);
    CHECK(kin_subprocess_output(subprocess, 1, NULL) == NULL);
    CHECK_EQ(finish(subprocess), 0);
    FILE *file = fdopen(descriptor, "r");
    char text[16] = "";
    CHECK(fgets(text, sizeof text, file) != NULL);
    CHECK_STR(text, "taken\n");
    fclose(file);
}

TEST(text_has_one_kind_of_newline)
{
    kin_completed done;
    kin_subprocess_options options = {.capture_output = true, .text = true};
    CHECK_OK(
        kin_subprocess_run(&done, KIN_COMMAND("printf", "a\\r\\nb\\rc\\n\\r\\n\\r"), &options, KIN_FOREVER));
    CHECK_STR(done.out, "a\nb\nc\n\n\n");
    kin_completed_free(&done);
    options.text = false;
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("printf", "a\\r\\n"), &options, KIN_FOREVER));
    CHECK_STR(done.out, "a\r\n");
    kin_completed_free(&done);
    /* Also when the two bytes come apart. */
    options.text = true;
    options.stdin_from = KIN_PIPE;
    options.stdout_to = KIN_PIPE;
    options.capture_output = false;
    kin_subprocess *subprocess = start(KIN_COMMAND("cat"), &options);
    const char *line;
    CHECK_EQ(kin_subprocess_write(subprocess, "x\r", 2, KIN_FOREVER), 2);
    CHECK_EQ(kin_subprocess_read_line(subprocess, 1, &line, KIN_FOREVER), 1);
    CHECK_EQ(kin_subprocess_write(subprocess, "\ny", 2, KIN_FOREVER), 2);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    check_output(subprocess, 1, "y");
    CHECK_EQ(finish(subprocess), 0);
}

/* ---- pipelines ---------------------------------------------------------------------------------------- */

TEST(commands_are_joined_by_pipes)
{
    kin_completed done;
    kin_subprocess_options options = {.capture_output = true, .input = "b\na\nb\n", .input_size = 6};
    CHECK_OK(kin_subprocess_run_pipeline(
        &done, KIN_PIPELINE(KIN_COMMAND("sort"), KIN_COMMAND("uniq"), KIN_COMMAND("wc", "-l")), &options,
        KIN_FOREVER));
    CHECK_EQ(atoi(done.out), 2);
    CHECK_EQ(done.exit_code, 0);
    kin_completed_free(&done);
}

TEST(each_command_of_a_pipeline_has_its_status)
{
    kin_subprocess *subprocess = NULL;
    kin_exit_status status;
    CHECK_OK(kin_subprocess_start_pipeline(
        &subprocess, KIN_PIPELINE(KIN_COMMAND("yes"), SHELL("exit 4"), KIN_COMMAND("cat")), &all_piped));
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    CHECK_OK(kin_subprocess_status_of(subprocess, 0, &status));
    CHECK_EQ(status.signal, SIGPIPE);
    CHECK_OK(kin_subprocess_status_of(subprocess, 1, &status));
    CHECK_EQ(status.code, 4);
    CHECK_EQ(finish(subprocess), 0);
}

TEST(options_are_for_each_command_of_a_pipeline)
{
    int passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_OK(passed);
    char line[160];
    snprintf(line, sizeof line,
             "cat; pwd; echo $KIN_TEST; [ -e /proc/self/fd/%d ] && echo passed; echo aside >&2", passed);
    kin_subprocess_options options = {.capture_output = true,
                                      .stdin_from = KIN_DEVNULL,
                                      .cwd = "/usr",
                                      .env_changes = (const char *const[]){"KIN_TEST=set", NULL},
                                      .pass_fds = &passed,
                                      .pass_fd_count = 1};
    kin_completed done;
    CHECK_OK(
        kin_subprocess_run_pipeline(&done, KIN_PIPELINE(SHELL(line), SHELL(line)), &options, KIN_FOREVER));
    CHECK_STR(done.out, "/usr\nset\npassed\n/usr\nset\npassed\n");
    CHECK_STR(done.err, "aside\naside\n");
    kin_completed_free(&done);
    CHECK_OK(close(passed));
}

TEST(a_pipeline_of_large_streams_does_not_deadlock)
{
    size_t size = 400000;
    char *data = pattern(size);
    const char *const *tee = KIN_COMMAND("tee", "/dev/stderr");
    kin_subprocess_options options = {.capture_output = true, .input = data, .input_size = size};
    kin_completed done;
    CHECK_OK(kin_subprocess_run_pipeline(&done, KIN_PIPELINE(tee, tee, tee), &options, KIN_FOREVER));
    CHECK_EQ(done.out_size, size);
    CHECK_MEM(done.out, data, size);
    CHECK_EQ(done.err_size, 3 * size);
    kin_completed_free(&done);
    free(data);
}

TEST(a_pipeline_that_cannot_be_started_leaves_nothing)
{
    kin_subprocess *subprocess = NULL;
    CHECK_RC(kin_subprocess_start_pipeline(
                 &subprocess, KIN_PIPELINE(KIN_COMMAND("sleep", "1000"), KIN_COMMAND("./nothing")), NULL),
             -ENOENT);
    CHECK_STR(kin_subprocess_error(), "cannot run ./nothing: no such file or directory");
    CHECK(subprocess == NULL);
}
