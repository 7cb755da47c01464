/* planted.c: cases that go wrong, each in its own way, for the tests of the runner.
 *
 * Not run by itself: test_support_runner.c runs kin-test on it and looks at what that says.
 */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

TEST(passes)
{
    NOTE("a figure: %d", 42);
    CHECK_EQ(1, 1u);
}

TEST(fails_a_check)
{
    puts("said before the check");
    CHECK_EQ(-1, 4294967295u);
}

TEST(fails_a_code)
{
    CHECK_OK(-ENOENT);
}

TEST(skips)
{
    SKIP("no reason at all");
}

static void fail_here(void *argument)
{
    (void)argument;
    CHECK(!"in the child");
}

TEST(fails_in_a_child)
{
    test_child(fail_here, NULL);
    for (;;) pause();
}

static void *fail_in_thread(void *argument)
{
    (void)argument;
    FAIL("in a thread");
}

TEST(fails_in_a_thread)
{
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
    pthread_join(thread, NULL);
}

TEST(crashes)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit code */
    raise(SIGSEGV);
}

TEST(interrupts_itself)
{
    raise(SIGINT);
}

TEST(exits_with_code_3)
{
    exit(3);
}

static void stay(void)
{
    for (;;) pause();
}

TEST(leaves_a_process)
{
    if (fork() == 0) stay();
}

/* A daemon: its parent is gone and it has a session of its own. */
TEST(leaves_a_daemon)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            prctl(PR_SET_NAME, "planted-daemon");
            stay();
        }
        _exit(0);
    }
    test_collect(child);
}

/* Ends by itself soon after the case: that is allowed. */
TEST(leaves_a_process_on_its_way_out)
{
    int ends[2];
    CHECK_OK(pipe(ends));
    if (fork() == 0) {
        char byte;
        close(ends[1]);
        ssize_t length = read(ends[0], &byte, 1);
        _exit(length == 0 ? 0 : 1);
    }
    close(ends[0]);
    close(ends[1]);
}

TEST(leaves_a_descriptor)
{
    CHECK_OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(leaves_two_pipes)
{
    int ends[2];
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_OK(pipe2(ends, O_CLOEXEC));
}

TEST_COLD(keeps_what_a_family_keeps)
{
    int ends[2];
    CHECK_OK(memfd_create("kin", MFD_CLOEXEC));
    CHECK_OK(pipe2(ends, O_CLOEXEC));
}

static void *stay_in_thread(void *argument)
{
    (void)argument;
    stay();
    return NULL;
}

TEST(leaves_a_thread)
{
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, stay_in_thread, NULL), 0);
}

TEST(leaves_a_file)
{
    int file = open("left-here", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK_OK(file);
    close(file);
}

TEST(leaves_a_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", test_directory());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_OK(bind(listener, (struct sockaddr *)&address, sizeof address));
    close(listener);
}

TEST(leaves_shared_memory)
{
    int file = shm_open("/kin-planted", O_CREAT | O_RDWR, 0600);
    CHECK_OK(file);
    close(file);
}

static void hang_in_here(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME, "planted-child");
    stay();
}

TEST_DEADLINE(hangs, 0.5)
{
    test_child(hang_in_here, NULL);
    stay();
}

/* Tells that it has begun through a descriptor that was left open for it. */
TEST_DEADLINE(hangs_for_long, 600)
{
    const char *descriptor = getenv("KIN_PLANTED_DESCRIPTOR");
    test_child(hang_in_here, NULL);
    if (descriptor && write(atoi(descriptor), "", 1) != 1) exit(1);
    stay();
}

TEST_DEADLINE(waits_in_vain, 2)
{
    test_until(getppid() == 0);
}
