/* test_foreign_loops.c: kin's loop inside of the loops of others: plain epoll, libuv, GLib, Python's asyncio. */
#define _GNU_SOURCE
#include "program.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <uv.h>

#include "foreign/work.h"

static int turns;
static double begun;

static void begin(int *descriptor)
{
    *descriptor = work_begin();
    CHECK_OK(*descriptor);
    turns = 0;
    begun = test_seconds();
}

/* True when nobody is alive any more. */
static bool turn(void)
{
    int alive = kin_loop_turn(KIN_NOW);
    CHECK_OK(alive);
    turns++;
    return alive == 0;
}

/* Who is not woken, but looks again and again, takes more turns. */
static void check_turns(int taken, double seconds)
{
    NOTE("%d turns in %.0f ms", taken, seconds * 1e3);
    CHECK_LE(taken, test_looks_most(seconds));
}

static void end(void)
{
    check_turns(turns, test_seconds() - begun);
    CHECK_OK(work_end());
    uv_library_shutdown(); /* of the offloaded function: ends the threads of its pool */
}

TEST(epoll_runs_the_loop)
{
    int descriptor, outer = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    begin(&descriptor);
    CHECK_OK(epoll_ctl(outer, EPOLL_CTL_ADD, descriptor, &event));
    while (!turn()) CHECK_EQ(epoll_wait(outer, &event, 1, -1), 1);
    close(outer);
    end();
}

/* Told of each change once, who takes a turn each time misses nothing. */
TEST(epoll_runs_the_loop_by_edges)
{
    int descriptor, outer = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    begin(&descriptor);
    CHECK_OK(epoll_ctl(outer, EPOLL_CTL_ADD, descriptor, &event));
    while (!turn()) CHECK_EQ(epoll_wait(outer, &event, 1, -1), 1);
    close(outer);
    end();
}

/* ---- libuv --------------------------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)events;
    CHECK_OK(status);
    if (turn()) uv_close((uv_handle_t *)handle, NULL);
}

TEST(libuv_runs_the_loop)
{
    uv_loop_t loop;
    uv_poll_t handle;
    int descriptor;
    CHECK_OK(uv_loop_init(&loop));
    begin(&descriptor);
    CHECK_OK(uv_poll_init(&loop, &handle, descriptor));
    CHECK_OK(uv_poll_start(&handle, UV_READABLE, on_readable));
    CHECK(!turn());
    CHECK_OK(uv_run(&loop, UV_RUN_DEFAULT));
    CHECK_OK(uv_loop_close(&loop));
    end();
}

/* ---- GLib, where it is installed ------------------------------------------------------------------------------- */

/* Its library at run time is enough. */
static struct {
    void *(*g_main_context_new)(void);
    void (*g_main_context_unref)(void *context);
    int (*g_main_context_iteration)(void *context, int may_block);
    void *(*g_unix_fd_source_new)(int descriptor, unsigned condition);
    void (*g_source_set_callback)(void *source, int (*call)(int, unsigned, void *), void *data,
                                  void *destroy);
    unsigned (*g_source_attach)(void *source, void *context);
    void (*g_source_unref)(void *source);
} glib;

static bool has_glib(void)
{
    static const char *const names[] = {
        "g_main_context_new",   "g_main_context_unref",  "g_main_context_iteration",
        "g_unix_fd_source_new", "g_source_set_callback", "g_source_attach",
        "g_source_unref"};
    void *library = dlopen("libglib-2.0.so.0", RTLD_NOW), *symbols[7];
    if (library == NULL) return false;
    for (int i = 0; i < 7; i++) CHECK((symbols[i] = dlsym(library, names[i])) != NULL);
    memcpy(&glib, symbols, sizeof glib);
    return true;
}

static int on_condition(int descriptor, unsigned condition, void *over)
{
    (void)descriptor;
    (void)condition;
    *(bool *)over = turn();
    return !*(bool *)over;
}

TEST(glib_runs_the_loop)
{
    if (!has_glib()) SKIP("there is no libglib-2.0.so.0");
    int descriptor;
    bool over = false;
    begin(&descriptor);
    void *context = glib.g_main_context_new(), *source = glib.g_unix_fd_source_new(descriptor, POLLIN);
    glib.g_source_set_callback(source, on_condition, &over, NULL);
    CHECK_GT(glib.g_source_attach(source, context), 0);
    CHECK(!turn());
    while (!over) glib.g_main_context_iteration(context, 1);
    glib.g_source_unref(source);
    glib.g_main_context_unref(context);
    end();
}

/* ---- Python's asyncio ------------------------------------------------------------------------------------------ */

TEST(asyncio_runs_the_loop)
{
    if (test_sanitized()) SKIP("Python is not made with the sanitizer");
    const char *pythons[16];
    char module[PATH_MAX];
    size_t count = program_pythons(pythons, 16);
    if (count == 0) SKIP("there is no python3");
    snprintf(module, sizeof module, "%s", program_built("tests/loop-module.so"));
    for (size_t i = 0; i < count; i++) {
        struct program program =
            program_run(pythons[i], test_source("tests/interop/loop_in_asyncio.py"), module);
        int alive = -1, ended = -1, taken = 0, ticks = 0;
        double seconds = 0;
        test_context("%s", pythons[i]);
        CHECK(program_line(&program) != NULL);
        test_context("%s: %s", pythons[i], program.line);
        CHECK_EQ(sscanf(program.line, "%d %d %d %d %lf", &alive, &ended, &taken, &ticks, &seconds), 5);
        program_end(&program);
        NOTE("%s: %d ticks of its own", pythons[i], ticks);
        CHECK_EQ(alive, 0);
        CHECK_OK(ended);
        check_turns(taken, seconds);
        CHECK_GT(ticks, 0);
    }
    test_context(NULL);
}
