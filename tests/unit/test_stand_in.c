/* test_stand_in.c: children where there is no pidfd_open, as under valgrind 3.19: what stands for their descriptors.
 * All tests of processes and pools can be run so: KIN_TEST_STAND_INS=1 kin-test test_process. */
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/subprocess.h>
#include <kin/wait.h>

#include "os/os.h"
#include "os/stand_in.h"

#define SOON kin_in_s(20)

static kin_process *start(kin_process_function *target, void *argument)
{
    kin_process *process = NULL;
    kin__os_stand_in_begin();
    CHECK_OK(kin_process_start(&process, target, argument, NULL));
    return process;
}

static int exit_with(void *code)
{
    return *(int *)code;
}

static int stay(void *unused)
{
    (void)unused;
    while (pause() < 0) continue;
    return 0;
}

static void check_end(kin_process *process, enum kin_exit_kind kind, int code, int signal)
{
    kin_exit_status status;
    CHECK_OK(kin_process_join(process, SOON));
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.kind, kind);
    CHECK_EQ(status.code, code);
    CHECK_EQ(status.signal, signal);
    CHECK_EQ(kin_process_is_alive(process), 0);
    CHECK_OK(kin_process_close(process));
}

TEST(a_child_ends_in_every_way)
{
    int code = 7;
    for (int i = 0; i < 3; i++) check_end(start(exit_with, &code), KIN_EXITED, 7, 0);
    kin_process *process = start(stay, NULL);
    CHECK_EQ(kin_process_is_alive(process), 1);
    CHECK_RC(kin_process_join(process, kin_in_ms(10)), -ETIMEDOUT);
    CHECK_OK(kin_process_kill(process));
    check_end(process, KIN_SIGNALED, 0, SIGKILL);
    process = start(stay, NULL);
    CHECK_OK(kin_process_terminate(process));
    check_end(process, KIN_SIGNALED, 0, SIGTERM);
    CHECK_RC(kin__os_process_open(getpid()), -ENOSYS);
}

TEST(a_child_is_waited_for_with_others)
{
    int code = 3;
    kin_process *processes[] = {start(stay, NULL), start(exit_with, &code)};
    kin_waitable items[] = {kin_on_process(processes[0]), kin_on_process(processes[1])};
    CHECK_EQ(kin_wait(items, 2, SOON), 1);
    CHECK(!items[0].ready && items[1].ready);
    check_end(processes[1], KIN_EXITED, 3, 0);
    struct pollfd polled = {.fd = kin_process_sentinel(processes[0]), .events = POLLIN};
    CHECK_EQ(poll(&polled, 1, 0), 0);
    CHECK_OK(kin_process_kill(processes[0]));
    CHECK_EQ(poll(&polled, 1, -1), 1);
    check_end(processes[0], KIN_SIGNALED, 0, SIGKILL);
}

/* Its own child, of a plain fork, stays until the pipe is closed. */
static int leave_a_child(void *ends)
{
    char byte;
    int *from = ends;
    CHECK_OK(close(from[1]));
    if (fork() == 0) _exit(read(from[0], &byte, 1) != 0);
    return 0;
}

static int start_others(void *ends)
{
    int code = 5;
    check_end(start(exit_with, &code), KIN_EXITED, 5, 0);
    return leave_a_child(ends);
}

TEST(who_is_left_by_a_child_does_not_stand_for_it)
{
    int ends[2];
    kin_process_function *const targets[] = {leave_a_child, start_others};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(pipe(ends));
        check_end(start(targets[i], ends), KIN_EXITED, 0, 0);
        CHECK_OK(close(ends[0]) + close(ends[1]));
    }
}

static int become_another(void *unused)
{
    (void)unused;
    execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
    return 1;
}

TEST(a_child_that_becomes_another_program_ends_with_that)
{
    check_end(start(become_another, NULL), KIN_EXITED, 9, 0);
}

/* No signal goes to a pid that is another's by now. */
TEST(a_child_that_was_collected_by_the_program_is_not_signalled)
{
    int code = 1;
    kin_exit_status status;
    kin_process *process = start(exit_with, &code);
    int descriptor = kin_process_sentinel(process);
    CHECK_EQ(waitpid(kin_process_pid(process), NULL, 0), kin_process_pid(process));
    CHECK_RC(kin__os_process_signal(descriptor, 0), -ESRCH);
    CHECK_OK(kin_process_join(process, SOON));
    CHECK_OK(kin_process_exit_status(process, &status));
    CHECK_EQ(status.kind, KIN_UNKNOWN);
    CHECK_OK(kin_process_close(process));
}

/* The number of a descriptor that stood for a child may be that of one that a child has itself. */
TEST(programs_have_descriptors_of_their_own)
{
    int code = 0;
    for (int i = 0; i < 3; i++) {
        const char *const words[] = {"/bin/sh", "-c", "exit 4", NULL};
        int ended_with = -1;
        check_end(start(exit_with, &code), KIN_EXITED, 0, 0);
        CHECK_OK(kin_subprocess_call(&ended_with, words, SOON));
        CHECK_EQ(ended_with, 4);
    }
}

static int halve(const long *in, long *out)
{
    if (*in == 13) raise(SIGKILL);
    *out = *in / 2;
    return 0;
}
KIN_MAP(halve, long, long);

TEST(a_pool_replaces_a_worker)
{
    long in[40], out[40];
    kin_pool *pool = NULL;
    kin__os_stand_in_begin();
    for (int i = 0; i < 40; i++) in[i] = i % 13;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    CHECK_OK(kin_pool_map(pool, KIN_FN(halve), in, out, 40, SOON));
    for (int i = 0; i < 40; i++) CHECK_EQ(out[i], i % 13 / 2);
    in[20] = 13;
    CHECK_LT(kin_pool_map(pool, KIN_FN(halve), in, out, 40, SOON), 0);
    in[20] = 12;
    CHECK_OK(kin_pool_map(pool, KIN_FN(halve), in, out, 40, SOON));
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, SOON));
    CHECK_OK(kin_pool_free(pool));
}

TEST(a_manager_is_started_and_ended)
{
    kin_manager *manager = NULL;
    kin_proxy *list = NULL;
    kin__os_stand_in_begin();
    CHECK_OK(kin_manager_start(&manager, NULL));
    CHECK_OK(kin_manager_create(manager, &list, "list", kin_value_none(), SOON));
    CHECK_OK(kin_proxy_call(list, "append", kin_value_build("(i)", 1), NULL, SOON));
    CHECK_OK(kin_proxy_close(list));
    CHECK_OK(kin_manager_close(manager));
}
