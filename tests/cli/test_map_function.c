/* test_map_function.c: functions of shared objects, in the workers of a pool. */
#define _GNU_SOURCE
#include "cli/tool.h"

/* Compiles functions/behave.c, which lies beside this file, into ./behave.so. */
static void build_library(void)
{
    char include[4200];
    if (system("cc --version >compiler 2>&1") != 0) {
        unlink("compiler");
        SKIP("there is no C compiler");
    }
    CHECK_EQ(unlink("compiler"), 0);
    const char *source = test_source("tests/cli/functions/behave.c");
    snprintf(include, sizeof include, "-I%s", test_source("include"));
    pid_t compiler = fork();
    if (compiler == 0) {
        execlp("cc", "cc", "-shared", "-fPIC", include, "-o", "behave.so", source, NULL);
        _exit(99);
    }
    CHECK_EQ(test_collect(compiler), 0);
}

#define BEHAVE "./behave.so:behave"

static void remove_library(void)
{
    CHECK_EQ(unlink("behave.so"), 0);
}

static char *numbers(int count)
{
    static char text[200000];
    char *at = text;
    for (int i = 1; i <= count; i++) at += sprintf(at, "say %d\n", i);
    return text;
}

TEST(outputs_of_many_inputs)
{
    build_library();
    struct ran ran = MAP(numbers(10000), "-k", BEHAVE);
    remove_library();
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.err, "");
    const char *at = ran.out;
    for (int i = 1; i <= 10000; i++) {
        char line[16];
        int size = sprintf(line, "%d\n", i);
        if (strncmp(at, line, (size_t)size) != 0) FAIL("not line %d: %.20s", i, at);
        at += size;
    }
    CHECK_EQ(*at, '\0');
}

/* As many as may be started before the first is printed, and many more that wait for it. */
TEST(a_slow_input_holds_up_the_order)
{
    enum { INPUTS = 40000 };
    static char text[INPUTS * 20];
    char *at = text + sprintf(text, "last counted 16383\n");
    for (int i = 2; i <= INPUTS; i++) at += sprintf(at, "count counted %d\n", i);
    build_library();
    struct ran ran = MAP(text, "-k", "-j", "16", BEHAVE);
    remove_library();
    CHECK_EQ(unlink("counted"), 0);
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.err, "");
    CHECK_EQ(strncmp(ran.out, "last\n", 5), 0);
    const char *out = ran.out + 5;
    for (int i = 2; i <= INPUTS; i++) {
        char line[16];
        int size = sprintf(line, "%d\n", i);
        if (strncmp(out, line, (size_t)size) != 0) FAIL("not line %d: %.20s", i, out);
        out += size;
    }
    CHECK_EQ(*out, '\0');
}

TEST(a_failure_is_never_told_as_success)
{
    build_library();
    struct ran ran = MAP("return 256\n", "--halt", "now,fail=1", BEHAVE);
    remove_library();
    CHECK_EQ(ran.code, 255);
}

TEST(inputs_can_be_made_of_forms)
{
    build_library();
    struct ran ran = MAP("", "-k", BEHAVE, "say", "<{.}> {#}", ":::", "a.c", "b");
    CHECK_STR(ran.out, "<a> 1\n<b> 2\n");
    ran = MAP("", BEHAVE, "-k");
    remove_library();
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err,
              "kin map: \"-k\" behind a function has no {} in it; options stand before the function\n");
}

TEST(codes_are_failures)
{
    build_library();
    struct ran ran = MAP("", "-k", BEHAVE, ":::", "return 2", "say a", "return 300", "return -1003");
    remove_library();
    CHECK_EQ(ran.code, 3);
    CHECK_STR(ran.out, "before\na\nbefore\nbefore\n");
    CHECK_STR(ran.err, "kin map: job 1 (return 2) failed: behave returned 2 (no such file or directory)\n"
                       "kin map: job 3 (return 300) failed: behave returned 300\n"
                       "kin map: job 4 (return -1003) failed: behave returned -1003 (closed)\n"
                       "kin map: 3 of 4 jobs failed\n");
}

TEST(a_crash_is_charged_to_its_input_alone)
{
    build_library();
    struct ran ran = MAP("", "-k", BEHAVE, ":::", "crash", "say a", "exit", "say b", "die");
    CHECK_EQ(ran.code, 3);
    CHECK_STR(ran.out, "a\nb\n");
    CHECK(strstr(ran.err, "job 1 (crash) failed: ") != NULL);
    CHECK(strstr(ran.err, "killed by SIGABRT") != NULL);
    CHECK(strstr(ran.err, "job 3 (exit) failed: ") != NULL);
    CHECK(strstr(ran.err, "job 5 (die) failed: ") != NULL);
    remove_library();
}

TEST(crashes_among_many)
{
    build_library();
    char *inputs = numbers(3000);
    char *crash = strstr(inputs, "say 1000\n");
    memmove(crash + 6, crash + 9, strlen(crash + 9) + 1);
    memcpy(crash, "crash\n", 6);
    struct ran ran = MAP(inputs, BEHAVE);
    remove_library();
    CHECK_EQ(ran.code, 1);
    CHECK_EQ(tool_lines(ran.out), 2999);
    CHECK(strstr(ran.err, "attempt 4 of 4") != NULL);
}

TEST(what_crashed_is_run_again)
{
    build_library();
    struct ran ran = MAP("", BEHAVE, ":::", "once mark");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "second time\n");
    CHECK_EQ(unlink("mark"), 0);
    ran = MAP("", "--retries", "0", BEHAVE, ":::", "once mark");
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "");
    CHECK_EQ(unlink("mark"), 0);
    remove_library();
}

TEST(time_limits)
{
    build_library();
    char expected[200];
    double seconds;
    struct ran ran = MAP_TIMEOUT(&seconds, 2, BEHAVE, ":::", "say a", "hang", "say b");
    remove_library();
    snprintf(expected, sizeof expected,
             "kin map: job 2 (hang) failed: timed out after %g s\nkin map: 1 of 3 jobs failed\n", seconds);
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "a\nb\n");
    CHECK_STR(ran.err, expected);
}

TEST(large_outputs)
{
    build_library();
    struct ran ran = MAP("", "-k", BEHAVE, ":::", "fill 3000000", "say a", "fill 2000000");
    remove_library();
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(ran.out_size, 3000001 + 2 + 2000001);
    CHECK_EQ(ran.out[3000001], 'a');
}

TEST(standard_input_of_workers_is_empty)
{
    build_library();
    struct ran ran = MAP("read\nread\n", BEHAVE);
    remove_library();
    CHECK_STR(ran.out, "-1\n-1\n");
}

TEST(json_and_tags)
{
    build_library();
    struct ran ran = MAP("", "--json", BEHAVE, ":::", "say a");
    CHECK(strstr(ran.out, "\"input\":[\"say a\"],\"command\":[\"./behave.so:behave\",\"say "
                          "a\"],\"exit\":0,\"signal\":null,\"failure\":null") != NULL);
    CHECK(strstr(ran.out, "\"stdout\":\"a\\n\"") != NULL);
    ran = MAP("", "--tag", BEHAVE, ":::", "say a");
    CHECK_STR(ran.out, "say a\ta\n");
    remove_library();
}

TEST(dry_run_loads_nothing)
{
    struct ran ran = MAP("", "--dry-run", "./nowhere.so:f", ":::", "a b");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "./nowhere.so:f 'a b'\n");
}

TEST(an_interrupt)
{
    build_library();
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    struct running running = START(ends[0], "--grace", "0.2", BEHAVE);
    close(ends[0]);
    CHECK_EQ(write(ends[1], "hang\nsay a\n", 11), 11);
    struct stat status;
    test_until(fstat(running.out, &status) == 0 && status.st_size == 2);
    CHECK_EQ(kill(running.pid, SIGINT), 0);
    struct ran ran = tool_wait(running);
    close(ends[1]);
    remove_library();
    CHECK_EQ(ran.code, 130);
    CHECK_STR(ran.out, "a\n");
    CHECK(strstr(ran.err, "job 1 (hang) stopped: ") != NULL);
}

TEST(what_it_prints_is_its_output)
{
    build_library();
    struct ran ran = MAP("print a\nsay b\nunbuffer\nprint c\n", "-k", "-j1", BEHAVE);
    remove_library();
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.err, "");
    CHECK_STR(ran.out, "a\nb\nc\n");
}

TEST(a_library_is_not_run_as_a_program)
{
    build_library();
    struct ran ran = MAP("", "./behave.so", ":::", "a");
    remove_library();
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot run ./behave.so, which is a library: name a function in it, "
                       "./behave.so:FUNCTION\n");
}

TEST(what_cannot_be_loaded)
{
    struct ran ran = MAP("", "./nowhere.so:f", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot open ./nowhere.so: no such file or directory\n");
    tool_write_file("text.so", "text\n");
    ran = MAP("", "./text.so:f", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot load ./text.so: file too short\n");
    CHECK_EQ(unlink("text.so"), 0);
    build_library();
    ran = MAP("", "./behave.so:nothing", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: there is no function nothing in ./behave.so\n");
    ran = MAP("", "./behave.so:datum", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: datum in ./behave.so is not a function\n");
    remove_library();
}

/* ---- the example ----------------------------------------------------------------------------------- */

static const char *hash_function(void)
{
    static char word[4096];
    snprintf(word, sizeof word, "%s:sha256_file", tool_path("KIN_LIBHASH", "/lib/libhash.so"));
    char path[4096];
    snprintf(path, sizeof path, "%.*s", (int)(strrchr(word, ':') - word), word);
    if (access(path, R_OK) != 0) SKIP("%s is not there", path);
    return word;
}

TEST(sums_of_files)
{
    const char *function = hash_function();
    tool_write_file("abc", "abc");
    tool_write_file("back\\slash", "");
    struct ran ran = MAP("", "-k", function, ":::", "abc", "back\\slash", "nowhere");
    CHECK_EQ(unlink("abc"), 0);
    CHECK_EQ(unlink("back\\slash"), 0);
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n"
                       "\\e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  back\\\\slash\n");
    CHECK(strstr(ran.err, "returned 2 (no such file or directory)") != NULL);
}

/* Kills a worker: a child of the tool's only child.  Returns whether one was killed. */
static bool kill_worker(pid_t tool, unsigned choice)
{
    int pids[2] = {(int)tool, 0};
    for (int level = 0; level < 2; level++) {
        char path[64];
        char text[256] = "";
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", pids[0], pids[0]);
        int descriptor = open(path, O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) return false;
        ssize_t size = read(descriptor, text, sizeof text - 1);
        close(descriptor);
        if (size <= 0) return false;
        char *second = strchr(text, ' ');
        bool take_second = level == 1 && choice % 2 == 1 && second != NULL && second[1] != '\0';
        pids[0] = atoi(take_second ? second + 1 : text);
        if (pids[0] <= 0) return false;
    }
    return kill(pids[0], SIGKILL) == 0;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

TEST(the_result_is_the_same_while_workers_are_killed, .deadline = 120)
{
    const char *function = hash_function();
    char inputs[4096 * 9];
    for (size_t i = 0; i < 4000; i++) memcpy(inputs + 9 * i, "/bin/cat\n", 10);
    struct ran expected = MAP("/bin/cat\n", function);
    CHECK_EQ(expected.code, 0);
    int in = tool_memory_file(inputs, strlen(inputs));
    struct running running = START(in, "-j2", function);
    close(in);
    unsigned killed = 0;
    for (off_t size = 0; !has_ended(running.pid); size += 8000) {
        struct stat status;
        test_until(has_ended(running.pid) || (fstat(running.out, &status) == 0 && status.st_size >= size));
        killed += kill_worker(running.pid, killed);
    }
    struct ran ran = tool_wait(running);
    NOTE("%u workers killed", killed);
    CHECK_GT(killed, 0);
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(ran.out_size, 4000 * expected.out_size);
    for (size_t i = 0; i < 4000; i++)
        CHECK_MEM(ran.out + i * expected.out_size, expected.out, expected.out_size);
}
