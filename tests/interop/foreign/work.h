/* work.h: what coroutines do in a loop that is another library's: one waits for time, again and again, and the others
 * for what a process does: a message, bytes in a pipe, a lock, its end; and for a function in a thread pool. */
#ifndef FOREIGN_WORK_H
#define FOREIGN_WORK_H

#include <errno.h>
#include <unistd.h>

#include <kin.h>

#define WORK_PARTS 6
#define WORK_MS    500

static struct {
    kin_queue *queue;
    kin_lock *lock;
    kin_event *held, *never;
    kin_process *process;
    int ends[2];
    int done;   /* parts that are over */
    int failed; /* the first error */
} work;

static int work_done(int rc)
{
    if (rc < 0 && work.failed == 0) work.failed = rc;
    work.done++;
    return rc;
}

static int work_elsewhere(void *unused)
{
    (void)unused;
    int rc = kin_lock_acquire(work.lock, KIN_FOREVER);
    if (rc == 0) rc = kin_event_set(work.held);
    if (rc == 0) kin_event_wait(work.never, kin_in_ms(WORK_MS));
    if (rc == 0) rc = kin_queue_put(work.queue, "late", 5, KIN_FOREVER);
    if (rc == 0) rc = write(work.ends[1], "x", 1) == 1 ? 0 : -EIO;
    if (rc == 0) rc = kin_lock_release(work.lock);
    return rc;
}

static int work_sleep(void *unused)
{
    (void)unused;
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++) rc = kin_coroutine_sleep(kin_in_ms(WORK_MS / 10));
    return work_done(rc);
}

static int work_get(void *unused)
{
    (void)unused;
    char text[8];
    long rc = kin_queue_get(work.queue, text, sizeof text, KIN_FOREVER);
    return work_done(rc == 5 ? 0 : rc < 0 ? (int)rc : -EIO);
}

static int work_read(void *unused)
{
    (void)unused;
    return work_done(kin_wait_descriptor(work.ends[0], KIN_READABLE, KIN_FOREVER));
}

static int work_lock(void *unused)
{
    (void)unused;
    int rc = kin_lock_acquire(work.lock, KIN_FOREVER);
    return work_done(rc == 0 ? kin_lock_release(work.lock) : rc);
}

static int work_join(void *unused)
{
    (void)unused;
    return work_done(kin_process_join(work.process, KIN_FOREVER));
}

static int work_block(void *unused)
{
    (void)unused;
    return usleep(1000);
}

static int work_offload(void *unused)
{
    return work_done(kin_offload(work_block, unused));
}

/* Begins all of it; returns the loop's descriptor, or an error. */
static inline int work_begin(void)
{
    static kin_coroutine_function *const parts[WORK_PARTS] = {work_sleep, work_get,  work_read,
                                                              work_lock,  work_join, work_offload};
    int rc = pipe(work.ends) < 0 ? -errno : 0;
    work.done = work.failed = 0;
    if (rc == 0) rc = kin_queue_open(&work.queue, NULL);
    if (rc == 0) rc = kin_lock_open(&work.lock);
    if (rc == 0) rc = kin_event_open(&work.held, NULL);
    if (rc == 0) rc = kin_event_open(&work.never, NULL);
    if (rc == 0) rc = kin_process_start(&work.process, work_elsewhere, NULL, NULL);
    if (rc == 0) rc = kin_event_wait(work.held, KIN_FOREVER);
    for (int i = 0; i < WORK_PARTS && rc == 0; i++) rc = kin_coroutine_start(NULL, parts[i], NULL, NULL);
    return rc < 0 ? rc : kin_loop_descriptor();
}

/* After the last turn: 0, or what went wrong. */
static inline int work_end(void)
{
    int rc = work.failed != 0 ? work.failed : work.done == WORK_PARTS ? 0 : -EBUSY;
    kin_loop_close();
    kin_process_close(work.process);
    kin_queue_close(work.queue);
    kin_lock_close(work.lock);
    kin_event_close(work.held);
    kin_event_close(work.never);
    close(work.ends[0]);
    close(work.ends[1]);
    return rc;
}

#endif
