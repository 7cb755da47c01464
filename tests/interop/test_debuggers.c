/* test_debuggers.c: coroutines under valgrind, which must report nothing, and under gdb, whose backtrace ends at
 * the entry of the coroutine. */
#include "program.h"

#include <kin.h>

/* ---- what is looked at: cases of this program ----------------------------------------------------------- */

__attribute__((noinline)) static int go_deep(int depth)
{
    volatile char frame[1000];
    frame[0] = (char)depth;
    if (depth > 0) return go_deep(depth - 1) + frame[0];
    return kin_coroutine_yield();
}

static int get_deep_down(void *queue)
{
    long number;
    while (kin_queue_get(queue, &number, sizeof number, KIN_FOREVER) > 0) CHECK_GE(go_deep((int)number), 0);
    return 0;
}

static int put_some(void *queue)
{
    for (long i = 0; i < 20; i++) {
        CHECK_OK(kin_queue_put(queue, &i, sizeof i, KIN_FOREVER));
        CHECK_OK(kin_coroutine_sleep(kin_in_ms(1)));
    }
    return kin_queue_shutdown(queue, 0);
}

static int yield_numbers(kin_generator *self, void *unused)
{
    for (long i = 0; i < 10; i++) {
        go_deep(2);
        if (kin_generator_yield(self, (void *)i, NULL) < 0) break;
    }
    return unused != NULL;
}

TEST(coroutines_at_work)
{
    kin_queue *queue = NULL;
    kin_generator *generator = NULL;
    void *value;
    CHECK_OK(kin_queue_open(&queue, NULL));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_coroutine_start(NULL, get_deep_down, queue, NULL));
    CHECK_OK(kin_coroutine_start(NULL, put_some, queue, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_queue_close(queue));
    CHECK_OK(kin_generator_open(&generator, yield_numbers, NULL, NULL));
    while (kin_generator_next(generator, &value) == 1) continue;
    CHECK_OK(kin_generator_close(generator));
    CHECK_OK(kin_loop_close());
}

/* ---- who looks ------------------------------------------------------------------------------------------- */

static char self[PATH_MAX];

static bool has(const char *const *paths)
{
    CHECK_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    while (*paths != NULL && access(*paths, X_OK) != 0) paths++;
    return *paths != NULL;
}

TEST(valgrind_reports_nothing, .deadline = 240)
{
    if (test_sanitized()) SKIP("a sanitizer and valgrind exclude each other");
    if (!has((const char *const[]){"/usr/bin/valgrind", NULL})) SKIP("there is no valgrind");
    struct program valgrind =
        program_run("/usr/bin/valgrind", "--error-exitcode=9", "-q", self, "coroutines_at_work");
    char said[4096] = "";
    for (const char *line; (line = program_line(&valgrind)) != NULL;)
        /* Not what begins with "--": it complains so of system calls that are newer than itself. */
        if (strncmp(line, "==", 2) == 0)
            strncat(strncat(said, line, sizeof said - strlen(said) - 2), "\n", 2);
    int status = program_reap(&valgrind);
    CHECK_STR(said, "");
    CHECK_EQ(status, 0);
}

TEST(a_backtrace_ends_at_the_entry, .deadline = 240)
{
    if (test_sanitized()) SKIP("the sanitizer's frames are not ours");
    if (!has((const char *const[]){"/usr/bin/gdb", NULL})) SKIP("there is no gdb");
    struct program gdb = program_run("/usr/bin/gdb", "-batch", "-nx", "-iex", "set debuginfod enabled off",
                                     "-ex", "break go_deep if depth == 0", "-ex", "run", "-ex", "backtrace",
                                     "-ex", "break kin__context_swap", "-ex", "continue", "-ex", "stepi 20",
                                     "-ex", "backtrace", "-ex", "kill", "--args", self, "coroutines_at_work");
    char said[8192] = "", last[2][sizeof gdb.line] = {"", ""};
    int traces = 0;
    bool deep = false;
    for (const char *line; (line = program_line(&gdb)) != NULL;) {
        strncat(strncat(said, line, sizeof said - strlen(said) - 2), "\n", 2);
        if (strncmp(line, "#0", 2) == 0 && traces < 2) traces++;
        if (line[0] == '#' && traces > 0) snprintf(last[traces - 1], sizeof last[0], "%s", line);
        deep = deep || strstr(line, "get_deep_down (") != NULL;
        if (strstr(line, "Backtrace stopped") != NULL) FAIL("gdb lost its way:\n%s", said);
    }
    program_reap(&gdb);
    if (strstr(said, "ptrace: ") != NULL) SKIP("gdb may trace nobody");
    test_context("%s", said);
    CHECK(deep);
    CHECK_EQ(traces, 2);
    for (int i = 0; i < 2; i++) CHECK(strstr(last[i], "context_start") != NULL);
}
