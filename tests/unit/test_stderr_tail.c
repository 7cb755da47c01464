/* test_stderr_tail.c: the last of what a process has written to stderr, told with its end: of children by
 * every method, and of workers of a pool. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/start.h"
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "process/tail.h"

static int complain(void *unused)
{
    (void)unused;
    fprintf(stderr, "it began well\n");
    fprintf(stderr, "then it did not\n");
    abort();
}

/* What this process's stderr gets meanwhile. */
struct capture {
    int own;
    int ends[2];
};

static struct capture begin_capture(void)
{
    struct capture capture = {.own = dup(2)};
    CHECK_GE(capture.own, 0);
    CHECK_OK(pipe2(capture.ends, O_CLOEXEC));
    CHECK_EQ(dup2(capture.ends[1], 2), 2);
    return capture;
}

static size_t end_capture(struct capture *capture, char *text, size_t size)
{
    CHECK_EQ(dup2(capture->own, 2), 2);
    CHECK_OK(close(capture->own));
    CHECK_OK(close(capture->ends[1]));
    size_t used = 0;
    for (ssize_t count; used < size && (count = read(capture->ends[0], text + used, size - used)) > 0;)
        used += (size_t)count;
    CHECK_OK(close(capture->ends[0]));
    return used;
}

/* The thread is there only while there is something to be read. */
static void nobody_reads_any_more(void)
{
    test_until(kin__tail_threads() == 0);
    /* Nor has the thread its stack any more: the next one takes it over.  (A sanitizer has one of its own.)
     * Not asked of kin, whose calls are failing meanwhile. */
    struct stat threads;
    if (!test_sanitized()) test_until(stat("/proc/self/task", &threads) == 0 && threads.st_nlink == 3);
}

START_TEST(the_last_words_of_a_child_are_told)
{
    char text[300], seen[200];
    size_t size = 0;
    struct capture capture = begin_capture();
    kin_process *child =
        start_with(method, complain, NULL, (kin_process_options){.name = "child", .stderr_tail = 100});
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    const char *tail = kin_process_stderr_tail(child, &size);
    CHECK_STR(tail, "it began well\nthen it did not\n");
    CHECK_EQ(size, strlen(tail));
    int length = kin_process_exit_text(child, text, sizeof text);
    CHECK_EQ(length, (int)strlen(text));
    CHECK_EQ(strncmp(text, "child was killed by SIGABRT", 27), 0);
    CHECK(strstr(text, ": then it did not") != NULL);
    CHECK_STR(strrchr(text, ':'), ": then it did not");
    CHECK_OK(kin_process_close(child));
    nobody_reads_any_more();
    /* It has been printed too. */
    CHECK_EQ(end_capture(&capture, seen, sizeof seen), 30);
    CHECK_MEM(seen, "it began well\nthen it did not\n", 30);
}

static int say_much(void *kilobytes)
{
    char line[1024];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (intptr_t i = 0; i < (intptr_t)kilobytes; i++) {
        line[0] = i == (intptr_t)kilobytes - 1 ? 'y' : 'x';
        CHECK_EQ(write(2, line, sizeof line), (ssize_t)sizeof line);
    }
    return 3;
}

/* Far more than a pipe holds, and the parent looks at other things. */
START_TEST(who_says_much_does_not_wait_for_its_parent)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), own = dup(2);
    CHECK_EQ(dup2(null, 2), 2);
    size_t size;
    kin_process *child =
        start_with(method, say_much, (void *)(intptr_t)1000, (kin_process_options){.stderr_tail = 1030});
    /* As one does who has its own loop. */
    struct pollfd item = {.fd = kin_process_sentinel(child), .events = POLLIN};
    while (poll(&item, 1, -1) < 0) CHECK_EQ(errno, EINTR);
    const char *tail = kin_process_stderr_tail(child, &size);
    CHECK_EQ(size, 1030);
    CHECK_MEM(tail, "xxxxx\ny", 7);
    CHECK_EQ(finish(child), 3);
    nobody_reads_any_more();
    CHECK_EQ(dup2(own, 2), 2);
    CHECK_OK(close(own));
    CHECK_OK(close(null));
}

TEST(nothing_is_told_where_nothing_was_said_or_kept)
{
    char text[200];
    size_t size = 7;
    kin_process *silent =
        start_with(KIN_FORK, return_number, (void *)5, (kin_process_options){.stderr_tail = 10});
    kin_process *running = start_with(KIN_FORK, run_for_ever, NULL, (kin_process_options){.stderr_tail = 10});
    kin_process *plain = start(KIN_FORK, return_number, (void *)6);
    CHECK_OK(kin_process_join(silent, KIN_FOREVER));
    CHECK_OK(kin_process_join(plain, KIN_FOREVER));
    CHECK_STR(kin_process_stderr_tail(silent, &size), "");
    CHECK_EQ(size, 0);
    CHECK(kin_process_stderr_tail(running, &size) == NULL);
    CHECK(kin_process_stderr_tail(plain, NULL) == NULL);
    CHECK(kin_process_stderr_tail(NULL, NULL) == NULL);
    CHECK_GT(kin_process_exit_text(running, text, sizeof text), 0);
    CHECK(strstr(text, " is still running") != NULL);
    CHECK_RC(kin_process_exit_text(running, NULL, 1), -EINVAL);
    CHECK_RC(kin_process_exit_text(NULL, text, sizeof text), -EINVAL);
    CHECK_OK(kin_process_kill(running));
    CHECK_EQ(finish(running), -SIGKILL);
    CHECK_EQ(finish(silent), 5);
    CHECK_EQ(finish(plain), 6);
    kin_process *none = NULL;
    const kin_process_options too_much = {.stderr_tail = (1 << 20) + 1};
    CHECK_RC(kin_process_start(&none, return_number, NULL, &too_much), -EINVAL);
    nobody_reads_any_more();
}

struct errand {
    int go[2];
    int done[2];
};

/* A fork of the program's own, which outlives the child, as no child of kin does. */
static int leave_somebody(void *argument)
{
    struct errand *errand = argument;
    char byte;
    pid_t pid = fork();
    CHECK_OK(pid);
    if (pid > 0) return 0;
    close(errand->go[1]);
    close(errand->done[0]);
    if (read(errand->go[0], &byte, 1) != 1) _exit(1);
    byte = write(2, "later\n", 6) == 6 ? 'w' : 'e';
    _exit(write(errand->done[1], &byte, 1) != 1);
}

/* What a child leaves behind can go on writing, also when the handle is gone. */
TEST(who_is_left_behind_can_still_write)
{
    struct capture capture = begin_capture();
    struct errand errand;
    char byte, text[20];
    CHECK_OK(pipe2(errand.go, O_CLOEXEC));
    CHECK_OK(pipe2(errand.done, O_CLOEXEC));
    kin_process *child = NULL;
    CHECK_OK(kin_process_start(&child, leave_somebody, &errand, &(kin_process_options){.stderr_tail = 50}));
    CHECK_EQ(finish(child), 0);
    CHECK_OK(close(errand.done[1]));
    CHECK_EQ(kin__tail_threads(), 1);
    CHECK_EQ(write(errand.go[1], "", 1), 1);
    CHECK_EQ(read(errand.done[0], &byte, 1), 1);
    CHECK_EQ(byte, 'w');
    CHECK_OK(close(errand.go[0]));
    CHECK_OK(close(errand.go[1]));
    CHECK_OK(close(errand.done[0]));
    nobody_reads_any_more();
    CHECK_EQ(end_capture(&capture, text, sizeof text), 6);
}

TEST(a_parent_that_has_forked_keeps_tails_too)
{
#ifdef __SANITIZE_THREAD__
    SKIP("the thread sanitizer lets nobody start threads after a fork beside others");
#endif
    kin_process *child = start_with(KIN_FORK, run_for_ever, NULL, (kin_process_options){.stderr_tail = 10});
    struct capture capture = begin_capture();
    /* In the middle of reading for one child, another has one of its own. */
    pid_t pid = fork();
    CHECK_OK(pid);
    if (pid == 0) {
        kin_process *own = start_with(KIN_FORK, complain, NULL, (kin_process_options){.stderr_tail = 16});
        CHECK_OK(kin_process_join(own, KIN_FOREVER));
        CHECK_STR(kin_process_stderr_tail(own, NULL), "then it did not\n");
        _exit(0);
    }
    CHECK_EQ(test_collect(pid), 0);
    char text[100];
    CHECK_EQ(end_capture(&capture, text, sizeof text), 30);
    CHECK_OK(kin_process_kill(child));
    CHECK_EQ(finish(child), -SIGKILL);
    nobody_reads_any_more();
}

static int make(void *process)
{
    const kin_process_options options = {.stderr_tail = 10, .method = KIN_FORKSERVER};
    int rc = kin_process_start(process, run_for_ever, NULL, &options);
    if (rc < 0) nobody_reads_any_more();
    return rc;
}

static int unmake(void *process)
{
    kin_process *made = *(kin_process **)process;
    CHECK_OK(kin_process_kill(made));
    CHECK_EQ(finish(made), -SIGKILL);
    nobody_reads_any_more();
    return 0;
}

TEST(a_tail_under_faults_leaves_nothing)
{
#ifdef __SANITIZE_THREAD__
    SKIP("the thread that reads meets the faults too");
#endif
    kin_process *process = NULL;
    /* libc keeps the stack of the first thread that ends, for the next one. */
    CHECK_OK(make(&process));
    CHECK_OK(unmake(&process));
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &process});
    CHECK_GT(report.failures, 6);
}

/* ---- of a pool ------------------------------------------------------------------------------------- */

static int fall(const int *in, int *out)
{
    *out = *in;
    if (*in == 3) {
        fprintf(stderr, "%d is too much\n", *in);
        abort();
    }
    return 0;
}
KIN_MAP(fall, int, int)

TEST(the_last_words_of_a_worker_are_in_the_failure)
{
    struct capture capture = begin_capture();
    kin_pool *pool = NULL;
    kin_failure failure, failures[2];
    const int in[] = {1, 2, 3, 4};
    int out[4] = {0}, three = 3;
    char text[600];
    size_t failed = 0;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .stderr_tail = true}));
    long rc =
        kin_pool_apply(pool, KIN_FN(fall), &three, sizeof three, out, sizeof *out, KIN_FOREVER, &failure);
    CHECK_RC(rc, KIN_EFAILED);
    CHECK_EQ(failure.cause, KIN_CAUSE_SIGNALED);
    CHECK_STR(failure.stderr_tail, "3 is too much\n");
    CHECK_GT(kin_failure_text(&failure, text, sizeof text), 0);
    CHECK_STR(strrchr(text, ':'), ": 3 is too much");
    CHECK_RC(kin_pool_map_with(
                 pool, KIN_FN(fall), in, out, 4, KIN_FOREVER,
                 &(kin_map_options){
                     .keep_going = true, .failures = failures, .max_failures = 2, .failed = &failed}),
             KIN_EFAILED);
    CHECK_EQ(failed, 1);
    CHECK_STR(failures[0].stderr_tail, "3 is too much\n");
    CHECK_OK(kin_pool_close(pool));
    CHECK_OK(kin_pool_join(pool, KIN_FOREVER));
    CHECK_OK(kin_pool_free(pool));
    CHECK_EQ(end_capture(&capture, text, sizeof text), 28);
}
