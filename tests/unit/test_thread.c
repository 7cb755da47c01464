/* test_thread.c: starting threads, waiting for them, their names and their end; timers; values of
 * their own. */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/local.h>
#include <kin/loop.h>
#include <kin/process.h>
#include <kin/queue.h>
#include <kin/thread.h>

static int return_code(void *code)
{
    return (int)(intptr_t)code;
}

/* A gate that threads wait at, without the family. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
};
#define GATE \
    { \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false \
    }

static int wait_at(void *argument)
{
    struct gate *gate = argument;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return 0;
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

/* ---- life ------------------------------------------------------------------------------------------ */

TEST_COLD(a_thread_returns_its_code)
{
    kin_thread *thread = NULL;
    int result = 0;
    CHECK_OK(kin_thread_start(&thread, return_code, (void *)-7, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_join(thread, KIN_NOW));
    CHECK_EQ(kin_thread_is_alive(thread), 0);
    CHECK_OK(kin_thread_result(thread, &result));
    CHECK_EQ(result, -7);
    CHECK_OK(kin_thread_close(thread));
}

TEST(a_running_thread_is_alive)
{
    struct gate gate = GATE;
    kin_thread *thread = NULL;
    int result;
    CHECK_OK(kin_thread_start(&thread, wait_at, &gate, &(kin_thread_options){.daemon = true}));
    CHECK_EQ(kin_thread_is_alive(thread), 1);
    CHECK_EQ(kin_thread_daemon(thread), 1);
    CHECK_RC(kin_thread_join(thread, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_thread_join(thread, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_thread_result(thread, &result), -EBUSY);
    CHECK_RC(kin_thread_close(thread), -EBUSY);
    CHECK_GT(kin_thread_id(thread), 0);
    CHECK_NE(kin_thread_id(thread), getpid());
    open_gate(&gate);
    CHECK_OK(kin_thread_join(thread, kin_in_s(30)));
    CHECK_OK(kin_thread_close(thread));
}

static int join_other(void *other)
{
    return kin_thread_join(other, KIN_FOREVER);
}

TEST(several_threads_join_one)
{
    struct gate gate = GATE;
    kin_thread *joined = NULL, *joining[8];
    CHECK_OK(kin_thread_start(&joined, wait_at, &gate, NULL));
    for (int i = 0; i < 8; i++) CHECK_OK(kin_thread_start(&joining[i], join_other, joined, NULL));
    open_gate(&gate);
    for (int i = 0; i < 8; i++) {
        int result = -1;
        CHECK_OK(kin_thread_join(joining[i], KIN_FOREVER));
        CHECK_OK(kin_thread_result(joining[i], &result));
        CHECK_EQ(result, 0);
        CHECK_OK(kin_thread_close(joining[i]));
    }
    CHECK_OK(kin_thread_close(joined));
}

static int exit_thread(void *unused)
{
    pthread_exit(unused);
}

TEST(a_thread_that_exits_has_no_result)
{
    kin_thread *thread = NULL;
    int result = 5;
    CHECK_OK(kin_thread_start(&thread, exit_thread, NULL, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_RC(kin_thread_result(thread, &result), -ECANCELED);
    CHECK_EQ(result, 5);
    CHECK_OK(kin_thread_close(thread));
}

TEST(many_come_and_go_without_handles)
{
    static atomic_int ran;
    struct gate gate = GATE;
    (void)gate;
    for (int i = 0; i < 200; i++) {
        kin_thread *thread = NULL;
        CHECK_OK(kin_thread_start(i % 2 ? &thread : NULL, return_code, NULL, NULL));
        if (thread == NULL) continue;
        CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread));
        atomic_fetch_add(&ran, 1);
    }
    CHECK_EQ(ran, 100);
    test_until(kin_thread_enumerate(NULL, 0) == 1);
}

/* ---- names ------------------------------------------------------------------------------------------ */

static int check_current(void *expected)
{
    CHECK_STR(kin_thread_name(kin_thread_current()), expected);
    CHECK_EQ(kin_thread_id(kin_thread_current()), gettid());
    return 0;
}

static void *check_foreign(void *unused)
{
    check_current((void *)"Dummy-1");
    CHECK_EQ(kin_thread_daemon(kin_thread_current()), 1);
    CHECK_RC(kin_thread_join(kin_thread_current(), KIN_NOW), -EDEADLK);
    return unused;
}

TEST(threads_have_names)
{
    kin_thread *thread = NULL;
    pthread_t foreign;
    CHECK_STR(kin_thread_name(kin_thread_current()), "MainThread");
    CHECK_EQ(kin_thread_id(kin_thread_current()), getpid());
    const char *names[] = {"Thread-1", "Thread-2", "worker"};
    for (int i = 0; i < 3; i++) {
        kin_thread_options options = {.name = i < 2 ? NULL : names[i]};
        CHECK_OK(kin_thread_start(&thread, check_current, (void *)(uintptr_t)names[i], &options));
        CHECK_STR(kin_thread_name(thread), names[i]);
        CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread));
    }
    CHECK_EQ(pthread_create(&foreign, NULL, check_foreign, NULL), 0);
    CHECK_EQ(pthread_join(foreign, NULL), 0);
}

TEST(those_alive_are_enumerated)
{
    struct gate gate = GATE;
    kin_thread *thread[3];
    kin_thread_info info[5];
    CHECK_EQ(kin_thread_enumerate(NULL, 0), 1);
    for (int i = 0; i < 3; i++)
        CHECK_OK(kin_thread_start(&thread[i], wait_at, &gate, &(kin_thread_options){.daemon = i == 2}));
    CHECK_EQ(kin_thread_enumerate(info, 2), 4);
    CHECK_EQ(kin_thread_enumerate(info, 5), 4);
    CHECK_STR(info[0].name, "MainThread");
    CHECK(info[0].main && !info[1].main);
    CHECK_STR(info[3].name, "Thread-3");
    CHECK(info[3].daemon && !info[2].daemon);
    open_gate(&gate);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    CHECK_EQ(kin_thread_enumerate(info, 5), 1);
}

/* ---- the end of the process, and fork ---------------------------------------------------------------- */

static int put_late(void *queue)
{
    char message[8];
    kin_queue **pair = queue;
    kin_queue_get(pair[0], message, sizeof message, KIN_FOREVER);
    kin_queue_put(pair[1], "late", 5, KIN_FOREVER);
    return 0;
}

static int leave_one_behind(void *queues)
{
    kin_queue **pair = queues;
    CHECK_OK(kin_thread_start(NULL, put_late, queues, NULL));
    CHECK_OK(kin_thread_start(NULL, put_late, queues, &(kin_thread_options){.daemon = true}));
    return kin_queue_put(pair[0], "", 0, KIN_FOREVER);
}

TEST(a_child_waits_for_its_threads)
{
    kin_queue *pair[2];
    kin_process *child = NULL;
    char message[8];
    CHECK_OK(kin_queue_open(&pair[0], NULL));
    CHECK_OK(kin_queue_open(&pair[1], NULL));
    CHECK_OK(kin_process_start(&child, leave_one_behind, pair, NULL));
    /* Either thread may have taken the message; an ordinary one that has not waits for this one. */
    CHECK_OK(kin_queue_put(pair[0], "", 0, KIN_FOREVER));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_EQ(kin_queue_get(pair[1], message, sizeof message, KIN_NOW), 5);
    CHECK_OK(kin_process_close(child));
    CHECK_OK(kin_queue_close(pair[0]));
    CHECK_OK(kin_queue_close(pair[1]));
}

static int fork_in_thread(void *waiting)
{
    pid_t child = fork();
    CHECK_OK(child);
    if (child == 0) {
        /* What is left of the threads is this one. */
        bool good = kin_thread_enumerate(NULL, 0) == 1 && kin_thread_join(waiting, KIN_FOREVER) == 0 &&
                    kin_thread_is_alive(waiting) == 0 && kin_thread_id(kin_thread_current()) == getpid();
        kin_thread *thread = NULL;
        /* ThreadSanitizer knows no threads after a fork. */
        if (!crew_sees_processes()) _exit(good ? 0 : 1);
        good = good && kin_thread_start(&thread, return_code, NULL, NULL) == 0 &&
               kin_thread_join(thread, KIN_FOREVER) == 0 && kin_thread_close(thread) == 0;
        _exit(good ? 0 : 1);
    }
    return test_collect(child);
}

TEST(a_child_of_fork_has_one_thread)
{
    struct gate gate = GATE;
    kin_thread *waiting = NULL, *forking = NULL;
    int result = -1;
    CHECK_OK(kin_thread_start(&waiting, wait_at, &gate, NULL));
    CHECK_OK(kin_thread_start(&forking, fork_in_thread, waiting, NULL));
    CHECK_OK(kin_thread_join(forking, KIN_FOREVER));
    CHECK_OK(kin_thread_result(forking, &result));
    CHECK_EQ(result, 0);
    open_gate(&gate);
    CHECK_OK(kin_thread_join(waiting, KIN_FOREVER));
    CHECK_OK(kin_thread_close(waiting));
    CHECK_OK(kin_thread_close(forking));
}

static int return_when_told(void *gate)
{
    wait_at(gate);
    return 3;
}

/* It has ended for whoever asks, and not for the system yet. */
static pthread_key_t slow_end;
static void end_slowly(void *gate)
{
    wait_at(gate);
}
static int end_in_two_steps(void *gate)
{
    CHECK_EQ(pthread_setspecific(slow_end, gate), 0);
    return 4;
}
static int join_in_vain(void *thread)
{
    return kin_thread_join(thread, kin_in_s(1000));
}

TEST(a_child_of_fork_waits_for_nothing_of_its_parents_threads)
{
    struct gate gate = GATE;
    kin_thread *running = NULL, *ending = NULL, *joining = NULL;
    int result;
    CHECK_EQ(pthread_key_create(&slow_end, end_slowly), 0);
    CHECK_OK(kin_thread_start(&running, return_when_told, &gate, NULL));
    CHECK_OK(kin_thread_start(&ending, end_in_two_steps, &gate, NULL));
    while (kin_thread_result(ending, &result) == -EBUSY) kin_coroutine_sleep(kin_in_ms(1));
    CHECK_OK(kin_thread_start(&joining, join_in_vain, ending, NULL));
    CHECK_RC(kin_thread_join(joining, kin_in_ms(20)), -ETIMEDOUT);
    pid_t child = fork();
    CHECK_OK(child);
    if (child == 0) {
        kin_thread *all[] = {running, ending, joining};
        for (int i = 0; i < 3; i++) CHECK_OK(kin_thread_join(all[i], KIN_FOREVER));
        CHECK_RC(kin_thread_result(running, &result), -ECANCELED);
        CHECK_OK(kin_thread_result(ending, &result));
        CHECK_EQ(result, 4);
        for (int i = 0; i < 3; i++) CHECK_OK(kin_thread_close(all[i]));
        _exit(0);
    }
    CHECK_EQ(test_collect(child), 0);
    open_gate(&gate);
    CHECK_OK(kin_thread_join(joining, KIN_FOREVER));
    CHECK_OK(kin_thread_join(running, KIN_FOREVER));
    CHECK_OK(kin_thread_close(joining));
    CHECK_OK(kin_thread_close(running));
    CHECK_OK(kin_thread_close(ending));
    CHECK_OK(kin_loop_close());
    pthread_key_delete(slow_end);
}

static kin_thread *to_be_joined;
static int join_the_slow(void *unused)
{
    (void)unused;
    return kin_thread_join(to_be_joined, KIN_FOREVER);
}
static int open_later(void *gate)
{
    CHECK_OK(kin_coroutine_sleep(kin_in_ms(2)));
    open_gate(gate);
    return 0;
}

/* What the thread's end waits for is another coroutine of the thread that waits for this end. */
TEST(a_coroutine_waits_for_a_slow_end)
{
    struct gate gate = GATE;
    int result;
    CHECK_EQ(pthread_key_create(&slow_end, end_slowly), 0);
    CHECK_OK(kin_thread_start(&to_be_joined, end_in_two_steps, &gate, NULL));
    while (kin_thread_result(to_be_joined, &result) == -EBUSY) kin_coroutine_sleep(kin_in_ms(1));
    CHECK_OK(kin_coroutine_start(NULL, join_the_slow, NULL, NULL));
    CHECK_OK(kin_coroutine_start(NULL, open_later, &gate, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_thread_close(to_be_joined));
    CHECK_OK(kin_loop_close());
    pthread_key_delete(slow_end);
}

/* ---- bad input and faults ------------------------------------------------------------------------------ */

TEST(bad_input_is_refused)
{
    char name[65];
    kin_thread *thread = NULL;
    memset(name, 'n', 64);
    name[64] = '\0';
    CHECK_RC(kin_thread_start(&thread, NULL, NULL, NULL), -EINVAL);
    CHECK_RC(kin_thread_start(&thread, return_code, NULL, &(kin_thread_options){.name = name}), -EINVAL);
    CHECK_RC(kin_thread_start(&thread, return_code, NULL, &(kin_thread_options){.stack_size = 1}), -EINVAL);
    CHECK_RC(kin_thread_join(NULL, KIN_FOREVER), -EINVAL);
    CHECK_RC(kin_thread_join(kin_thread_current(), KIN_FOREVER), -EDEADLK);
    CHECK_RC(kin_thread_is_alive(NULL), -EINVAL);
    CHECK_RC(kin_thread_result(NULL, NULL), -EINVAL);
    CHECK_RC(kin_thread_id(NULL), -EINVAL);
    CHECK_RC(kin_thread_daemon(NULL), -EINVAL);
    CHECK(kin_thread_name(NULL) == NULL);
    CHECK_OK(kin_thread_close(NULL));
    CHECK_RC(kin_thread_close(kin_thread_current()), -EINVAL);
    CHECK_RC(kin_thread_enumerate(NULL, 1), -EINVAL);
    CHECK_RC(kin_timer_start(NULL, KIN_NOW, return_code, NULL, NULL), -EINVAL);
    CHECK_RC(kin_timer_cancel(NULL), -EINVAL);
    CHECK_RC(kin_timer_join(NULL, KIN_NOW), -EINVAL);
    CHECK_OK(kin_timer_close(NULL));
    CHECK_RC(kin_local_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_local_set(NULL, NULL), -EINVAL);
    CHECK(kin_local_get(NULL) == NULL);
    CHECK_OK(kin_local_close(NULL));
}

static int make_timer(void *context)
{
    return kin_timer_start(context, KIN_FOREVER, return_code, NULL, NULL);
}

static int unmake_timer(void *context)
{
    return kin_timer_close(*(kin_timer **)context);
}

TEST(start_under_faults)
{
    kin_timer *timer;
    if (!crew_sees_processes()) SKIP("ThreadSanitizer keeps mappings of threads that have ended");
    struct faults_report report =
        faults(&(struct faults){.make = make_timer, .unmake = unmake_timer, .context = &timer});
    CHECK_GE(report.failures, 3);
}

/* ---- timers ---------------------------------------------------------------------------------------------- */

static int note_moment(void *moment)
{
    *(kin_deadline *)moment = kin_clock();
    return 0;
}

TEST(a_timer_runs_its_function_in_time)
{
    kin_timer *timer = NULL;
    kin_deadline ran = 0, when = kin_in_ms(20);
    CHECK_OK(kin_timer_start(&timer, when, note_moment, &ran, NULL));
    CHECK_OK(kin_timer_join(timer, KIN_FOREVER));
    CHECK_GE(ran, when);
    CHECK_RC(kin_timer_cancel(timer), -EALREADY);
    CHECK_OK(kin_timer_close(timer));
}

TEST(a_cancelled_timer_does_not)
{
    kin_timer *timer = NULL;
    kin_deadline ran = 0;
    CHECK_OK(kin_timer_start(&timer, KIN_FOREVER, note_moment, &ran, NULL));
    CHECK_RC(kin_timer_join(timer, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_OK(kin_timer_cancel(timer));
    CHECK_OK(kin_timer_cancel(timer));
    CHECK_OK(kin_timer_join(timer, KIN_FOREVER));
    CHECK_OK(kin_timer_close(timer));
    CHECK_OK(kin_timer_start(&timer, KIN_FOREVER, note_moment, &ran, NULL));
    CHECK_OK(kin_timer_close(timer));
    CHECK_EQ(ran, 0);
}

/* ---- values of a thread's own ---------------------------------------------------------------------------- */

static kin_local *locals[40];
static atomic_int destroyed;

static void destroy(void *value)
{
    CHECK(value != NULL);
    atomic_fetch_add(&destroyed, 1);
}

static int use_locals(void *mark)
{
    for (int i = 0; i < 40; i++) {
        CHECK(kin_local_get(locals[i]) == NULL);
        CHECK_OK(kin_local_set(locals[i], (char *)mark + i));
    }
    for (int i = 0; i < 40; i++) CHECK(kin_local_get(locals[i]) == (char *)mark + i);
    CHECK_OK(kin_local_set(locals[0], NULL));
    return 0;
}

TEST(each_thread_has_its_own_values)
{
    static char marks[4][40];
    kin_thread *thread[4];
    for (int i = 0; i < 40; i++) CHECK_OK(kin_local_open(&locals[i], i % 2 ? destroy : NULL));
    CHECK_OK(kin_local_set(locals[3], marks));
    for (int i = 0; i < 4; i++) CHECK_OK(kin_thread_start(&thread[i], use_locals, marks[i], NULL));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
    CHECK_EQ(destroyed, 4 * 20);
    CHECK(kin_local_get(locals[3]) == marks);
    /* The next local in its place does not see the old one's value. */
    CHECK_OK(kin_local_close(locals[3]));
    CHECK_OK(kin_local_open(&locals[3], NULL));
    CHECK(kin_local_get(locals[3]) == NULL);
    for (int i = 0; i < 40; i++) CHECK_OK(kin_local_close(locals[i]));
}

static int again;

static void set_again(void *value)
{
    if (again++ < 2) CHECK_OK(kin_local_set(locals[0], value));
}

static int set_once(void *value)
{
    return kin_local_set(locals[0], value);
}

TEST(a_destructor_may_set_values)
{
    kin_thread *thread = NULL;
    CHECK_OK(kin_local_open(&locals[0], set_again));
    CHECK_OK(kin_thread_start(&thread, set_once, &again, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_EQ(again, 3);
    CHECK_OK(kin_thread_close(thread));
    CHECK_OK(kin_local_close(locals[0]));
}

static _Atomic int stage;

/* Two more, when the closing had time to return. */
static void destroy_slowly(void *value)
{
    (void)value;
    atomic_store(&stage, 1);
    while (atomic_load(&stage) == 1) sched_yield();
    for (int i = 0; i < 1000; i++) sched_yield();
    CHECK_EQ(atomic_load(&stage), 2);
    atomic_store(&stage, 4);
}

static int close_locals(void *unused)
{
    (void)unused;
    while (atomic_load(&stage) == 0) sched_yield();
    atomic_store(&stage, 2);
    CHECK_OK(kin_local_close(locals[0]));
    CHECK_EQ(atomic_load(&stage), 4);
    return 0;
}

TEST(closing_a_local_waits_for_its_destructors)
{
    kin_thread *thread[2];
    CHECK_OK(kin_local_open(&locals[0], destroy_slowly));
    CHECK_OK(kin_thread_start(&thread[0], set_once, &stage, NULL));
    CHECK_OK(kin_thread_start(&thread[1], close_locals, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kin_thread_join(thread[i], KIN_FOREVER));
        CHECK_OK(kin_thread_close(thread[i]));
    }
}

static void close_own(void *value)
{
    CHECK(value == &stage);
    CHECK_OK(kin_local_close(locals[0]));
}

TEST(a_destructor_may_close_its_local)
{
    kin_thread *thread = NULL;
    CHECK_OK(kin_local_open(&locals[0], close_own));
    CHECK_OK(kin_thread_start(&thread, set_once, &stage, NULL));
    CHECK_OK(kin_thread_join(thread, KIN_FOREVER));
    CHECK_OK(kin_thread_close(thread));
}
