/* test_worker.c: the tool `kin worker`, with a pool in this program: on this machine, and on hosts in network
 * namespaces whose links are cut and restored. */
#define _GNU_SOURCE
#include "tool.h"

#include "support/hosts.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>

#include <kin/error.h>
#include <kin/listener.h>
#include <kin/manager.h>
#include <kin/pool.h>

#define KEY "a key for workers"

static const kin_listener_options with_key = {.key = KEY, .key_size = sizeof KEY - 1};

/* Here they have only names: they run in the tool. */
static int square(const int *in, long *out)
{
    (void)in;
    (void)out;
    return -ENOSYS;
}
KIN_MAP(square, int, long)
static int slowly(const int *in, long *out)
{
    return square(in, out);
}
KIN_MAP(slowly, int, long)
static int forever(const int *in, long *out)
{
    return square(in, out);
}
KIN_MAP(forever, int, long)

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    CHECK_LT(vsnprintf(command, sizeof command, format, arguments), (int)sizeof command);
    va_end(arguments);
    return system(command);
}

/* The functions, as ./tasks.so, and the key, as ./key. */
static void make_files(void)
{
    if (run("cc --version >compiler 2>&1") != 0) {
        unlink("compiler");
        SKIP("there is no C compiler");
    }
    CHECK_EQ(unlink("compiler"), 0);
    CHECK_EQ(run("cc -shared -fPIC -I%s -o tasks.so %s", test_source("include"),
                 test_source("tests/cli/functions/tasks.c")),
             0);
    FILE *file = fopen("key", "w");
    CHECK(file != NULL);
    fputs(KEY, file);
    fclose(file);
    chmod("key", 0600);
}

static void remove_files(void)
{
    CHECK_EQ(unlink("tasks.so"), 0);
    CHECK_EQ(unlink("key"), 0);
}

static kin_pool *open_pool(const char *address, int64_t silence_ms)
{
    kin_pool *pool = NULL;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.address = address,
                                                      .listener = &with_key,
                                                      .retries = 5,
                                                      .silence_ns = silence_ms * 1000000}));
    return pool;
}

static void close_pool(kin_pool *pool)
{
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, kin_in_s(50)));
    CHECK_OK(kin_pool_free(pool));
}

static unsigned remote_workers(kin_pool *pool)
{
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(pool, &status));
    return status.remote;
}

static struct running start_worker(const char *address)
{
    int in = tool_memory_file("", 0);
    struct running running = tool_start(
        in, (const char *const[]){"worker", "-q", "-k", "key", "-j", "2", address, "tasks.so", NULL});
    close(in);
    return running;
}

static int end_worker(struct running *running)
{
    struct ran ran = tool_wait(*running);
    int code = ran.code;
    if (code != 0) NOTE("%s", ran.err);
    return code;
}

static void map_numbers(kin_pool *pool, const kin_function *function, int count)
{
    int *in = calloc((size_t)count, sizeof *in);
    long *out = calloc((size_t)count, sizeof *out);
    for (int i = 0; i < count; i++) in[i] = i % 600;
    CHECK_OK(kin_pool_map(pool, function, in, out, (size_t)count, kin_in_s(100)));
    for (int i = 0; i < count; i++) CHECK_EQ(out[i], (long)in[i] * in[i]);
    free(in);
    free(out);
}

TEST(it_works_until_the_pool_is_closed)
{
    make_files();
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 20000);
    struct running workers[2];
    for (int i = 0; i < 2; i++) workers[i] = start_worker(kin_pool_address(pool));
    test_until(remote_workers(pool) == 4);
    map_numbers(pool, KIN_FN(square), 50000);
    int bad = 666;
    kin_result *result = NULL;
    kin_failure failure;
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(square), &bad, sizeof bad, KIN_FOREVER,
                             &(kin_task_options){.retries = -1}));
    CHECK_OK(kin_result_wait(result, kin_in_s(50)));
    CHECK_OK(kin_result_failure(result, &failure));
    CHECK_EQ(failure.signal, SIGABRT);
    CHECK_OK(kin_result_close(result));
    close_pool(pool);
    for (int i = 0; i < 2; i++) CHECK_EQ(end_worker(&workers[i]), 0);
    remove_files();
}

TEST(sigterm_ends_it_in_order)
{
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer puts the handler of a signal off while threads sleep in the kernel");
#endif
    make_files();
    kin_pool *pool = open_pool(test_abstract_address(), 20000);
    struct running worker = start_worker(kin_pool_address(pool));
    test_until(remote_workers(pool) == 2);
    CHECK_EQ(kill(worker.pid, SIGTERM), 0);
    CHECK_EQ(end_worker(&worker), 0);
    test_until(remote_workers(pool) == 0);
    close_pool(pool);
    remove_files();
}

/* Its programs are killed, one after the other, while a map is on its way. */
TEST(a_map_survives_its_workers, .deadline = 120)
{
    make_files();
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 20000);
    struct running worker = start_worker(kin_pool_address(pool));
    test_until(remote_workers(pool) == 2);
    pid_t killer = fork();
    CHECK_OK(killer);
    if (killer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        kill(worker.pid, SIGKILL);
        _exit(0);
    }
    struct running second = start_worker(kin_pool_address(pool));
    map_numbers(pool, KIN_FN(slowly), test_sanitized() ? 100 : 300);
    CHECK_EQ(test_collect(killer), 0);
    CHECK_EQ(end_worker(&worker), 1000 + SIGKILL);
    /* The second one has come by then, whoever did the first map. */
    map_numbers(pool, KIN_FN(square), 10);
    close_pool(pool);
    CHECK_EQ(end_worker(&second), 0);
    remove_files();
}

/* A line that says so, and the last one, however often and by however many it is tried. */
TEST(a_manager_is_no_pool)
{
    char expected[512];
    kin_manager *manager = NULL;
    make_files();
    CHECK_OK(kin_manager_start(&manager, &(kin_manager_options){.key = KEY, .key_size = sizeof KEY - 1}));
    const char *address = kin_manager_address(manager);
    struct ran ran = KIN("worker", "-k", "key", "-j", "2", "--patience", "500ms", address, "tasks.so");
    CHECK_EQ(ran.code, 255);
    snprintf(expected, sizeof expected,
             "kin worker: there is no pool at %s, or one of another version of kin\n"
             "kin worker: cannot work for the pool at %s: there is none, or one of another version of kin\n",
             address, address);
    CHECK_STR(ran.err, expected);
    CHECK_OK(kin_manager_close(manager));
    remove_files();
}

/* Nobody is to take them for a disturbance of the network. */
TEST(tasks_that_are_cancelled_or_late_are_not_told_of)
{
    int in[2] = {1, 2};
    kin_result *cancelled = NULL, *late = NULL;
    kin_failure failure;
    make_files();
    kin_pool *pool = open_pool("tcp://127.0.0.1:0", 20000);
    int none = tool_memory_file("", 0);
    struct running worker = tool_start(none, (const char *const[]){"worker", "-k", "key", "-j", "1",
                                                                   kin_pool_address(pool), "tasks.so", NULL});
    close(none);
    test_until(remote_workers(pool) == 1);
    CHECK_OK(kin_pool_submit(pool, &late, KIN_FN(forever), &in[0], sizeof in[0], KIN_FOREVER,
                             &(kin_task_options){.timeout_ns = 200000000, .retries = -1}));
    test_until(unlink("begun") == 0);
    CHECK_OK(kin_result_wait(late, kin_in_s(50)));
    CHECK_OK(kin_result_failure(late, &failure));
    CHECK_EQ(failure.cause, KIN_CAUSE_TIMEOUT);
    test_until(remote_workers(pool) == 1);
    CHECK_OK(kin_pool_submit(pool, &cancelled, KIN_FN(forever), &in[1], sizeof in[1], KIN_FOREVER, NULL));
    test_until(unlink("begun") == 0);
    CHECK_OK(kin_result_cancel(cancelled));
    CHECK_OK(kin_result_wait(cancelled, kin_in_s(50)));
    CHECK_OK(kin_result_close(late));
    CHECK_OK(kin_result_close(cancelled));
    test_until(remote_workers(pool) == 1);
    map_numbers(pool, KIN_FN(square), 10);
    close_pool(pool);
    struct ran ran = tool_wait(worker);
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.err, "");
    remove_files();
}

TEST(a_library_without_tasks_is_told_of)
{
    make_files();
    CHECK_EQ(run("echo 'int nothing;' | cc -shared -x c -o nothing.so -"), 0);
    struct ran ran = KIN("worker", "--patience", "1ms", "unix:@kin-test-nobody", "nothing.so");
    CHECK(strstr(ran.err, "no function is registered by KIN_TASK") != NULL);
    ran = KIN("worker", "--patience", "1ms", "unix:@kin-test-nobody", "tasks.so");
    CHECK(strstr(ran.err, "no function is registered by KIN_TASK") == NULL);
    CHECK_EQ(unlink("nothing.so"), 0);
    remove_files();
}

TEST(what_it_cannot_do_is_said)
{
    make_files();
    CHECK_EQ(KIN("worker").code, 255);
    CHECK_STR(KIN("worker").err, "kin worker: an argument is missing: ADDRESS; see kin worker --help\n");
    CHECK_STR(KIN("worker", "tcp://127.0.0.1:1").err,
              "kin worker: an argument is missing: LIBRARY; see kin worker --help\n");
    struct ran ran = KIN("worker", "-k", "nothing", "tcp://127.0.0.1:1", "tasks.so");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin worker: cannot read the key from nothing: no such file or directory\n");
    CHECK(strstr(KIN("worker", "tcp://127.0.0.1:1", "nothing.so").err, "cannot load nothing.so") != NULL);
    ran = KIN("worker", "--patience", "100ms", "tcp://127.0.0.1:1", "tasks.so");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin worker: cannot work for the pool at tcp://127.0.0.1:1: connection refused\n");
    CHECK_STR(KIN("worker", "-j", "0", "a", "b").err,
              "kin worker: not a number of jobs from 1 to 1024: 0; see kin worker --help\n");
    remove_files();
}

/* ---- hosts ------------------------------------------------------------------------------------------- */

#define HOSTS 2

/* Starts the tool on that host. */
static pid_t start_on_host(int host, const char *address)
{
    pid_t owner = getpid(), pid = fork();
    CHECK_OK(pid);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    hosts_enter(owner, host);
    execl(tool_path("KIN_TOOL", "/bin/kin"), "kin", "worker", "-q", "-k", "key", "-j", "1", "--patience",
          "60s", address, "tasks.so", NULL);
    _exit(99);
}

/* The links of the hosts are cut in turn, and restored; a host is killed. No item is lost, none comes twice. */
TEST(hosts_come_and_go, .deadline = 120)
{
    enum { COUNT = 400 };
    static int in[COUNT];
    static kin_result *result[COUNT];
    long out;
    make_files();
    hosts_make(HOSTS);
    pid_t self = getpid(), hosts[HOSTS + 1] = {0};
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    char address[HOSTS + 1][64];
    CHECK_OK(here);
    hosts_enter(self, 0);
    kin_pool *pool = open_pool("tcp://0.0.0.0:0", test_sanitized() ? 3000 : 1000);
    CHECK_OK(setns(here, CLONE_NEWNET));
    close(here);
    for (int i = 1; i <= HOSTS; i++) {
        snprintf(address[i], sizeof address[i], "tcp://10.83.%d.1%s", i,
                 strrchr(kin_pool_address(pool), ':'));
        hosts[i] = start_on_host(i, address[i]);
    }
    test_until(remote_workers(pool) == HOSTS);
    for (int i = 0; i < COUNT; i++) {
        in[i] = i;
        CHECK_OK(kin_pool_submit(pool, &result[i], KIN_FN(slowly), &in[i], sizeof in[i], KIN_FOREVER, NULL));
    }
    hosts_link(1, false);
    test_until(remote_workers(pool) == HOSTS - 1);
    hosts_link(1, true);
    test_until(remote_workers(pool) == HOSTS);
    test_kill(hosts[2]);
    test_until(remote_workers(pool) == HOSTS - 1);
    hosts[2] = start_on_host(2, address[2]);
    for (int i = 0; i < COUNT; i++) {
        CHECK_RC(kin_result_get(result[i], &out, sizeof out, kin_in_s(100)), (long)sizeof out);
        CHECK_EQ(out, (long)i * i);
        CHECK_OK(kin_result_close(result[i]));
    }
    kin_pool_status status;
    /* A task is counted after its end has been told. */
    test_until(kin_pool_stats(pool, &status) == 0 && status.done + status.failed >= COUNT);
    CHECK_EQ(status.done, COUNT);
    CHECK_EQ(status.failed, 0);
    test_until(remote_workers(pool) == HOSTS);
    close_pool(pool);
    for (int i = 1; i <= HOSTS; i++) CHECK_EQ(test_collect(hosts[i]), 0);
    hosts_remove(HOSTS);
    remove_files();
}
