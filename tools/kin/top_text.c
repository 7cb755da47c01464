/* top_text.c: `kin top` for people: a paragraph for each family, a table for each kind of thing in it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "index.h"
#include "say.h"
#include "top.h"

#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define DIM    "\033[2m"
#define NORMAL "\033[0m"

/* What the tables of one family need. */
struct page {
    struct buffer *text;
    const struct looks *looks;
    const struct text_style *style;
    size_t family;
    struct index index;
};

/* ---- pieces -------------------------------------------------------------------------------------- */

static void begin(const struct page *page, const char *colour)
{
    if (page->style->colours) buffer_add_text(page->text, colour);
}

static void end_line(const struct page *page)
{
    if (page->style->colours) buffer_add_text(page->text, NORMAL);
    buffer_add_character(page->text, '\n');
}

static void heading(const struct page *page, const char *words)
{
    begin(page, BOLD);
    buffer_add_text(page->text, words);
    end_line(page);
}

/* "12.3 MB"; valid until the call after the next. */
static const char *bytes_text(uint64_t bytes)
{
    static const char units[] = "kMGTPE";
    static char texts[2][32];
    static int turn;
    char *text = texts[turn++ & 1];
    double value = (double)bytes;
    int unit = -1;
    for (; value >= 999.5 && unit < 5; unit++) value /= 1000;
    if (unit < 0)
        snprintf(text, sizeof texts[0], "%" PRIu64 " B", bytes);
    else
        snprintf(text, sizeof texts[0], value < 99.95 ? "%.1f %cB" : "%.0f %cB", value, units[unit]);
    return text;
}

/* "-" for what is not known. */
static const char *rate_text(double rate)
{
    static char texts[2][32];
    static int turn;
    char *text = texts[turn++ & 1];
    if (rate < 0)
        return "-";
    else if (rate < 9999.5)
        snprintf(text, sizeof texts[0], "%.0f", rate);
    else if (rate < 999950)
        snprintf(text, sizeof texts[0], "%.1fk", rate / 1e3);
    else
        snprintf(text, sizeof texts[0], "%.1fM", rate / 1e6);
    return text;
}

/* In quotation marks; those in it, and what escapes them, are escaped. */
static void add_quoted(struct buffer *text, const char *name)
{
    buffer_add_character(text, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') buffer_add_character(text, '\\');
        buffer_add_text(text, printable(name, 1));
    }
    buffer_add_character(text, '"');
}

/* A name in quotation marks, or the address. */
static void add_object(struct buffer *text, const char *name, const void *address)
{
    if (name[0] != '\0')
        add_quoted(text, name);
    else
        buffer_format(text, "%p", address);
}

/* The name of a lock, queue or pool of the family, if it has one. */
static void add_named(const struct page *page, const void *object)
{
    const kin_inspection *now = page->looks->now;
    const uint64_t key = index_address(object);
    kin_inspected_lock lock;
    kin_inspected_queue queue;
    kin_inspected_pool pool;
    size_t place;
    if (index_first(&page->index, INDEX_QUEUE, key, &place) &&
        kin_inspection_queue(now, page->family, place, &queue) == 0)
        add_object(page->text, queue.name, object);
    else if (index_first(&page->index, INDEX_POOL, key, &place) &&
             kin_inspection_pool(now, page->family, place, &pool) == 0)
        add_object(page->text, pool.name, object);
    else if (index_first(&page->index, INDEX_LOCK, key, &place) &&
             kin_inspection_lock(now, page->family, place, &lock) == 0)
        add_object(page->text, lock.name, object);
    else
        add_object(page->text, "", object);
}

/* ---- processes ------------------------------------------------------------------------------------ */

static void add_pool_name(const struct page *page, size_t place)
{
    kin_inspected_pool pool;
    if (kin_inspection_pool(page->looks->now, page->family, place, &pool) == 0)
        buffer_add_text(page->text, printable(pool.name, strlen(pool.name)));
}

/* What it is for the pools: a worker, a supervisor. */
static void add_role(const struct page *page, int pid)
{
    kin_inspected_worker worker;
    struct index_walk pools = index_find(&page->index, INDEX_SUPERVISED, (uint64_t)pid);
    struct index_walk workers = index_find(&page->index, INDEX_WORKER, (uint64_t)pid);
    size_t place;
    while (index_next(&pools, &place)) {
        buffer_add_text(page->text, "  supervisor of ");
        add_pool_name(page, place);
    }
    while (index_next(&workers, &place)) {
        if (kin_inspection_worker(page->looks->now, page->family, place, &worker) < 0 ||
            !index_first(&page->index, INDEX_POOL, index_address(worker.pool), &place))
            continue;
        buffer_format(page->text, "  worker %d of ", worker.number);
        add_pool_name(page, place);
    }
}

/* Does a thread wait for a message of a pool's own queue: for a task? */
static bool waits_for_task(const struct page *page, const kin_inspected_thread *thread)
{
    size_t place;
    return thread->waits == KIN_WAITS_MESSAGE &&
           index_first(&page->index, INDEX_TASKS, index_address(thread->waits_for), &place);
}

static void add_waits(const struct page *page, int pid)
{
    kin_inspected_thread thread;
    struct index_walk threads = index_find(&page->index, INDEX_THREAD, (uint64_t)pid);
    for (size_t i; index_next(&threads, &i);) {
        if (kin_inspection_thread(page->looks->now, page->family, i, &thread) < 0 ||
            waits_for_task(page, &thread))
            continue;
        buffer_add_text(page->text, "  ");
        if (thread.thread != pid) buffer_format(page->text, "thread %d ", thread.thread);
        buffer_format(page->text, "waits for %s", waits_text(thread.waits));
        if (thread.waits_for == NULL) continue;
        buffer_add_character(page->text, ' ');
        add_named(page, thread.waits_for);
    }
}

static void add_processes(const struct page *page)
{
    kin_inspected_process process;
    if (kin_inspection_process(page->looks->now, page->family, 0, &process) < 0) return;
    heading(page, "     PID S  CPU%    MEMORY THREADS HELD  COMMAND");
    for (size_t i = 0; kin_inspection_process(page->looks->now, page->family, i, &process) == 0; i++) {
        double cpu = process_rate(page->looks, page->family, &process);
        char percent[32] = "-";
        if (cpu >= 0) snprintf(percent, sizeof percent, "%.1f", cpu * 100);
        buffer_format(page->text, "%8d %c %5s %9s %7u %4u  %s", process.pid, process.state, percent,
                      bytes_text(process.memory), process.threads, process.held,
                      printable(process.command, strlen(process.command)));
        add_role(page, process.pid);
        add_waits(page, process.pid);
        end_line(page);
    }
}

/* ---- pools ------------------------------------------------------------------------------------------ */

static void add_task(struct buffer *text, const kin_inspected_worker *worker)
{
    if (worker->starting)
        buffer_add_text(text, "starting");
    else if (!worker->running)
        buffer_add_text(text, "idle");
    else if (worker->function[0] == '\0')
        buffer_add_text(text, "busy");
    else
        buffer_format(text, "task %" PRIu64 " (%s)", worker->task,
                      printable(worker->function, strlen(worker->function)));
    if (worker->function[0] != '\0') {
        if (worker->item != 0) buffer_format(text, ", item %" PRIu64, worker->item);
        if (worker->attempt > 1) buffer_format(text, ", attempt %u", worker->attempt);
        if (worker->running_ns >= 0) buffer_format(text, ", %.1f s", (double)worker->running_ns / 1e9);
    }
    if (worker->blocked) buffer_add_text(text, ", waits on the pool itself");
    if (worker->host[0] != '\0')
        buffer_format(text, ", on %s", printable(worker->host, strlen(worker->host)));
}

static void add_workers(const struct page *page, const void *pool)
{
    kin_inspected_worker worker;
    struct index_walk crew = index_find(&page->index, INDEX_CREW, index_address(pool));
    for (size_t i; index_next(&crew, &i);) {
        if (kin_inspection_worker(page->looks->now, page->family, i, &worker) < 0) continue;
        buffer_format(page->text, "    worker %-4d %s %-8d done %-10" PRIu64 " failed %-6" PRIu64 " ",
                      worker.number, worker.thread == worker.pid ? "pid" : "thread", worker.thread,
                      worker.done, worker.failed);
        add_task(page->text, &worker);
        end_line(page);
    }
}

static void add_deaths(const struct page *page, const kin_pool_status *status)
{
    const char *before = " (";
    for (int i = 0; i < KIN_CAUSES; i++) {
        if (status->deaths_by[i] == 0) continue;
        buffer_format(page->text, "%s%" PRIu64 " %s", before, status->deaths_by[i], cause_name(i));
        before = ", ";
    }
    if (before[0] == ',') buffer_add_character(page->text, ')');
}

/* The time that half of those timed did not reach, roughly: the end of the bucket it is in. */
static double median(const uint64_t *buckets)
{
    uint64_t all = 0, below = 0;
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) all += buckets[i];
    for (int i = 0; i < KIN_TIME_BUCKETS && all > 0; i++) {
        below += buckets[i];
        if (below * 2 >= all) return (double)((uint64_t)1 << i) / 1e9;
    }
    return -1;
}

static void add_median(struct buffer *text, const char *words, double seconds)
{
    if (seconds < 0) return;
    if (seconds < 1e-3)
        buffer_format(text, ", %s %.0f us", words, seconds * 1e6 < 1 ? 1 : seconds * 1e6);
    else if (seconds < 1)
        buffer_format(text, ", %s %.0f ms", words, seconds * 1e3);
    else
        buffer_format(text, ", %s %.0f s", words, seconds);
}

static void add_pools(const struct page *page)
{
    kin_inspected_pool pool;
    for (size_t i = 0; kin_inspection_pool(page->looks->now, page->family, i, &pool) == 0; i++) {
        const kin_pool_status *status = &pool.status;
        begin(page, BOLD);
        buffer_add_text(page->text, "  pool ");
        add_quoted(page->text, pool.name);
        if (page->style->colours) buffer_add_text(page->text, NORMAL);
        buffer_format(page->text, " %s%s: %u of %u workers, %u running, %zu queued, %" PRIu64 " done",
                      state_text(pool.state), status->paused ? ", paused" : "", status->alive,
                      status->workers + status->remote, status->running, status->queued, status->done);
        buffer_format(page->text, " (%s/s), %" PRIu64 " failed, %" PRIu64 " retried, %" PRIu64 " deaths",
                      rate_text(pool_rate(page->looks, page->family, &pool)), status->failed, status->retried,
                      status->deaths);
        add_deaths(page, status);
        if (status->poisoned != 0) buffer_format(page->text, ", %u set aside", status->poisoned);
        add_median(page->text, "waiting below", median(pool.times.queued));
        add_median(page->text, "running below", median(pool.times.ran));
        end_line(page);
        add_workers(page, pool.pool);
    }
}

/* ---- queues ----------------------------------------------------------------------------------------- */

static void add_queues(const struct page *page)
{
    kin_inspected_queue queue;
    bool first = true;
    for (size_t i = 0; kin_inspection_queue(page->looks->now, page->family, i, &queue) == 0; i++) {
        if (queue.pool != NULL && !page->style->all) continue;
        if (first) heading(page, "   QUEUED       OF     BYTES    PUT/S    GOT/S CONSUMERS PRODUCERS  QUEUE");
        first = false;
        struct queue_rates rates = queue_rates(page->looks, page->family, &queue);
        char most[32] = "-";
        if (queue.max_items < 10000000) snprintf(most, sizeof most, "%zu", queue.max_items);
        buffer_format(page->text, "%9zu %8s %9s %8s %8s %9u %9u  ", queue.items, most,
                      bytes_text(queue.bytes), rate_text(rates.put), rate_text(rates.got), queue.consumers,
                      queue.producers);
        if (queue.pool != NULL) {
            buffer_add_text(page->text, "tasks of pool ");
            add_named(page, queue.pool);
        } else {
            add_object(page->text, queue.name, queue.queue);
        }
        if (queue.taken != 0) buffer_format(page->text, ", %u taken and not done", queue.taken);
        if (queue.ended) buffer_add_text(page->text, ", ended");
        end_line(page);
    }
}

/* ---- locks ------------------------------------------------------------------------------------------- */

static bool is_idle(const kin_inspected_lock *lock)
{
    return lock->holder_thread == 0 && lock->readers == 0 && lock->waiters == 0 && lock->held == 0 &&
           !lock->died;
}

static void add_holder(struct buffer *text, const kin_inspected_lock *lock)
{
    if (lock->died)
        buffer_add_text(text, "its holder died");
    else if (lock->kind == KIN_KIND_SEMAPHORE)
        buffer_format(text, "%u permits held, %u free", lock->held, lock->free);
    else if (lock->holder_thread != 0 && lock->holder_pid == lock->holder_thread)
        buffer_format(text, "held by %d", lock->holder_pid);
    else if (lock->holder_thread != 0)
        buffer_format(text, "held by %d (thread %d)", lock->holder_pid, lock->holder_thread);
    else if (lock->readers == 0)
        buffer_add_text(text, "free");
    if (lock->readers != 0)
        buffer_format(text, "%s%u reading", lock->holder_thread != 0 ? ", " : "", lock->readers);
    if (lock->depth > 1) buffer_format(text, ", %u times", lock->depth);
}

static void add_waiters(const struct page *page, const kin_inspected_lock *lock)
{
    kin_inspected_thread thread;
    const char *before = ": ";
    if (lock->waiters == 0) return;
    buffer_format(page->text, ", %u waiting", lock->waiters);
    struct index_walk waiters = index_find(&page->index, INDEX_WAITER, index_address(lock->lock));
    for (size_t i; index_next(&waiters, &i);) {
        if (kin_inspection_thread(page->looks->now, page->family, i, &thread) < 0) continue;
        buffer_format(page->text, "%s%d", before, thread.thread);
        before = ", ";
    }
}

static void add_locks(const struct page *page)
{
    kin_inspected_lock lock;
    size_t idle = 0;
    for (size_t i = 0; kin_inspection_lock(page->looks->now, page->family, i, &lock) == 0; i++) {
        if (is_idle(&lock) && !page->style->all) {
            idle++;
            continue;
        }
        if (lock.died) begin(page, RED);
        buffer_format(page->text, "  %s ", kind_text(lock.kind));
        add_object(page->text, lock.name, lock.lock);
        buffer_add_text(page->text, " ");
        add_holder(page->text, &lock);
        add_waiters(page, &lock);
        end_line(page);
    }
    if (idle == 0) return;
    begin(page, DIM);
    buffer_format(page->text, "  %zu lock%s that nobody has or waits for", idle, idle == 1 ? "" : "s");
    end_line(page);
}

/* ---- families ----------------------------------------------------------------------------------------- */

static void add_family(const struct page *page, const kin_inspected_family *family)
{
    begin(page, BOLD);
    buffer_add_text(page->text, "family ");
    if (family->name[0] != '\0')
        add_quoted(page->text, family->name);
    else
        buffer_format(page->text, "of process %d", family->pid);
    if (page->style->colours) buffer_add_text(page->text, NORMAL);
    if (family->error != 0)
        buffer_format(page->text, " (process %d): not shown: %s", family->pid, kin_strerror(family->error));
    else
        buffer_format(page->text,
                      ": %zu process%s, %zu threads, %s of memory, %" PRIu64 " deaths cleaned up after",
                      family->processes, family->processes == 1 ? "" : "es", family->threads,
                      bytes_text(family->memory), family->deaths);
    if (family->partial) buffer_add_text(page->text, " (seen in part)");
    end_line(page);
}

void text_add(struct buffer *text, const struct looks *looks, const struct text_style *style)
{
    kin_inspected_family family;
    struct page page = {.text = text, .looks = looks, .style = style};
    for (; kin_inspection_family(looks->now, page.family, &family) == 0; page.family++) {
        if (page.family > 0) buffer_add_character(text, '\n');
        index_make(&page.index, looks->now, page.family);
        add_family(&page, &family);
        add_processes(&page);
        add_pools(&page);
        add_queues(&page);
        add_locks(&page);
        index_free(&page.index);
    }
    if (page.family == 0)
        buffer_add_text(text, "no process that may be looked at belongs to a family of kin\n");
}
