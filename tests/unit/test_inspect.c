/* test_inspect.c: families seen from outside: all that is in them. */
#define _GNU_SOURCE
#include "inspecting.h"
#include "support/faults.h"
#include "support/pools.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <kin/event.h>
#include <kin/lock.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/queue.h>
#include <kin/rlock.h>
#include <kin/rwlock.h>
#include <kin/semaphore.h>

#include "ipc/ends.h"

static kin_inspected_queue find_queue(const kin_inspection *seen, const void *queue)
{
    kin_inspected_queue found;
    for (size_t i = 0; kin_inspection_queue(seen, 0, i, &found) == 0; i++)
        if (found.queue == queue) return found;
    FAIL("the queue was not seen");
}

static kin_inspected_thread find_thread(const kin_inspection *seen, int thread)
{
    kin_inspected_thread found;
    for (size_t i = 0; kin_inspection_thread(seen, 0, i, &found) == 0; i++)
        if (found.thread == thread) return found;
    return (kin_inspected_thread){0};
}

/* ---- what is seen ------------------------------------------------------------------------------ */

TEST(the_family_and_its_processes_are_seen)
{
    kin_inspected_process process;
    kin_inspected_family family;
    kin_memory_usage usage;
    kin_inspection *seen = look_at(getpid());
    CHECK_OK(kin_memory_stats(&usage));
    CHECK_OK(kin_inspection_family(seen, 0, &family));
    CHECK_EQ(family.error, 0);
    CHECK_EQ(family.uid, geteuid());
    CHECK_EQ(family.base, usage.base);
    CHECK_EQ(family.region_size, usage.region_size);
    CHECK_EQ(family.heap_blocks, usage.heap_blocks);
    CHECK_EQ(family.heap_allocated, usage.heap_allocated);
    CHECK_GT(family.memory, 0);
    CHECK_EQ(family.processes, 1);
    CHECK_EQ(family.threads, 1);
    CHECK(!family.partial);
    CHECK_OK(kin_inspection_process(seen, 0, 0, &process));
    CHECK_EQ(process.pid, getpid());
    CHECK_EQ(process.threads, 1);
    CHECK_EQ(process.state, 'R');
    CHECK_GT(process.memory, 0);
    CHECK_EQ(find_thread(seen, getpid()).pid, getpid());
    CHECK_EQ(find_thread(seen, getpid()).waits, KIN_WAITS_NOT);
    kin_inspection_close(seen);
}

static void wait_for_lock(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, KIN_FOREVER));
    CHECK_OK(kin_lock_release(lock));
}

static bool waits(int pid, enum kin_waits what, const void *object)
{
    kin_inspection *seen = look_at(getpid());
    kin_inspected_thread thread = find_thread(seen, pid);
    kin_inspection_close(seen);
    return thread.waits == what && thread.waits_for == object;
}

TEST(a_lock_has_a_holder_and_waiters)
{
    kin_lock *lock;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_OK(kin_publish("door", lock));
    kin_inspection *seen = look_at(getpid());
    kin_inspected_lock found = find_lock(seen, lock);
    CHECK_EQ(found.kind, KIN_KIND_LOCK);
    CHECK_EQ(found.holder_pid, 0);
    CHECK_EQ(found.depth, 0);
    CHECK_STR(found.name, "door");
    kin_inspection_close(seen);

    CHECK_OK(kin_lock_acquire(lock, KIN_NOW));
    pid_t first = test_child(wait_for_lock, lock), second = test_child(wait_for_lock, lock);
    test_until(waits(first, KIN_WAITS_LOCK, lock) && waits(second, KIN_WAITS_LOCK, lock));
    seen = look_at(getpid());
    found = find_lock(seen, lock);
    CHECK_EQ(found.holder_pid, getpid());
    CHECK_EQ(found.holder_thread, getpid());
    CHECK_EQ(found.depth, 1);
    CHECK_EQ(found.waiters, 2);
    kin_inspection_close(seen);

    CHECK_OK(kin_lock_release(lock));
    CHECK_EQ(test_collect(first), 0);
    CHECK_EQ(test_collect(second), 0);
    CHECK_OK(kin_lock_close(lock));
    seen = look_at(getpid());
    kin_inspected_lock none;
    CHECK_RC(kin_inspection_lock(seen, 0, 0, &none), KIN_EINDEX);
    kin_inspection_close(seen);
}

static void die_with_lock(void *lock)
{
    CHECK_OK(kin_lock_acquire(lock, KIN_NOW));
    raise(SIGKILL);
}

TEST(a_lock_whose_holder_died_says_so)
{
    kin_lock *lock;
    CHECK_OK(kin_lock_open(&lock));
    test_collect(test_child(die_with_lock, lock));
    kin_inspection *seen = look_at(getpid());
    CHECK(find_lock(seen, lock).died);
    CHECK_EQ(find_lock(seen, lock).holder_pid, 0);
    kin_inspection_close(seen);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(lock));
    CHECK_OK(kin_lock_close(lock));
}

TEST(other_locks_are_seen_too)
{
    kin_rlock *rlock;
    kin_rwlock *rwlock;
    kin_semaphore *permits, *plain;
    CHECK_OK(kin_rlock_open(&rlock, NULL));
    CHECK_OK(kin_rwlock_open(&rwlock, NULL));
    CHECK_OK(kin_semaphore_open(&permits, 1000, NULL));
    CHECK_OK(kin_semaphore_open(&plain, 7, &(kin_semaphore_options){.plain = true}));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_rlock_acquire(rlock, KIN_NOW));
    CHECK_OK(kin_rwlock_acquire_read(rwlock, KIN_NOW));
    for (int i = 0; i < 300; i++) CHECK_OK(kin_semaphore_acquire(permits, KIN_NOW));
    CHECK_OK(kin_semaphore_acquire(plain, KIN_NOW));
    kin_inspection *seen = look_at(getpid());
    CHECK_EQ(find_lock(seen, rlock).kind, KIN_KIND_RLOCK);
    CHECK_EQ(find_lock(seen, rlock).depth, 3);
    CHECK_EQ(find_lock(seen, rwlock).kind, KIN_KIND_RWLOCK);
    CHECK_EQ(find_lock(seen, rwlock).readers, 1);
    CHECK_EQ(find_lock(seen, rwlock).holder_pid, 0);
    CHECK_EQ(find_lock(seen, permits).kind, KIN_KIND_SEMAPHORE);
    CHECK_EQ(find_lock(seen, permits).free, 700);
    CHECK_EQ(find_lock(seen, permits).held, 300);
    CHECK_EQ(find_lock(seen, plain).free, 6);
    CHECK_EQ(find_lock(seen, plain).held, 0);
    kin_inspection_close(seen);
    CHECK_OK(kin_rwlock_release(rwlock));
    CHECK_OK(kin_rwlock_acquire_write(rwlock, KIN_NOW));
    seen = look_at(getpid());
    CHECK_EQ(find_lock(seen, rwlock).readers, 0);
    CHECK_EQ(find_lock(seen, rwlock).holder_pid, getpid());
    kin_inspection_close(seen);
    CHECK_OK(kin_rwlock_release(rwlock));
    for (int i = 0; i < 3; i++) CHECK_OK(kin_rlock_release(rlock));
    CHECK_OK(kin_rlock_close(rlock));
    CHECK_OK(kin_rwlock_close(rwlock));
    CHECK_OK(kin_semaphore_close(permits));
    CHECK_OK(kin_semaphore_close(plain));
}

static void get_one(void *queue)
{
    char byte;
    CHECK_EQ(kin_queue_get(queue, &byte, 1, KIN_FOREVER), 1);
}

TEST(a_queue_has_depth_and_counts)
{
    kin_queue *queue;
    char bytes[100] = {0};
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.max_items = 50}));
    CHECK_OK(kin_publish("jobs", queue));
    pid_t consumer = test_child(get_one, queue);
    test_until(waits(consumer, KIN_WAITS_MESSAGE, queue));
    kin_inspection *seen = look_at(getpid());
    CHECK_EQ(find_queue(seen, queue).consumers, 1);
    CHECK_EQ(find_queue(seen, queue).items, 0);
    kin_inspection_close(seen);
    CHECK_OK(kin_queue_put(queue, bytes, 1, KIN_NOW));
    CHECK_EQ(test_collect(consumer), 0);
    for (int i = 0; i < 5; i++) CHECK_OK(kin_queue_put(queue, bytes, sizeof bytes, KIN_NOW));
    CHECK_EQ(kin_queue_get(queue, bytes, sizeof bytes, KIN_NOW), sizeof bytes);
    seen = look_at(getpid());
    kin_inspected_queue found = find_queue(seen, queue);
    CHECK_STR(found.name, "jobs");
    CHECK_EQ(found.items, 4);
    CHECK_EQ(found.max_items, 50);
    CHECK_EQ(found.put, 6);
    CHECK_EQ(found.got, 2);
    CHECK_GE(found.bytes, 400);
    CHECK_EQ(found.bytes, found.bytes_put - found.bytes_got);
    CHECK_EQ(found.pool, NULL);
    CHECK(!found.ended);
    kin_inspection_close(seen);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    seen = look_at(getpid());
    CHECK(find_queue(seen, queue).ended);
    kin_inspection_close(seen);
    CHECK_OK(kin_queue_close(queue));
}

/* The count of messages in a commit word comes round after 2^24; the end's total does not. */
TEST(counts_do_not_wrap)
{
    struct kin__end end = {0};
    const uint64_t round = (uint64_t)1 << 24;
    uint64_t total = 0;
    for (int i = 0; i < 60; i++) {
        total += round / 12 + 1;
        uint64_t word = total << KIN__POSITION_BITS;
        kin__end_store(&end, word, 0);
        CHECK_EQ(kin__end_total(end.position, end.halves), total);
        /* As it is seen, or left by a death, between the two stores of the next one. */
        uint64_t next = (total + round / 12 + 1) << KIN__POSITION_BITS;
        uint32_t halves = end.halves + ((end.halves ^ (uint32_t)(next >> 63)) & 1);
        CHECK_EQ(kin__end_total(end.position, halves), total);
        end.halves = halves;
    }
    CHECK_GT(total, 4 * round);
}

/* ---- pools ---------------------------------------------------------------------------------------- */

static kin_event *go;

static int wait_for_go(const int *in, int *out)
{
    *out = *in;
    return kin_event_wait(go, KIN_FOREVER);
}
KIN_MAP(wait_for_go, int, int)

static int fail(const int *in, int *out)
{
    *out = *in;
    return 1;
}
KIN_MAP(fail, int, int)

static const kin_inspected_worker *running_worker(const kin_inspection *seen)
{
    static kin_inspected_worker worker;
    for (size_t i = 0; kin_inspection_worker(seen, 0, i, &worker) == 0; i++)
        if (worker.function[0] != '\0') return &worker;
    return NULL;
}

static bool is_running(void)
{
    kin_inspection *seen = look_at(getpid());
    bool running = running_worker(seen) != NULL;
    kin_inspection_close(seen);
    return running;
}

static bool time_is_known(void)
{
    kin_inspection *seen = look_at(getpid());
    const kin_inspected_worker *worker = running_worker(seen);
    bool known = worker != NULL && worker->running_ns >= 0;
    kin_inspection_close(seen);
    return known;
}

/* Not by the task, which has no timeout and asks no clock, but by the supervisor. */
POOL_TEST(how_long_a_task_runs_is_known)
{
    kin_pool *pool;
    kin_result *result;
    int in = 5;
    CHECK_OK(kin_event_open(&go, NULL));
    int64_t begin = kin_clock();
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.kind = pool_kind, .workers = 1}));
    for (int round = 0; round < 2; round++) {
        CHECK_OK(kin_event_clear(go));
        CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(wait_for_go), &in, sizeof in, KIN_FOREVER, NULL));
        test_until(time_is_known());
        kin_inspection *seen = look_at(getpid());
        CHECK_LE(running_worker(seen)->running_ns, kin_clock() - begin);
        kin_inspection_close(seen);
        CHECK_OK(kin_event_set(go));
        CHECK_OK(kin_result_wait(result, kin_in_s(30)));
        CHECK_OK(kin_result_close(result));
        begin = kin_clock(); /* the next one has not the time of this one */
    }
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_event_close(go));
}

TEST(a_pool_shows_what_its_workers_do)
{
    kin_pool *pool;
    kin_result *result;
    kin_inspected_pool found;
    int in = 5, out;
    CHECK_OK(kin_event_open(&go, NULL));
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .name = "demo"}));
    CHECK_RC(kin_pool_apply(pool, KIN_FN(fail), &in, sizeof in, &out, sizeof out, KIN_FOREVER, NULL),
             KIN_EFAILED);
    /* A worker counts a task after it has told its end. */
    kin_pool_status status;
    test_until(kin_pool_stats(pool, &status) == 0 && status.failed == 1 && status.running == 0);
    CHECK_OK(kin_pool_submit(pool, &result, KIN_FN(wait_for_go), &in, sizeof in, KIN_FOREVER,
                             &(kin_task_options){.timeout_ns = 1000000000000}));
    test_until(is_running());
    kin_inspection *seen = look_at(getpid());
    const kin_inspected_worker *worker = running_worker(seen);
    CHECK_STR(worker->function, "wait_for_go");
    CHECK_EQ(worker->pool, pool);
    CHECK_EQ(worker->attempt, 1);
    CHECK_GE(worker->running_ns, 0);
    CHECK_LT(worker->running_ns, 1000000000000);
    CHECK(worker->running && !worker->starting);
    CHECK_EQ(worker->thread, worker->pid);
    CHECK_NE(worker->pid, getpid());
    CHECK_OK(kin_inspection_pool(seen, 0, 0, &found));
    CHECK_EQ(found.pool, pool);
    CHECK_STR(found.name, "demo");
    CHECK_EQ(found.owner, getpid());
    CHECK(!found.threads);
    CHECK_GT(found.status.supervisor_pid, 0);
    CHECK_EQ(found.state, KIN_POOL_RUNNING);
    CHECK_EQ(found.status.workers, 2);
    CHECK_EQ(found.status.alive, 2);
    CHECK_EQ(found.status.running, 1);
    CHECK_EQ(found.status.submitted, 2);
    CHECK_EQ(found.status.failed, 1);
    CHECK_EQ(found.status.done, 0);
    CHECK_EQ(find_queue(seen, found.tasks).pool, pool);
    kin_inspection_close(seen);

    kin_times times;
    CHECK_OK(kin_event_set(go));
    CHECK_OK(kin_result_wait(result, KIN_FOREVER));
    CHECK_OK(kin_result_close(result));
    in = 0;
    for (int i = 0; i < 200; i++)
        CHECK_EQ(
            kin_pool_apply(pool, KIN_FN(wait_for_go), &in, sizeof in, &out, sizeof out, KIN_FOREVER, NULL),
            sizeof out);
    test_until(kin_pool_stats(pool, &status) == 0 && status.done == 201 && status.running == 0);
    CHECK_OK(kin_pool_times(pool, &times));
    seen = look_at(getpid());
    CHECK_OK(kin_inspection_pool(seen, 0, 0, &found));
    CHECK_EQ(found.status.done, status.done);
    CHECK_EQ(found.times.one_of, times.one_of);
    CHECK_MEM(found.times.ran, times.ran, sizeof times.ran);
    CHECK_MEM(found.times.queued, times.queued, sizeof times.queued);
    kin_inspection_close(seen);
    CHECK_OK(kin_pool_free(pool));
    CHECK_OK(kin_event_close(go));
}

TEST(a_pool_of_threads_is_in_its_owner)
{
    kin_pool *pool;
    kin_inspected_pool found;
    kin_inspected_worker worker;
    CHECK_OK(kin_pool_open(&pool, &(kin_pool_options){.workers = 2, .kind = KIN_POOL_THREADS}));
    kin_inspection *seen = look_at(getpid());
    CHECK_OK(kin_inspection_pool(seen, 0, 0, &found));
    CHECK(found.threads);
    CHECK_EQ(found.owner, getpid());
    CHECK_EQ(found.status.supervisor_pid, 0);
    CHECK_EQ(found.status.alive, 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(kin_inspection_worker(seen, 0, i, &worker));
        CHECK_EQ(worker.pid, getpid());
        CHECK_NE(worker.thread, getpid());
        CHECK_EQ(find_thread(seen, worker.thread).pid, getpid());
        test_until(waits(worker.thread, KIN_WAITS_MESSAGE, found.tasks));
    }
    kin_inspection_close(seen);
    CHECK_OK(kin_pool_free(pool));
}

/* ---- errors ------------------------------------------------------------------------------------------- */

TEST(bad_arguments_are_refused)
{
    kin_inspected_lock lock;
    kin_inspected_family family;
    CHECK_RC(kin_inspect(NULL, NULL), -EINVAL);
    kin_inspection_close(NULL);
    kin_inspection *seen = look_at(getpid());
    CHECK_RC(kin_inspection_family(NULL, 0, &family), -EINVAL);
    CHECK_RC(kin_inspection_family(seen, 0, NULL), -EINVAL);
    CHECK_RC(kin_inspection_lock(NULL, 0, 0, &lock), -EINVAL);
    CHECK_RC(kin_inspection_lock(seen, 0, 0, NULL), -EINVAL);
    CHECK_RC(kin_inspection_lock(seen, 1, 0, &lock), KIN_EINDEX);
    CHECK_RC(kin_inspection_lock(seen, 0, 0, &lock), KIN_EINDEX);
    kin_inspection_close(seen);
}

/* A caller that was compiled when the struct ended after `pid`. */
TEST(an_older_caller_gets_what_it_knows)
{
    kin_inspected_process process;
    memset(&process, 0x5a, sizeof process);
    kin_inspection *seen = look_at(getpid());
    CHECK_OK(kin_inspection_process_sized(seen, 0, 0, &process, sizeof process.pid));
    CHECK_EQ(process.pid, getpid());
    CHECK_EQ(process.state, 0x5a);
    kin_inspection_close(seen);
}

static int make(void *seen)
{
    return kin_inspect(seen, &(kin_inspect_options){.pid = getpid()});
}
static int unmake(void *seen)
{
    kin_inspection_close(*(kin_inspection **)seen);
    return 0;
}

TEST(a_look_under_faults)
{
    kin_inspection *seen = NULL;
    kin_lock *lock;
    CHECK_OK(kin_lock_open(&lock));
    struct faults_report report = faults(&(struct faults){.make = make, .unmake = unmake, .context = &seen});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_lock_close(lock));
}
