/* test_subprocess_threads.c: several threads, and several processes, that run other programs at the
 * same time; and several threads with one handle. */
#define _GNU_SOURCE
#include "support/crew.h"
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/loop.h>
#include <kin/subprocess.h>

#define MEMBERS 4
#define ROUNDS  40

/* ---- a command each ---------------------------------------------------------------------------------- */

/* Each gets its own output whole, and no pipe of another, which would hold that one's reader. */
static void run_commands(void *unused, unsigned index)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        char input[32];
        kin_completed done;
        int size = snprintf(input, sizeof input, "member %u round %d", index, i);
        kin_subprocess_options options = {.capture_output = true, .input = input, .input_size = (size_t)size};
        CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND("/bin/cat"), &options, KIN_FOREVER));
        CHECK_STR(done.out, input);
        kin_completed_free(&done);
        CHECK_RC(kin_subprocess_run(&done, KIN_COMMAND("/nothing"), &options, KIN_FOREVER), -ENOENT);
        CHECK_STR(kin_subprocess_error(), "cannot run /nothing: no such file or directory");
    }
}

static void commands_at_the_same_time(enum crew_kind kind)
{
    crew_run(kind, MEMBERS, run_commands, NULL);
}
CREW_TEST(commands_at_the_same_time)

/* ---- one command for all ------------------------------------------------------------------------------- */

static void *wait_for_end(void *subprocess)
{
    CHECK_OK(kin_subprocess_wait(subprocess, KIN_FOREVER));
    CHECK_RC(kin_subprocess_poll(subprocess), 1);
    return NULL;
}

static void *write_lines(void *subprocess)
{
    for (int i = 0; i < 20000; i++)
        CHECK_EQ(kin_subprocess_write(subprocess, "0123456\n", 8, KIN_FOREVER), 8);
    CHECK_OK(kin_subprocess_close_stdin(subprocess));
    return NULL;
}

TEST(threads_write_and_wait_with_one_handle)
{
    kin_subprocess *subprocess = NULL;
    kin_subprocess_options options = {.stdin_from = KIN_PIPE, .stdout_to = KIN_PIPE};
    pthread_t threads[MEMBERS];
    size_t size;
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("cat"), &options));
    for (int i = 0; i < MEMBERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, i == 0 ? write_lines : wait_for_end, subprocess), 0);
    for (int i = 0; i < MEMBERS; i++) pthread_join(threads[i], NULL);
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    const char *output = kin_subprocess_output(subprocess, 1, &size);
    CHECK_EQ(size, 20000 * 8);
    for (size_t i = 0; i < size; i += 8) CHECK_MEM(output + i, "0123456\n", 8);
    CHECK_OK(kin_subprocess_close(subprocess));
}

static void *signal_it(void *subprocess)
{
    CHECK_OK(kin_subprocess_kill(subprocess));
    return NULL;
}

TEST(one_thread_kills_what_others_wait_for)
{
    for (int round = 0; round < 20; round++) {
        kin_subprocess *subprocess = NULL;
        pthread_t threads[MEMBERS];
        int code = 0;
        CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("sleep", "1000"), NULL));
        for (int i = 0; i < MEMBERS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, i == 1 ? signal_it : wait_for_end, subprocess), 0);
        for (int i = 0; i < MEMBERS; i++) pthread_join(threads[i], NULL);
        CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
        CHECK_EQ(code, -SIGKILL);
        CHECK_OK(kin_subprocess_close(subprocess));
    }
}

/* ---- forks meanwhile --------------------------------------------------------------------------------- */

static atomic_bool enough;
static atomic_int lingering; /* a process that does not exec: what it has inherited stays open */

static void *fork_and_linger(void *unused)
{
    while (!enough) {
        pid_t child = fork();
        CHECK_OK(child);
        if (child == 0) {
            while (pause() < 0)
                ;
        }
        /* It is ended when the run that goes on meanwhile is over; that must not wait for it. */
        lingering = child;
        test_until(lingering == 0);
        kill(child, SIGKILL);
        test_collect(child);
    }
    return unused;
}

TEST(a_process_forked_meanwhile_holds_no_pipe)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fork_and_linger, NULL), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(kin_subprocess_run(NULL, KIN_COMMAND("/bin/true"),
                                    &(kin_subprocess_options){.capture_output = true}, KIN_FOREVER));
        lingering = 0;
    }
    enough = true;
    do lingering = 0;
    while (pthread_tryjoin_np(thread, NULL) != 0);
}

/* ---- coroutines ---------------------------------------------------------------------------------------- */

static int wait_in_coroutine(void *subprocess)
{
    CHECK_OK(kin_subprocess_communicate(subprocess, NULL, 0, KIN_FOREVER));
    return 0;
}

static int end_in_coroutine(void *subprocess)
{
    CHECK_OK(kin_subprocess_terminate(subprocess));
    return 0;
}

TEST(a_coroutine_that_waits_lets_others_run)
{
    kin_subprocess *subprocess = NULL;
    int code = 0;
    CHECK_OK(kin_subprocess_start(&subprocess, KIN_COMMAND("sleep", "1000"),
                                  &(kin_subprocess_options){.capture_output = true}));
    CHECK_OK(kin_coroutine_start(NULL, wait_in_coroutine, subprocess, NULL));
    CHECK_OK(kin_coroutine_start(NULL, end_in_coroutine, subprocess, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_loop_close());
    CHECK_OK(kin_subprocess_exit_code(subprocess, &code));
    CHECK_EQ(code, -SIGTERM);
    CHECK_OK(kin_subprocess_close(subprocess));
}
