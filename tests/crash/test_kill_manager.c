/* test_kill_manager.c: a manager and its clients killed: at every system call of a call, and at random under
 * load.  Whoever is left goes on, what the dead held is free, and no task is lost.
 */
#include "support/managers.h"
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "support/stepkill.h"

#define SOON kin_in_s(20)

static const kin_manager_type types[] = {{.name = "tasks", .shared = "TaskQueue"},
                                         {.name = "results", .shared = "Queue"},
                                         {.name = "door", .shared = "Lock"}};
static char address[64];

static kin_manager *start(void)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){.key = "k", .key_size = 1, .types = types, .type_count = 3}));
    snprintf(address, sizeof address, "%s", kin_manager_address(manager));
    return manager;
}

/* ---- a client at every system call ------------------------------------------------------------ */

struct scene {
    kin_manager *manager;
    kin_proxy *tasks;
    kin_proxy *door;
};

static void setup(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_proxy_put(scene->tasks, kin_value_int(7), SOON));
}

/* The victim connects, takes the lock and a task, does it, and gives both back. */
static void victim(void *context)
{
    (void)context;
    kin_manager *manager = NULL;
    kin_value task;
    if (kin_manager_connect(&manager, address, "k", 1, SOON) < 0) return;
    kin_proxy *door = manager_object(manager, "door", SOON), *tasks = manager_object(manager, "tasks", SOON);
    kin_proxy_acquire(door, SOON);
    kin_proxy_get(tasks, &task, SOON);
    kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON);
    kin_proxy_release(door);
    kin_proxy_close(tasks);
    kin_proxy_close(door);
    kin_manager_close(manager);
}

/* The lock can be had, and the task is done or there. */
static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    kin_value task;
    (void)step;
    CHECK_OK(kin_proxy_acquire(scene->door, SOON));
    CHECK_OK(kin_proxy_release(scene->door));
    int rc = kin_proxy_get(scene->tasks, &task, KIN_NOW);
    if (rc == 0)
        CHECK_OK(kin_proxy_call(scene->tasks, "task_done", kin_value_none(), NULL, SOON));
    else
        CHECK_RC(rc, KIN_EMPTY);
    if (finished) CHECK_RC(rc, KIN_EMPTY);
    /* Everything that was put is done: nothing is in the hands of the dead. */
    CHECK_OK(kin_proxy_call(scene->tasks, "join", kin_value_none(), NULL, SOON));
}

TEST(a_client_is_killed_at_every_system_call, .deadline = 120)
{
    struct scene scene = {.manager = start()};
    scene.tasks = manager_object(scene.manager, "tasks", SOON);
    scene.door = manager_object(scene.manager, "door", SOON);
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .setup = setup,
                                                                .operation = victim,
                                                                .survive = survive,
                                                                .context = &scene});
    CHECK_GT(report.points, 20);
    CHECK_OK(kin_proxy_close(scene.tasks));
    CHECK_OK(kin_proxy_close(scene.door));
    CHECK_OK(kin_manager_close(scene.manager));
}

/* ---- workers at random -------------------------------------------------------------------------- */

#define TASKS   400
#define WORKERS 3

static void work(void *unused)
{
    (void)unused;
    kin_manager *manager = NULL;
    kin_value task;
    if (kin_manager_connect(&manager, address, "k", 1, SOON) < 0) _exit(1);
    kin_proxy *tasks = manager_object(manager, "tasks", SOON),
              *results = manager_object(manager, "results", SOON);
    while (kin_proxy_get(tasks, &task, SOON) == 0) {
        if (kin_proxy_put(results, task, SOON) < 0) break;
        if (kin_proxy_call(tasks, "task_done", kin_value_none(), NULL, SOON) < 0) break;
    }
}

/* A worker that is killed between its result and task_done lets another one do the task again. */
TEST(no_task_is_lost_when_workers_are_killed)
{
    kin_manager *manager = start();
    kin_proxy *tasks = manager_object(manager, "tasks", SOON),
              *results = manager_object(manager, "results", SOON);
    static bool done[TASKS];
    pid_t workers[WORKERS];
    unsigned seed = 1;
    long distinct = 0, all = 0, kills = 0;
    for (int i = 0; i < TASKS; i++) CHECK_OK(kin_proxy_put(tasks, kin_value_int(i), SOON));
    for (int i = 0; i < WORKERS; i++) workers[i] = test_child(work, NULL);
    while (distinct < TASKS) {
        kin_value result;
        int64_t number;
        CHECK_OK(kin_proxy_get(results, &result, SOON));
        CHECK_OK(kin_value_get_int(&result, &number));
        if (!done[number]) distinct++;
        done[number] = true;
        all++;
        if (rand_r(&seed) % 8 != 0) continue;
        int which = rand_r(&seed) % WORKERS;
        kill(workers[which], SIGKILL);
        test_collect(workers[which]);
        workers[which] = test_child(work, NULL);
        kills++;
    }
    CHECK_OK(kin_proxy_call(tasks, "join", kin_value_none(), NULL, SOON));
    NOTE("%ld workers were killed, %ld of %d tasks done twice", kills, all - distinct, TASKS);
    CHECK_GT(kills, 5);
    for (int i = 0; i < WORKERS; i++) {
        kill(workers[i], SIGKILL);
        test_collect(workers[i]);
    }
    CHECK_OK(kin_proxy_close(tasks));
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_manager_close(manager));
}

/* ---- the server at random ------------------------------------------------------------------------- */

static void serve(void *unused)
{
    (void)unused;
    kin_manager_serve(&(kin_manager_options){
        .address = address, .key = "k", .key_size = 1, .types = types, .type_count = 3});
}

static int seats[2]; /* a byte for each client that is connected */

/* Every other one waits for what never comes; the rest ask again and again. */
static void use(void *of_number)
{
    int number = *(int *)of_number, rc = 0;
    kin_manager *manager = NULL;
    kin_value item;
    CHECK_OK(kin_manager_connect(&manager, address, "k", 1, SOON));
    kin_proxy *results = manager_object(manager, "results", SOON);
    CHECK_EQ(write(seats[1], "x", 1), 1);
    if (number % 2 == 0) rc = kin_proxy_get(results, &item, KIN_FOREVER);
    while (rc == 0) rc = kin_proxy_call(results, "qsize", kin_value_none(), NULL, KIN_FOREVER);
    CHECK(rc == -ECONNRESET || rc == -EPIPE || rc == -ECONNREFUSED);
    CHECK_OK(kin_proxy_close(results));
    CHECK_OK(kin_manager_close(manager));
}

TEST(everybody_learns_that_the_server_was_killed)
{
    snprintf(address, sizeof address, "unix:@kin-test-kill-%d", (int)getpid());
    CHECK_OK(pipe(seats));
    for (int round = 0; round < (test_sanitized() ? 3 : 10); round++) {
        pid_t server = test_child(serve, NULL), clients[6];
        kin_manager *manager = NULL;
        char byte;
        test_until(kin_manager_connect(&manager, address, "k", 1, SOON) == 0);
        for (int i = 0; i < 6; i++) clients[i] = test_child(use, &i);
        for (int i = 0; i < 6; i++) CHECK_EQ(read(seats[0], &byte, 1), 1);
        kin_proxy *tasks = manager_object(manager, "tasks", SOON);
        for (int i = 0; i < 20 * round; i++)
            CHECK_OK(kin_proxy_call(tasks, "qsize", kin_value_none(), NULL, SOON));
        kill(server, SIGKILL);
        CHECK_EQ(test_collect(server), SIGKILL);
        for (int i = 0; i < 6; i++) CHECK_EQ(test_collect(clients[i]), 0);
        CHECK_OK(kin_proxy_close(tasks));
        CHECK_OK(kin_manager_close(manager));
    }
    close(seats[0]);
    close(seats[1]);
}

/* ---- a server at every system call ---------------------------------------------------------------------- */

#define ITEMS 3

static const kin_manager_type kept[] = {{.name = "list", .shared = "list"}};

static const char *snapshot(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/snapshot", test_directory());
    return path;
}

/* Serves until a client ends it, or at once. */
static void keep_list(kin_deadline stop)
{
    kin_manager_serve(&(kin_manager_options){.address = address,
                                             .key = "k",
                                             .key_size = 1,
                                             .types = kept,
                                             .type_count = 1,
                                             .snapshot = snapshot(),
                                             .stop = stop});
}

static void serve_nobody(void *unused)
{
    (void)unused;
    keep_list(kin_clock());
}

static void serve_one(void *unused)
{
    (void)unused;
    keep_list(kin_in_s(60));
}

/* What the snapshot holds. */
static long count_kept(void)
{
    kin_manager *manager = NULL;
    kin_value result;
    int64_t count = -1;
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){.types = kept, .type_count = 1, .snapshot = snapshot()}));
    kin_proxy *list = manager_object(manager, "list", SOON);
    CHECK_OK(kin_proxy_call(list, "__len__", kin_value_none(), &result, SOON));
    CHECK_OK(kin_value_get_int(&result, &count));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
    return (long)count;
}

static void whole_after_a_kill(void *unused, long step, bool finished)
{
    (void)unused;
    (void)step;
    (void)finished;
    CHECK_EQ(count_kept(), ITEMS);
}

static void remove_files(void)
{
    static const char *const ends[] = {"", ".new", ".lock"};
    for (int i = 0; i < 3; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s%s", snapshot(), ends[i]);
        unlink(path);
    }
}

/* Whichever snapshot is there, the one before or the one after, it is whole. */
TEST(a_server_is_killed_at_every_system_call_of_a_snapshot, .deadline = 120)
{
    /* Before there is a file that would be left. */
    if (test_sanitized()) SKIP("stepping through a sanitizer's code takes too long");
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){.types = kept, .type_count = 1, .snapshot = snapshot()}));
    kin_proxy *list = manager_object(manager, "list", SOON);
    for (int i = 0; i < ITEMS; i++)
        CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(i)", i), NULL, SOON));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
    snprintf(address, sizeof address, "unix:@kin-test-snap-%d", (int)getpid());
    struct stepkill_report report = stepkill(&(struct stepkill){
        .mode = STEPKILL_SYSCALLS, .operation = serve_nobody, .survive = whole_after_a_kill, .stride = 2});
    CHECK_GT(report.points, 20);
    remove_files();
}

/* A client of the server that is killed: it always learns how its calls end. */
struct caller {
    pid_t process;
    volatile int *killed; /* the server is dead */
    volatile int *done;   /* calls that were answered */
};

static void call_until_the_end(void *of_caller)
{
    struct caller *caller = of_caller;
    kin_manager *manager = NULL;
    kin_proxy *list = NULL;
    int rc = -1;
    while (rc < 0 && !*caller->killed) rc = kin_manager_connect(&manager, address, "k", 1, SOON);
    if (rc == 0) rc = kin_manager_create(manager, &list, "list", kin_value_none(), SOON);
    for (int i = 0; rc == 0 && i < ITEMS; i++) {
        rc = kin_proxy_call(list, "append", kin_value_build("(i)", i), NULL, SOON);
        if (rc == 0) *caller->done = i + 1;
    }
    CHECK(rc != -ETIMEDOUT);
    kin_proxy_close(list);
    if (rc == 0) rc = kin_manager_shutdown(manager, SOON);
    CHECK(rc != -ETIMEDOUT);
    kin_manager_close(manager);
}

static void begin_calls(void *context)
{
    struct caller *caller = context;
    remove_files();
    *caller->killed = *caller->done = 0;
    caller->process = test_child(call_until_the_end, caller);
}

static void nothing_hangs(void *context, long step, bool finished)
{
    struct caller *caller = context;
    (void)step;
    *caller->killed = 1;
    CHECK_EQ(test_collect(caller->process), 0);
    if (finished) {
        CHECK_EQ(*caller->done, ITEMS);
        CHECK_EQ(count_kept(), ITEMS);
    }
}

TEST(a_server_is_killed_at_every_system_call_of_requests, .deadline = 120)
{
    struct caller caller = {.killed = test_shared(sizeof(int)), .done = test_shared(sizeof(int))};
    snprintf(address, sizeof address, "unix:@kin-test-calls-%d", (int)getpid());
    struct stepkill_report report = stepkill(&(struct stepkill){.mode = STEPKILL_SYSCALLS,
                                                                .setup = begin_calls,
                                                                .operation = serve_one,
                                                                .survive = nothing_hangs,
                                                                .context = &caller,
                                                                .stride = 3});
    CHECK_GT(report.points, 20);
    remove_files();
}
