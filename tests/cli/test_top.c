/* test_top.c: the tool `kin top`, of a family that this program makes: as a page, as JSON, as metrics, and on
 * a terminal. */
#define _GNU_SOURCE
#include "tool.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <kin/event.h>
#include <kin/inspect.h>
#include <kin/lock.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/publish.h>
#include <kin/queue.h>

static kin_event *go;
static kin_lock *door;
static kin_queue *jobs;
static kin_pool *pool;
static kin_result *result;
static pid_t waiters[2];
static char pid[16];

static int wait_for_go(const int *in, int *out)
{
    *out = *in;
    return kin_event_wait(go, KIN_FOREVER);
}
KIN_MAP(wait_for_go, int, int)

static void wait_for_lock(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, KIN_FOREVER));
    CHECK_OK(kin_lock_release(lock));
}

/* Everybody is where the page is to show them. */
static bool all_wait(void)
{
    kin_inspection *seen;
    kin_inspected_lock lock;
    kin_inspected_worker worker;
    kin_inspected_pool demo;
    unsigned waiting = 0, running = 0;
    CHECK_OK(kin_inspect(&seen, &(kin_inspect_options){.pid = getpid()}));
    for (size_t i = 0; kin_inspection_lock(seen, 0, i, &lock) == 0; i++) waiting += lock.waiters;
    for (size_t i = 0; kin_inspection_worker(seen, 0, i, &worker) == 0; i++)
        running += worker.function[0] != '\0';
    CHECK_OK(kin_inspection_pool(seen, 0, 0, &demo));
    kin_inspection_close(seen);
    return waiting == 2 && running == 1 && demo.status.alive == 2 && demo.state == KIN_POOL_RUNNING;
}

/* A pool with a task that waits, a queue with three messages, a lock that we have and two others want. */
static void make_family(void)
{
    int in = 1;
    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK_OK(kin_event_open(&go, NULL));
    CHECK_OK(kin_lock_open(&door));
    CHECK_OK(kin_lock_acquire(door, KIN_NOW));
    CHECK_OK(kin_publish("the \"door\"", door));
    CHECK_OK(kin_queue_open(&jobs, &(kin_queue_options){.max_items = 77}));
    CHECK_OK(kin_publish("jobs", jobs));
    for (int i = 0; i < 4; i++) CHECK_OK(kin_queue_put(jobs, &i, sizeof i, KIN_NOW));
    CHECK_EQ(kin_queue_get(jobs, &in, sizeof in, KIN_NOW), sizeof in);
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .name = "demo\x1b[31m"}));
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(wait_for_go), &in, sizeof in, KIN_FOREVER, NULL));
    for (int i = 0; i < 2; i++) waiters[i] = test_child(wait_for_lock, door);
    test_until(all_wait());
}

static void end_family(void)
{
    CHECK_OK(kin_event_set(go));
    CHECK_OK(kin_lock_release(door));
    for (int i = 0; i < 2; i++) CHECK_EQ(test_collect(waiters[i]), 0);
    CHECK_OK(kin_result_close(result));
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_queue_close(jobs));
    CHECK_OK(kin_lock_close(door));
    CHECK_OK(kin_event_close(go));
}

static void has(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void has(const char *text, const char *format, ...)
{
    char wanted[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(wanted, sizeof wanted, format, arguments);
    va_end(arguments);
    test_context("wanted: %s in\n%s", wanted, text);
    CHECK(strstr(text, wanted) != NULL);
}

TEST(once)
{
    make_family();
    struct ran ran = KIN("top", "--once", pid);
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.err, "");
    has(ran.out, "family of process ");
    has(ran.out, "%8d ", getpid());
    has(ran.out, "waits for lock \"the \\\"door\\\"\"");
    has(ran.out, "pool \"demo\\x1b[31m\" running: 2 of 2 workers, 1 running, 0 queued, 0 done");
    has(ran.out, "worker 1 of demo");
    has(ran.out, "supervisor of demo");
    has(ran.out, "(wait_for_go)");
    has(ran.out, "        3       77 ");
    has(ran.out, "  \"jobs\"\n");
    has(ran.out, "held by %d, 2 waiting: ", getpid());
    CHECK(strchr(ran.out, '\033') == NULL);
    /* In a pipe, which the test's memory file stands for, it is written once by itself. */
    ran = KIN("top", "-d", "10ms", pid);
    CHECK_EQ(ran.code, 0);
    has(ran.out, "pool \"demo");
    CHECK(strstr(ran.out, "tasks of pool") == NULL);
    ran = KIN("top", "-d10ms", "-a", pid);
    has(ran.out, "tasks of pool \"demo");
    end_family();
}

TEST(stopped_processes_are_shown)
{
    make_family();
    kin_pool_status status;
    int workers[2];
    CHECK_OK(kin_pool_stats(pool, &status));
    test_until(kin_pool_workers(pool, workers, 2) == 2);
    CHECK_EQ(kill(status.supervisor_pid, SIGSTOP), 0);
    for (int i = 0; i < 2; i++) CHECK_EQ(kill(workers[i], SIGSTOP), 0);
    struct ran ran = KIN("top", "--once", "-d10ms", pid);
    CHECK_EQ(ran.code, 0);
    has(ran.out, "%8d T ", workers[0]);
    has(ran.out, "%8d T ", status.supervisor_pid);
    has(ran.out, "(wait_for_go)");
    for (int i = 0; i < 2; i++) CHECK_EQ(kill(workers[i], SIGCONT), 0);
    CHECK_EQ(kill(status.supervisor_pid, SIGCONT), 0);
    end_family();
}

/* ---- for programs ------------------------------------------------------------------------------- */

/* Runs a program of Python with the file as its standard input; what it printed. */
static struct ran run_python(int in, const char *const *words)
{
    if (access("/usr/bin/python3", X_OK) != 0) SKIP("there is no /usr/bin/python3");
    struct running running = {.out = tool_memory_file("", 0), .err = tool_memory_file("", 0)};
    running.pid = fork();
    CHECK_GE(running.pid, 0);
    if (running.pid == 0) {
        dup2(in, STDIN_FILENO);
        dup2(running.out, STDOUT_FILENO);
        dup2(running.err, STDERR_FILENO);
        execv("/usr/bin/python3", (char *const *)words);
        _exit(99);
    }
    return tool_wait(running);
}

TEST(threads_are_told_from_processes)
{
    static const char script[] =
        "import json, sys\n"
        "p = json.load(sys.stdin)['families'][0]['pools'][0]\n"
        "w = p['workers'][0]\n"
        "print(p['threads'], p.get('supervisor'), w['pid'], w['thread'] != w['pid'])\n";
    kin_pool *threads;
    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK_OK(kin_pool_open(&threads, &(kin_pool_options){.workers = 1, .kind = KIN_POOL_THREADS}));
    struct ran ran = KIN("top", "--once", pid);
    CHECK_EQ(ran.code, 0);
    has(ran.out, "    worker 0    thread ");
    CHECK(strstr(ran.out, "supervisor of") == NULL && strstr(ran.out, "worker 0 of") == NULL);
    ran = KIN("top", "--json", pid);
    int in = tool_memory_file(ran.out, ran.out_size);
    struct ran python = run_python(in, (const char *const[]){"python3", "-c", script, NULL});
    close(in);
    CHECK_EQ(python.code, 0);
    has(python.out, "True None %d True\n", getpid());
    CHECK_OK(kin_pool_free(threads));
}

TEST(json)
{
    static const char script[] =
        "import json, sys\n"
        "f = json.load(sys.stdin)['families'][0]\n"
        "lock = [l for l in f['locks'] if l.get('name') == 'the \"door\"'][0]\n"
        "pool = f['pools'][0]\n"
        "task = [w['task'] for w in pool['workers'] if 'task' in w][0]\n"
        "queue = [q for q in f['queues'] if q.get('name') == 'jobs'][0]\n"
        "waits = [t['object'] for t in f['threads'] if t['waits_for'] == 'lock']\n"
        "print(lock['holder_pid'], lock['waiting'], waits == [lock['lock']] * 2, pool['name'] == "
        "'demo\\x1b[31m',\n"
        "      pool['alive'], pool['running'], task['function'], queue['messages'], queue['put'],\n"
        "      queue['got'], queue['put_per_second'], len(f['processes']))\n";
    make_family();
    struct ran ran = KIN("top", "--json", pid);
    CHECK_EQ(ran.code, 0);
    int in = tool_memory_file(ran.out, ran.out_size);
    struct ran python = run_python(in, (const char *const[]){"python3", "-c", script, NULL});
    close(in);
    CHECK_EQ(python.code, 0);
    has(python.out, "%d 2 True True 2 1 wait_for_go 3 4 1 0.0 6\n", getpid());
    end_family();
}

static void pass_messages(void *queue)
{
    int message = 0;
    for (;;) {
        CHECK_OK(kin_queue_put(queue, &message, sizeof message, KIN_FOREVER));
        CHECK_EQ(kin_queue_get(queue, &message, sizeof message, KIN_FOREVER), sizeof message);
    }
}

TEST(rates)
{
    static const char script[] = "import json, sys\n"
                                 "for q in json.load(sys.stdin)['families'][0]['queues']:\n"
                                 "    print(q['name'], q['put_per_second'] > 0, q['got_per_second'] > 0)\n";
    kin_queue *idle, *busy;
    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK_OK(kin_queue_open(&idle, NULL));
    CHECK_OK(kin_queue_open(&busy, NULL));
    CHECK_OK(kin_publish("idle", idle));
    CHECK_OK(kin_publish("busy", busy));
    pid_t child = test_child(pass_messages, busy);
    struct ran ran = KIN("top", "--json", "-d", "500ms", pid);
    CHECK_EQ(ran.code, 0);
    int in = tool_memory_file(ran.out, ran.out_size);
    struct ran python = run_python(in, (const char *const[]){"python3", "-c", script, NULL});
    close(in);
    test_kill(child);
    CHECK_EQ(python.code, 0);
    has(python.out, "idle False False\n");
    has(python.out, "busy True True\n");
    CHECK_OK(kin_queue_close(idle));
    CHECK_OK(kin_queue_close(busy));
}

TEST(openmetrics)
{
    make_family();
    struct ran ran = KIN("top", "--openmetrics", pid);
    CHECK_EQ(ran.code, 0);
    int in = tool_memory_file(ran.out, ran.out_size);
    struct ran python =
        run_python(in, (const char *const[]){"python3", test_source("tests/cli/functions/metrics.py"), NULL});
    close(in);
    CHECK_EQ(python.code, 0);
    has(ran.out, "kind=\"lock\",name=\"the \\\"door\\\"\"} 1\n");
    has(ran.out, "kin_pool_workers_running{family=");
    has(ran.out, "# TYPE kin_queue_messages_put counter\n");
    has(ran.out, "name=\"jobs\"} 3\n");
    end_family();
}

/* ---- on a terminal ------------------------------------------------------------------------------- */

/* Starts `kin top` on a terminal of that size; *ours is our end of it. */
static pid_t start_on_terminal(int *ours, unsigned short rows, unsigned short columns)
{
    const char *tool = tool_path("KIN_TOOL", "/bin/kin");
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    CHECK_OK(*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK_OK(grantpt(*ours));
    CHECK_OK(unlockpt(*ours));
    CHECK_OK(ioctl(*ours, TIOCSWINSZ, &size));
    const char *name = ptsname(*ours);
    pid_t child = fork();
    CHECK_GE(child, 0);
    if (child > 0) return child;
    setsid();
    int terminal = open(name, O_RDWR);
    for (int i = 0; i < 3; i++) dup2(terminal, i);
    setenv("TERM", "xterm", 1);
    execl(tool, "kin", "top", "-d", "50ms", pid, NULL);
    _exit(99);
}

/* Reads what it writes until `end` has come, behind what was read before; the length. */
static size_t read_until(int ours, char *text, size_t room, const char *end)
{
    size_t size = 0;
    while (memmem(text, size, end, strlen(end)) == NULL) {
        CHECK_LT(size, room - 1);
        ssize_t n = read(ours, text + size, room - 1 - size);
        CHECK_GT(n, 0);
        size += (size_t)n;
        text[size] = '\0';
    }
    return size;
}

static size_t widest_line(const char *text)
{
    size_t widest = 0, width = 0;
    for (; *text != '\0'; text++) {
        if (*text == '\033')
            while (*text != 'm' && *text != 'K' && *text != 'H' && *text != 'J' && *text != 'h') text++;
        else if (*text == '\n' || *text == '\r')
            width = 0;
        else if (++width > widest)
            widest = width;
    }
    return widest;
}

TEST(a_page_on_a_terminal)
{
    static char text[1 << 20];
    int ours;
    make_family();
    unsetenv("NO_COLOR");
    pid_t child = start_on_terminal(&ours, 60, 100);
    read_until(ours, text, sizeof text, "\033[J");
    CHECK(strncmp(text, "\033[?1049h", 8) == 0);
    has(text, "kin top, ");
    has(text, "\033[1mfamily ");
    CHECK_EQ(widest_line(text), 100);
    /* It is written anew, and "all" shows more. */
    read_until(ours, text, sizeof text, "\033[J");
    CHECK_EQ(write(ours, "a", 1), 1);
    read_until(ours, text, sizeof text, "tasks of poo");
    CHECK_EQ(write(ours, "q", 1), 1);
    read_until(ours, text, sizeof text, "\033[?1049l");
    CHECK_EQ(test_collect(child), 0);
    close(ours);
    end_family();
}

TEST(a_signal_gives_the_terminal_back)
{
    static char text[1 << 20];
    int ours;
    struct termios before, after;
    make_family();
    setenv("NO_COLOR", "1", 1);
    pid_t child = start_on_terminal(&ours, 6, 200);
    read_until(ours, text, sizeof text, "\033[J");
    CHECK(strstr(text, "\033[1m") == NULL);
    /* Six rows: the last one stays empty. */
    CHECK_LE(tool_lines(text), 5);
    CHECK(strstr(text, "\"jobs\"") == NULL);
    CHECK_OK(tcgetattr(ours, &before));
    CHECK((before.c_lflag & ICANON) == 0);
    for (int i = 0; i < 30; i++) CHECK_EQ(write(ours, "\033[B", 3), 3);
    read_until(ours, text, sizeof text, "\"jobs\"");
    CHECK_EQ(kill(child, SIGTERM), 0);
    read_until(ours, text, sizeof text, "\033[?1049l");
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(tcgetattr(ours, &after));
    CHECK((after.c_lflag & ICANON) != 0);
    close(ours);
    end_family();
}

/* ---- words --------------------------------------------------------------------------------------- */

TEST_COLD(words)
{
    struct ran ran = KIN("top", "--help");
    CHECK_EQ(ran.code, 0);
    has(ran.out, "Usage: kin top ");
    ran = KIN("help", "top");
    CHECK_EQ(ran.code, 0);
    has(ran.out, "Usage: kin top ");
    ran = KIN("top", "--nonsense");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin top: unknown option: --nonsense; see kin top --help\n");
    ran = KIN("top", "-d", "often");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin top: not a time: often; see kin top --help\n");
    ran = KIN("top", "--json", "--once");
    CHECK_EQ(ran.code, 255);
    ran = KIN("top", "one", "two");
    CHECK_EQ(ran.code, 255);
    ran = KIN("top", "-d10ms", "no family has this name");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin top: no such family\n");
}
