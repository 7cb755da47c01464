/* test_faults_core.c: every call of the system that a constructor makes fails once, for each of
 * them: the constructor says so and leaves nothing behind. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/faults.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/queue.h>

#define MIB ((size_t)1 << 20)

/* ---- the family: once for each process, so that each trial has one of its own ----------------------- */

struct trial {
    enum kin__fault kind;
    unsigned n;
    _Atomic int rc;
    _Atomic bool happened;
};

static void open_family(void *argument)
{
    struct trial *trial = argument;
    kin__os_fault_set(trial->kind, trial->n, ENXIO, false);
    trial->rc = kin_family_open(NULL);
    trial->happened = kin__os_fault_calls() >= trial->n;
    kin__os_fault_set(trial->kind, 0, 0, false);
    /* A failure is no obstacle to the next attempt. */
    CHECK_RC(kin_family_open(NULL), 0);
    void *memory = kin_alloc(100);
    CHECK(memory != NULL);
    CHECK_OK(kin_free(memory));
}

TEST_COLD(family_open_under_faults)
{
    struct trial *trial = test_shared(sizeof *trial);
    int failures = 0, survived = 0;
    for (trial->n = 1, trial->kind = KIN__FAULT_KINDS;; trial->n++) {
        test_context("call %u", trial->n);
        CHECK_EQ(test_collect(test_child(open_family, trial)), 0);
        if (!trial->happened) break;
        failures += trial->rc < 0;
        survived += trial->rc >= 0;
        if (trial->rc < 0) CHECK_RC(trial->rc, -ENXIO);
        CHECK_LT(trial->n, 1000);
    }
    CHECK_RC(trial->rc, 0);
    CHECK_GT(failures, 2);
    NOTE("%d failures, %d survived", failures, survived);
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

/* Sizes of classes that nothing has used yet, one more for each attempt: what was carved for one
 * size is there for the next. */
static size_t next_size = 200 * 1024;

static int make_block(void *context)
{
    next_size += next_size / 4 + 65536;
    if (next_size > 2000 * MIB) next_size = 200 * 1024;
    void *memory = kin_alloc(next_size);
    *(void **)context = memory;
    return memory != NULL ? 0 : -errno;
}

static int free_block(void *context)
{
    return kin_free(*(void **)context);
}

TEST(alloc_under_faults)
{
    void *memory = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make_block, .unmake = free_block, .context = &memory});
    CHECK_GT(report.failures, 0);
}

/* ---- locks and queues -------------------------------------------------------------------------------------- */

#define SOME 500 /* more than a page of them, so that the heap has to grow */

struct some {
    void *object[SOME];
    int count;
};

static int make_locks(void *context)
{
    struct some *some = context;
    int rc = 0;
    for (some->count = 0; some->count < SOME && rc == 0; some->count++)
        rc = kin_lock_open((kin_lock **)&some->object[some->count]);
    if (rc == 0) return 0;
    for (int i = 0; i < some->count - 1; i++) CHECK_OK(kin_lock_close(some->object[i]));
    return rc;
}

static int close_locks(void *context)
{
    struct some *some = context;
    for (int i = 0; i < SOME; i++) CHECK_OK(kin_lock_close(some->object[i]));
    return 0;
}

TEST(lock_open_under_faults)
{
    static struct some some;
    struct faults_report report =
        faults(&(struct faults){.make = make_locks, .unmake = close_locks, .context = &some, .cold = true});
    CHECK_GT(report.failures, 0);
}

static int open_queue(void *context)
{
    /* As above: a directory of another size class each time. */
    static size_t bytes = MIB;
    bytes = bytes > 8000 * MIB ? MIB : bytes * 2;
    return kin_queue_open(context, &(kin_queue_options){.max_bytes = bytes});
}

static int close_queue(void *context)
{
    return kin_queue_close(*(kin_queue **)context);
}

TEST(queue_open_under_faults)
{
    kin_queue *queue = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = open_queue, .unmake = close_queue, .context = &queue, .cold = true});
    CHECK_GT(report.failures, 0);
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

static kin_queue *letters;

static int put_large(void *context)
{
    static unsigned char bytes[100 << 20];
    static size_t size = 300 * 1024;
    (void)context;
    size += size / 4 + 65536;
    if (size > sizeof bytes) size = 300 * 1024;
    long before = kin_queue_qsize(letters);
    int rc = kin_queue_put(letters, bytes, size, KIN_NOW);
    CHECK_EQ(kin_queue_qsize(letters), before + (rc == 0));
    return rc;
}

static int take_large(void *context)
{
    void *message = NULL;
    (void)context;
    long size = kin_queue_take(letters, &message, KIN_NOW);
    return size < 0 ? (int)size : kin_queue_release(message);
}

TEST(put_of_a_large_message_under_faults)
{
    CHECK_OK(kin_queue_open(&letters, &(kin_queue_options){.max_bytes = 200 * MIB}));
    struct faults_report report = faults(&(struct faults){.make = put_large, .unmake = take_large});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_queue_close(letters));
}

static int put_many_small(void *context)
{
    char bytes[4000] = "";
    (void)context;
    int rc = 0, count = 0;
    while (count < 300 && (rc = kin_queue_put(letters, bytes, sizeof bytes, KIN_NOW)) == 0) count++;
    CHECK_EQ(kin_queue_qsize(letters), count);
    while (kin_queue_get(letters, bytes, sizeof bytes, KIN_NOW) > 0) count--;
    CHECK_EQ(count, 0);
    return rc;
}

static int make_queue_and_fill(void *context)
{
    int rc = kin_queue_open(&letters, NULL);
    if (rc < 0) return rc;
    rc = put_many_small(context);
    CHECK_OK(kin_queue_close(letters));
    return rc;
}

TEST(put_of_small_messages_under_faults)
{
    struct faults_report report = faults(&(struct faults){.make = make_queue_and_fill, .cold = true});
    CHECK_GT(report.failures, 0);
}

/* ---- pools ------------------------------------------------------------------------------------------------------ */

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int open_pool(void *context)
{
    return kin_pool_open(context, &(kin_pool_options){.workers = 2});
}

static int use_and_close_pool(void *context)
{
    kin_pool *pool = *(kin_pool **)context;
    int in[] = {1, 2, 3};
    long out[3] = {0};
    CHECK_RC(kin_pool_map(pool, KIN_FN(square), in, out, 3, KIN_FOREVER), 0);
    CHECK_EQ(out[2], 9);
    CHECK_OK(kin_pool_close(pool));
    CHECK_RC(kin_pool_join(pool, KIN_FOREVER), 0);
    return kin_pool_free(pool);
}

static int do_nothing(void *argument)
{
    (void)argument;
    return 0;
}

TEST(pool_open_under_faults, .deadline = 120)
{
    kin_pool *pool = NULL;
    /* What the first child of a process makes it keeps for good. */
    kin_process *child = NULL;
    CHECK_OK(kin_process_start(&child, do_nothing, NULL, NULL));
    CHECK_OK(kin_process_join(child, KIN_FOREVER));
    CHECK_OK(kin_process_close(child));
    struct faults_report report = faults(
        &(struct faults){.make = open_pool, .unmake = use_and_close_pool, .context = &pool, .cold = true});
    CHECK_GT(report.failures, 0);
}

static kin_pool *pool_for_tasks;

static int map_large(void *context)
{
    static int in[500000];
    static long out[500000];
    static size_t count = 20000;
    (void)context;
    count = count > 400000 ? 20000 : count + count / 4;
    return kin_pool_map(pool_for_tasks, KIN_FN(square), in, out, count, KIN_FOREVER);
}

static int echo(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument, (void)size, (void)reply;
    return 0;
}
KIN_BYTES(echo)

static int apply_large(void *context)
{
    static unsigned char bytes[60 << 20];
    static size_t size = 300 * 1024;
    (void)context;
    size = size > 40 * MIB ? 300 * 1024 : size + size / 4;
    long rc = kin_pool_apply(pool_for_tasks, KIN_FN(echo), bytes, size, NULL, 0, KIN_FOREVER, NULL);
    return (int)rc;
}

TEST(tasks_under_faults)
{
    CHECK_OK(kin_pool_open(&pool_for_tasks, &(kin_pool_options){.workers = 1}));
    struct faults_report report = faults(&(struct faults){.make = apply_large});
    CHECK_GT(report.failures, 0);
    report = faults(&(struct faults){.make = map_large});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_pool_free(pool_for_tasks));
}
