/* top_json.c: `kin top` as one JSON object. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <kin/error.h>

#include "index.h"
#include "json.h"
#include "top.h"

/* The first error of several writes is kept: what was written after it does not matter. */
struct page {
    struct output *out;
    const struct looks *looks;
    size_t family;
    struct index index;
    int rc;
};

static void note(struct page *page, int rc)
{
    if (page->rc == 0) page->rc = rc;
}

static void number(struct page *page, const char *name, uint64_t value)
{
    note(page, json_number(page->out, name, (long long)value));
}

static void boolean(struct page *page, const char *name, bool value)
{
    note(page, json_boolean(page->out, name, value));
}

static void text(struct page *page, const char *name, const char *value)
{
    note(page, json_bytes(page->out, name, value, strlen(value)));
}

/* null for NULL. */
static void address(struct page *page, const char *name, const void *value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%p", value);
    if (value == NULL)
        note(page, json_null(page->out, name));
    else
        text(page, name, digits);
}

/* null for what is negative, and so not known. */
static void seconds(struct page *page, const char *name, double value)
{
    note(page, value < 0 ? json_null(page->out, name) : json_seconds(page->out, name, value));
}

static void open(struct page *page, const char *name, char bracket)
{
    note(page, json_open(page->out, name, bracket));
}

static void close(struct page *page, char bracket)
{
    note(page, json_close(page->out, bracket));
}

/* ---- lists of a family ------------------------------------------------------------------------- */

static void add_processes(struct page *page)
{
    kin_inspected_process process;
    open(page, "processes", '[');
    for (size_t i = 0; kin_inspection_process(page->looks->now, page->family, i, &process) == 0; i++) {
        open(page, NULL, '{');
        number(page, "pid", (uint64_t)process.pid);
        text(page, "command", process.command);
        text(page, "state", (char[]){process.state, '\0'});
        number(page, "generation", process.generation);
        number(page, "threads", process.threads);
        number(page, "held", process.held);
        seconds(page, "cpu_seconds", (double)process.cpu_ns / 1e9);
        seconds(page, "processors", process_rate(page->looks, page->family, &process));
        number(page, "memory_bytes", process.memory);
        close(page, '}');
    }
    close(page, ']');
}

static void add_threads(struct page *page)
{
    kin_inspected_thread thread;
    open(page, "threads", '[');
    for (size_t i = 0; kin_inspection_thread(page->looks->now, page->family, i, &thread) == 0; i++) {
        open(page, NULL, '{');
        number(page, "thread", (uint64_t)thread.thread);
        number(page, "pid", (uint64_t)thread.pid);
        if (thread.waits != KIN_WAITS_NOT) {
            text(page, "waits_for", waits_text(thread.waits));
            address(page, "object", thread.waits_for);
        } else {
            note(page, json_null(page->out, "waits_for"));
        }
        close(page, '}');
    }
    close(page, ']');
}

/* "upper bound in seconds": how many, of those buckets that are not empty. */
static void add_times(struct page *page, const char *name, const uint64_t *buckets)
{
    char bound[32];
    open(page, name, '{');
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) {
        if (buckets[i] == 0) continue;
        snprintf(bound, sizeof bound, "%.9f", (double)((uint64_t)1 << i) / 1e9);
        number(page, bound, buckets[i]);
    }
    close(page, '}');
}

static void add_workers(struct page *page, const void *pool)
{
    kin_inspected_worker worker;
    struct index_walk crew = index_find(&page->index, INDEX_CREW, index_address(pool));
    open(page, "workers", '[');
    for (size_t i; index_next(&crew, &i);) {
        if (kin_inspection_worker(page->looks->now, page->family, i, &worker) < 0) continue;
        open(page, NULL, '{');
        number(page, "worker", (uint64_t)worker.number);
        number(page, "pid", (uint64_t)worker.pid);
        number(page, "thread", (uint64_t)worker.thread);
        if (worker.host[0] != '\0') text(page, "host", worker.host);
        text(page, "state", worker.starting ? "starting" : worker.running ? "running" : "idle");
        boolean(page, "blocked", worker.blocked);
        if (worker.function[0] != '\0') {
            open(page, "task", '{');
            number(page, "task", worker.task);
            text(page, "function", worker.function);
            number(page, "attempt", worker.attempt);
            number(page, "item", worker.item);
            seconds(page, "seconds", worker.running_ns < 0 ? -1 : (double)worker.running_ns / 1e9);
            close(page, '}');
        }
        number(page, "done", worker.done);
        number(page, "failed", worker.failed);
        number(page, "retried", worker.retried);
        close(page, '}');
    }
    close(page, ']');
}

static void add_pools(struct page *page)
{
    kin_inspected_pool pool;
    open(page, "pools", '[');
    for (size_t i = 0; kin_inspection_pool(page->looks->now, page->family, i, &pool) == 0; i++) {
        const kin_pool_status *status = &pool.status;
        open(page, NULL, '{');
        address(page, "pool", pool.pool);
        text(page, "name", pool.name);
        text(page, "state", state_text(pool.state));
        boolean(page, "paused", status->paused);
        number(page, "owner", (uint64_t)pool.owner);
        boolean(page, "threads", pool.threads);
        if (!pool.threads) number(page, "supervisor", (uint64_t)status->supervisor_pid);
        number(page, "wanted", status->workers);
        number(page, "alive", status->alive);
        number(page, "remote", status->remote);
        number(page, "running", status->running);
        number(page, "blocked", status->blocked);
        number(page, "queued", status->queued);
        number(page, "submitted", status->submitted);
        number(page, "done", status->done);
        number(page, "failed", status->failed);
        number(page, "retried", status->retried);
        number(page, "set_aside", status->poisoned);
        seconds(page, "over_per_second", pool_rate(page->looks, page->family, &pool));
        number(page, "deaths", status->deaths);
        open(page, "deaths_by", '{');
        for (int cause = 0; cause < KIN_CAUSES; cause++)
            if (status->deaths_by[cause] != 0) number(page, cause_name(cause), status->deaths_by[cause]);
        close(page, '}');
        number(page, "timed_one_of", pool.times.one_of);
        add_times(page, "queued_below_seconds", pool.times.queued);
        add_times(page, "ran_below_seconds", pool.times.ran);
        add_workers(page, pool.pool);
        close(page, '}');
    }
    close(page, ']');
}

static void add_queues(struct page *page)
{
    kin_inspected_queue queue;
    open(page, "queues", '[');
    for (size_t i = 0; kin_inspection_queue(page->looks->now, page->family, i, &queue) == 0; i++) {
        struct queue_rates rates = queue_rates(page->looks, page->family, &queue);
        open(page, NULL, '{');
        address(page, "queue", queue.queue);
        if (queue.name[0] != '\0') text(page, "name", queue.name);
        if (queue.pool != NULL) address(page, "tasks_of", queue.pool);
        number(page, "messages", queue.items);
        number(page, "bytes", queue.bytes);
        number(page, "max_messages", queue.max_items);
        number(page, "max_bytes", queue.max_bytes);
        number(page, "put", queue.put);
        number(page, "got", queue.got);
        number(page, "bytes_put", queue.bytes_put);
        number(page, "bytes_got", queue.bytes_got);
        seconds(page, "put_per_second", rates.put);
        seconds(page, "got_per_second", rates.got);
        number(page, "consumers_waiting", queue.consumers);
        number(page, "producers_waiting", queue.producers);
        boolean(page, "joinable", queue.joinable);
        number(page, "taken", queue.taken);
        boolean(page, "ended", queue.ended);
        close(page, '}');
    }
    close(page, ']');
}

static void add_locks(struct page *page)
{
    kin_inspected_lock lock;
    open(page, "locks", '[');
    for (size_t i = 0; kin_inspection_lock(page->looks->now, page->family, i, &lock) == 0; i++) {
        open(page, NULL, '{');
        address(page, "lock", lock.lock);
        text(page, "kind", kind_text(lock.kind));
        if (lock.name[0] != '\0') text(page, "name", lock.name);
        if (lock.kind == KIN_KIND_SEMAPHORE) {
            number(page, "free", lock.free);
            number(page, "held", lock.held);
        } else {
            number(page, "holder_pid", (uint64_t)lock.holder_pid);
            number(page, "holder_thread", (uint64_t)lock.holder_thread);
            number(page, "depth", lock.depth);
            boolean(page, "holder_died", lock.died);
        }
        if (lock.kind == KIN_KIND_RWLOCK) number(page, "readers", lock.readers);
        number(page, "waiting", lock.waiters);
        close(page, '}');
    }
    close(page, ']');
}

/* ---- families ------------------------------------------------------------------------------------ */

static void add_family(struct page *page, const kin_inspected_family *family)
{
    open(page, NULL, '{');
    number(page, "family", family->id);
    if (family->name[0] != '\0') text(page, "name", family->name);
    number(page, "pid", (uint64_t)family->pid);
    number(page, "uid", family->uid);
    if (family->error != 0) text(page, "error", kin_strerror(family->error));
    boolean(page, "partial", family->partial);
    number(page, "memory_bytes", family->memory);
    number(page, "allocated_bytes", family->heap_allocated);
    number(page, "blocks", family->heap_blocks);
    number(page, "deaths", family->deaths);
    index_make(&page->index, page->looks->now, page->family);
    add_processes(page);
    add_threads(page);
    add_pools(page);
    add_queues(page);
    add_locks(page);
    index_free(&page->index);
    close(page, '}');
}

int top_json(struct output *out, const struct looks *looks)
{
    kin_inspected_family family;
    struct page page = {.out = out, .looks = looks};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    open(&page, NULL, '{');
    seconds(&page, "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
    open(&page, "families", '[');
    for (; kin_inspection_family(looks->now, page.family, &family) == 0; page.family++)
        add_family(&page, &family);
    close(&page, ']');
    close(&page, '}');
    note(&page, output_add(out, "\n", 1));
    return page.rc;
}
