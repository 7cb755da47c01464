/* test_map_output.c: what is printed, in which order, and how it is told what failed. */
#define _GNU_SOURCE
#include "cli/tool.h"

#include <sys/ioctl.h>

TEST(a_closed_standard_output_is_an_error)
{
    char command[4200];
    snprintf(command, sizeof command, "%s map echo ::: a >&- 2>said", tool_path("KIN_TOOL", "/bin/kin"));
    int status = system(command);
    CHECK_EQ(WEXITSTATUS(status), 255);
    CHECK_EQ(system("grep -qi 'cannot write to standard output: bad file descriptor' said"), 0);
    CHECK_EQ(unlink("said"), 0);
}

TEST(order_of_the_inputs)
{
    /* Each job waits for the one after it, so that they end the other way round. */
    struct ran ran =
        MAP("", "-j4", "-k", "while [ {} -lt 4 ] && ! [ -e done$(({} + 1)) ]; do :; done; echo {}; : >done{}",
            ":::", "1", "2", "3", "4");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "1\n2\n3\n4\n");
    for (int i = 1; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "done%d", i);
        CHECK_EQ(unlink(name), 0);
    }
}

TEST(order_of_the_ends)
{
    struct ran ran =
        MAP("", "-j2", "if [ {} = 1 ]; then while ! [ -e go ]; do :; done; else : >go; fi; echo {}",
            ":::", "1", "2");
    CHECK_EQ(unlink("go"), 0);
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(ran.out_size, 4);
}

TEST(outputs_are_whole)
{
    /* Two jobs write lines in turn, each waiting for the other. */
    struct ran ran =
        MAP("", "-j2",
            "for i in 1 2 3; do echo {} $i; : >{}$i; while ! [ -e a$i ] || ! [ -e b$i ]; do :; done; done",
            ":::", "a", "b");
    for (int i = 1; i <= 3; i++) {
        char name[3] = {'a', (char)('0' + i)};
        CHECK_EQ(unlink(name), 0);
        name[0] = 'b';
        CHECK_EQ(unlink(name), 0);
    }
    const char *first =
        ran.out[0] == 'a' ? "a 1\na 2\na 3\nb 1\nb 2\nb 3\n" : "b 1\nb 2\nb 3\na 1\na 2\na 3\n";
    CHECK_STR(ran.out, first);
}

TEST(large_outputs_are_whole_too, .deadline = 120)
{
    struct ran ran = MAP("", "-k", "-j3", "head -c 5000000 /dev/zero | tr '\\0' {}", ":::", "a", "b", "c");
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(ran.out_size, 15000000);
    for (size_t i = 0; i < ran.out_size; i++)
        if (ran.out[i] != "abc"[i / 5000000]) FAIL("byte %zu is %c", i, ran.out[i]);
}

TEST(standard_error_follows)
{
    struct ran ran = MAP("", "-k", "echo out{}; echo err{} >&2", ":::", "1", "2");
    CHECK_STR(ran.out, "out1\nout2\n");
    CHECK_STR(ran.err, "err1\nerr2\n");
}

TEST(standard_input_of_jobs_is_empty)
{
    struct ran ran = MAP("a\nb\n", "-k", "echo {}; cat");
    CHECK_STR(ran.out, "a\nb\n");
}

TEST(a_process_left_behind_is_not_waited_for)
{
    struct ran ran = MAP("", "-k", "sleep 1000 & echo $! >{}; echo {}", ":::", "a", "b");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "a\nb\n");
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "a" : "b";
        FILE *file = fopen(name, "r");
        int pid = 0;
        CHECK(file != NULL);
        CHECK_EQ(fscanf(file, "%d", &pid), 1);
        fclose(file);
        CHECK_EQ(unlink(name), 0);
        CHECK_EQ(kill(pid, SIGKILL), 0);
    }
}

TEST(tags)
{
    CHECK_STR(MAP("", "-k", "--tag", "printf", "1\\n2\\n", ":::", "a", "b").out, "a\t1\na\t2\nb\t1\nb\t2\n");
    CHECK_STR(MAP("", "-k", "--tagstring", "<{/}>", "echo", ":::", "x/a").out, "<a>\tx/a\n");
}

TEST(exit_code_counts_failures)
{
    CHECK_EQ(MAP("", "true", ":::", "1").code, 0);
    struct ran ran = MAP("", "-k", "exit {}", ":::", "0", "3", "0", "1");
    CHECK_EQ(ran.code, 2);
    CHECK_STR(ran.err, "kin map: job 2 (3) failed: exit status 3\n"
                       "kin map: job 4 (1) failed: exit status 1\n"
                       "kin map: 2 of 4 jobs failed\n");
    char inputs[2 * 150 + 1];
    for (size_t i = 0; i < 150; i++) memcpy(inputs + 2 * i, "x\n", 3);
    inputs[200] = '\0';
    CHECK_EQ(MAP(inputs, "false").code, 100);
    inputs[200] = 'x';
    CHECK_EQ(MAP(inputs, "false").code, 101);
}

TEST(causes)
{
    struct ran ran = MAP("", ": {}; kill -SEGV $$", ":::", "a");
    CHECK_EQ(ran.code, 1);
    CHECK_EQ(strncmp(ran.err, "kin map: job 1 (a) failed: killed by SIGSEGV", 44), 0);
    ran = MAP("", "nowhere-to-be-found", ":::", "a", "b");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot run nowhere-to-be-found: no such file or directory\n");
    ran = MAP("", "./{}", ":::", "a\nb");
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.err, "kin map: job 1 (a\\x0ab) failed: cannot run ./a\\x0ab: no such file or directory\n"
                       "kin map: 1 of 1 jobs failed\n");
    ran = MAP("", "/etc", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot run /etc: is a directory\n");
}

TEST(retries)
{
    struct ran ran =
        MAP("", "--retries", "2", ": {}; echo >>tries; [ $(wc -l <tries) = 3 ] && echo well", ":::", "a");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "well\n");
    CHECK_STR(ran.err, "");
    CHECK_EQ(unlink("tries"), 0);
    ran = MAP("", "--retries", "2", ": {}; echo again; exit 4", ":::", "a");
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "again\n");
    CHECK_STR(ran.err, "kin map: job 1 (a) failed: exit status 4, attempt 3\nkin map: 1 of 1 jobs failed\n");
}

TEST(halt)
{
    struct ran ran = MAP("", "-j1", "--halt", "soon,fail=1", "echo {}; exit {}", ":::", "0", "7", "0");
    CHECK_EQ(ran.code, 7);
    CHECK_STR(ran.out, "0\n7\n");
    ran = MAP("", "-j1", "--halt", "soon,done=2", "echo", ":::", "a", "b", "c");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "a\nb\n");
    ran = MAP("", "-j2", "--halt", "now,success=1", "[ {} = b ] || exec sleep 1000", ":::", "a", "b", "c");
    CHECK_EQ(ran.code, 0);
    CHECK_LT(ran.seconds, 100);
}

TEST(json)
{
    struct ran ran = MAP("", "-k", "--json", "printf", "%b", ":::", "x\\n\\t\"\\\\", "\\xff", "\\xc3\\xa4");
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(tool_lines(ran.out), 3);
    CHECK(strstr(ran.out,
                 "\"seq\":1,\"input\":[\"x\\\\n\\\\t\\\"\\\\\\\\\"],\"command\":[\"printf\",\"%b\",") !=
          NULL);
    CHECK(strstr(ran.out, "\"stdout\":\"x\\n\\t\\\"\\\\\",\"stderr\":\"\"}\n") != NULL);
    CHECK(strstr(ran.out, "\"stdout_base64\":\"/w==\"") != NULL);
    CHECK(strstr(ran.out, "\"stdout\":\"\xc3\xa4\"") != NULL);
    ran = MAP("", "--json", ": {}; echo err >&2; exit 3", ":::", "a");
    CHECK_EQ(ran.code, 1);
    CHECK(strstr(ran.out,
                 "\"exit\":3,\"signal\":null,\"failure\":\"exit status 3\",\"attempts\":1,\"slot\":1") !=
          NULL);
    CHECK(strstr(ran.out, "\"stderr\":\"err\\n\"}") != NULL);
}

TEST(job_log)
{
    struct ran ran = MAP("", "-j1", "--joblog", "log", "echo {}; exit {}", ":::", "0", "5");
    CHECK_EQ(ran.code, 1);
    char line[256];
    FILE *log = fopen("log", "r");
    CHECK(log != NULL);
    CHECK(fgets(line, sizeof line, log) != NULL);
    CHECK_STR(line, "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n");
    for (int i = 0; i < 2; i++) {
        int sequence, received, exit_value, signal;
        double started, seconds;
        char command[100];
        CHECK(fgets(line, sizeof line, log) != NULL);
        CHECK_EQ(sscanf(line, "%d\t:\t%lf\t%lf\t0\t%d\t%d\t%d\t%99[^\n]", &sequence, &started, &seconds,
                        &received, &exit_value, &signal, command),
                 7);
        CHECK_EQ(sequence, i + 1);
        CHECK_EQ(received, 2);
        CHECK_EQ(exit_value, 5 * i);
        CHECK_EQ(signal, 0);
        CHECK_STR(command, i == 0 ? "echo 0; exit 0" : "echo 5; exit 5");
    }
    fclose(log);
    CHECK_EQ(unlink("log"), 0);
    ran = MAP("", "--joblog", "no/where", "echo", ":::", "0");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot open no/where: no such file or directory\n");
    ran = MAP("", "--joblog", "/dev/full", "echo", ":::", "0");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot write /dev/full: no space left on device\n");
}

TEST(verbose)
{
    CHECK_STR(MAP("", "-t", "echo", ":::", "a b").err, "kin map: echo 'a b'\n");
}

TEST(ungrouped)
{
    struct ran ran = MAP("", "-u", "-j1", "echo", ":::", "a", "b");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "a\nb\n");
}

/* ---- readers ------------------------------------------------------------------------------------- */

TEST(a_reader_that_goes_away_ends_the_run)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    pid_t tool = fork();
    CHECK_GE(tool, 0);
    if (tool == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(zero, 0);
        dup2(ends[1], 1);
        execl(tool_path("KIN_TOOL", "/bin/kin"), "kin", "map", "-0", "echo", "x", NULL);
        _exit(99);
    }
    close(ends[1]);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(zero);
    int status = test_collect(tool);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 128 + SIGPIPE);
}

/* While nobody reads what has been printed, time limits hold. */
TEST(a_reader_that_waits_holds_up_nothing_else)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    tool_write_file("inputs", "cat /dev/zero | head -c 1000000\nexec sleep 1000\n");
    pid_t tool = fork();
    CHECK_GE(tool, 0);
    if (tool == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        execl(tool_path("KIN_TOOL", "/bin/kin"), "kin", "map", "-j1", "--timeout", "1", "--joblog", "log",
              "-a", "inputs", NULL);
        _exit(99);
    }
    close(ends[1]);
    char text[1000] = "";
    /* The job log gets its line when the second job has been ended. */
    int log = -1;
    test_until((log >= 0 || (log = open("log", O_RDONLY | O_CLOEXEC)) >= 0) &&
               pread(log, text, sizeof text - 1, 0) > 0 && tool_lines(text) == 3);
    close(log);
    int waiting = 0;
    CHECK_EQ(ioctl(ends[0], FIONREAD, &waiting), 0);
    CHECK_GT(waiting, 0);
    close(ends[0]);
    test_collect(tool);
    CHECK_EQ(unlink("inputs"), 0);
    CHECK_EQ(unlink("log"), 0);
}
