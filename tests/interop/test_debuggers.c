/* test_debuggers.c: coroutines and processes under valgrind, which must report nothing, and coroutines under gdb,
 * whose backtrace ends at the entry of the coroutine. */
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

static int add_up(void *numbers)
{
    int *number = numbers;
    return number[0] + number[1];
}

static int stay(void *unused)
{
    (void)unused;
    while (pause() < 0) continue;
    return 0;
}

static int twice(const long *in, long *out)
{
    *out = 2 * *in;
    return 0;
}
KIN_MAP(twice, long, long);

/* As programs do that are run under valgrind: children that end in every way, a pool, a manager. */
TEST(processes_at_work)
{
    int numbers[] = {3, 4}, code = -1;
    long in[] = {1, 2, 3}, out[3] = {0};
    kin_process *process = NULL;
    kin_pool *pool = NULL;
    kin_manager *manager = NULL;
    kin_proxy *list = NULL;
    kin_value length;
    int64_t number = -1;
    CHECK_OK(kin_process_start(&process, add_up, numbers, NULL));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_EQ(code, 7);
    CHECK_OK(kin_process_close(process));
    CHECK_OK(kin_process_start(&process, stay, NULL, NULL));
    CHECK_EQ(kin_process_is_alive(process), 1);
    CHECK_OK(kin_process_kill(process));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_EQ(code, -SIGKILL);
    CHECK_OK(kin_process_close(process));
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_pool_map(pool, KIN_FN(twice), in, out, 3, KIN_FOREVER));
    CHECK_EQ(out[2], 6);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_manager_start(&manager, NULL));
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), KIN_FOREVER));
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(i)", 1), NULL, KIN_FOREVER));
    CHECK_OK(kin_proxy_call(list, "__len__", kin_value_none(), &length, KIN_FOREVER));
    CHECK_OK(kin_value_get_int(&length, &number));
    CHECK_EQ(number, 1);
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- who looks ------------------------------------------------------------------------------------------- */

static char self[PATH_MAX];

static bool has(const char *const *paths)
{
    CHECK_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    while (*paths != NULL && access(*paths, X_OK) != 0) paths++;
    return *paths != NULL;
}

static void run_under_valgrind(const char *name)
{
    if (test_sanitized()) SKIP("a sanitizer and valgrind exclude each other");
    if (!has((const char *const[]){"/usr/bin/valgrind", NULL})) SKIP("there is no valgrind");
    struct program valgrind = program_run("/usr/bin/valgrind", "--error-exitcode=9", "-q", self, name);
    char said[4096] = "";
    for (const char *line; (line = program_line(&valgrind)) != NULL;)
        /* Not what begins with "--": it complains so of system calls that are newer than itself. */
        if (strncmp(line, "==", 2) == 0)
            strncat(strncat(said, line, sizeof said - strlen(said) - 2), "\n", 2);
    int status = program_reap(&valgrind);
    CHECK_STR(said, "");
    CHECK_EQ(status, 0);
}

TEST(valgrind_reports_nothing_of_coroutines, .deadline = 240)
{
    run_under_valgrind("coroutines_at_work");
}

TEST(valgrind_reports_nothing_of_processes, .deadline = 240)
{
    run_under_valgrind("processes_at_work");
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
