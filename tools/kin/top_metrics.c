/* top_metrics.c: `kin top` in the text format of OpenMetrics 1.0.
 *
 * All samples of a metric stand together, behind what describes it.  A family is named by its id, and what
 * is in it by its address, so that no two samples have the same labels; names are labels beside that. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "top.h"

/* ---- pieces ---------------------------------------------------------------------------------------- */

/* "counter", and its unit or NULL, which its name ends with. */
static void describe(struct buffer *text, const char *name, const char *type, const char *unit,
                     const char *help)
{
    buffer_format(text, "# TYPE %s %s\n", name, type);
    if (unit != NULL) buffer_format(text, "# UNIT %s %s\n", name, unit);
    buffer_format(text, "# HELP %s %s\n", name, help);
}

static void add_label(struct buffer *text, const char *name, const char *value)
{
    size_t size = strlen(value);
    if (size == 0) return;
    bool clean = json_is_text(value, size);
    char last = text->bytes[text->size - 1];
    buffer_format(text, "%s%s=\"", last == '{' ? "" : ",", name);
    for (size_t i = 0; i < size; i++) {
        if (value[i] == '\\' || value[i] == '"')
            buffer_format(text, "\\%c", value[i]);
        else if (value[i] == '\n')
            buffer_add_text(text, "\\n");
        else
            buffer_add_character(text, (value[i] & 0x80) != 0 && !clean ? '?' : value[i]);
    }
    buffer_add_character(text, '"');
}

static void add_address(struct buffer *text, const char *name, const void *address)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%p", address);
    add_label(text, name, digits);
}

static void begin(struct buffer *text, const char *name, uint64_t family)
{
    buffer_format(text, "%s{family=\"%" PRIu64 "\"", name, family);
}

static void end_number(struct buffer *text, uint64_t value)
{
    buffer_format(text, "} %" PRIu64 "\n", value);
}

static void end_seconds(struct buffer *text, double value)
{
    buffer_format(text, "} %.9g\n", value);
}

/* ---- what there is of each kind ---------------------------------------------------------------------- */

/* One metric of a kind of thing: its name, as a counter without "_total". */
struct metric {
    const char *name;
    bool counter;
    const char *unit;
    const char *help;
};

static void describe_metric(struct buffer *text, const struct metric *metric)
{
    describe(text, metric->name, metric->counter ? "counter" : "gauge", metric->unit, metric->help);
}

static void begin_metric(struct buffer *text, const struct metric *metric, uint64_t family)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", metric->name, metric->counter ? "_total" : "");
    begin(text, name, family);
}

/* What is done with each thing that was seen: writes the samples that it has of a metric. */
typedef void sample_of(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t family,
                       const struct metric *metric, int number);

static void add_metrics(struct buffer *text, const kin_inspection *seen, const struct metric *metrics,
                        int count, sample_of *sample)
{
    kin_inspected_family family;
    for (int number = 0; number < count; number++) {
        describe_metric(text, &metrics[number]);
        for (size_t i = 0; kin_inspection_family(seen, i, &family) == 0; i++)
            sample(text, seen, i, family.id, &metrics[number], number);
    }
}

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

/* ---- families and processes -------------------------------------------------------------------------- */

static void add_names(struct buffer *text, const kin_inspection *seen)
{
    kin_inspected_family family;
    describe(text, "kin_family", "info", NULL,
             "The name by which a family can be joined, and one process of it.");
    for (size_t i = 0; kin_inspection_family(seen, i, &family) == 0; i++) {
        char pid[16], uid[16];
        begin(text, "kin_family_info", family.id);
        snprintf(pid, sizeof pid, "%d", family.pid);
        snprintf(uid, sizeof uid, "%u", family.uid);
        add_label(text, "name", family.name);
        add_label(text, "pid", pid);
        add_label(text, "uid", uid);
        add_label(text, "readable", family.error == 0 ? "yes" : "no");
        end_number(text, 1);
    }
}

static const struct metric of_family[] = {
    {"kin_family_processes", false, NULL, "Living processes of the family."},
    {"kin_family_threads", false, NULL, "Living threads that have used kin."},
    {"kin_family_memory_bytes", false, "bytes", "Memory behind the family's region."},
    {"kin_family_allocated_bytes", false, "bytes", "Bytes that the allocator has handed out."},
    {"kin_family_deaths", true, NULL, "Processes and threads that died and were cleaned up after."},
};

static void sample_family(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                          const struct metric *metric, int number)
{
    kin_inspected_family family;
    if (kin_inspection_family(seen, index, &family) < 0 || family.error != 0) return;
    const uint64_t values[COUNT(of_family)] = {family.processes, family.threads, family.memory,
                                               family.heap_allocated, family.deaths};
    begin_metric(text, metric, id);
    end_number(text, values[number]);
}

static const struct metric of_process[] = {
    {"kin_process_cpu_seconds", true, "seconds", "Processor time that the process has used."},
    {"kin_process_memory_bytes", false, "bytes", "Resident memory of the process."},
    {"kin_process_held", false, NULL, "Messages that the process holds, and pools that it has open."},
};

static void sample_process(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                           const struct metric *metric, int number)
{
    kin_inspected_process process;
    for (size_t i = 0; kin_inspection_process(seen, index, i, &process) == 0; i++) {
        char pid[16];
        snprintf(pid, sizeof pid, "%d", process.pid);
        begin_metric(text, metric, id);
        add_label(text, "pid", pid);
        add_label(text, "command", process.command);
        if (number == 0)
            end_seconds(text, (double)process.cpu_ns / 1e9);
        else
            end_number(text, number == 1 ? process.memory : process.held);
    }
}

/* ---- pools ------------------------------------------------------------------------------------------- */

static const struct metric of_pool[] = {
    {"kin_pool_workers_wanted", false, NULL, "Workers that the pool is to have on this machine."},
    {"kin_pool_workers", false, NULL, "Workers that there are, those of other programs included."},
    {"kin_pool_workers_running", false, NULL, "Workers that are on a task."},
    {"kin_pool_tasks_queued", false, NULL, "Tasks that wait for a worker."},
    {"kin_pool_tasks_set_aside", false, NULL, "Tasks that killed their workers and were set aside."},
    {"kin_pool_tasks_submitted", true, NULL, "Tasks, and parts of maps, that were handed in."},
    {"kin_pool_tasks_done", true, NULL, "Tasks that succeeded."},
    {"kin_pool_tasks_failed", true, NULL, "Tasks that failed."},
    {"kin_pool_tasks_retried", true, NULL, "Repetitions after an error."},
};

static void begin_pool(struct buffer *text, const kin_inspected_pool *pool)
{
    add_address(text, "pool", pool->pool);
    add_label(text, "name", pool->name);
}

static void sample_pool(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                        const struct metric *metric, int number)
{
    kin_inspected_pool pool;
    for (size_t i = 0; kin_inspection_pool(seen, index, i, &pool) == 0; i++) {
        const kin_pool_status *status = &pool.status;
        const uint64_t values[COUNT(of_pool)] = {status->workers, status->alive,    status->running,
                                                 status->queued,  status->poisoned, status->submitted,
                                                 status->done,    status->failed,   status->retried};
        begin_metric(text, metric, id);
        begin_pool(text, &pool);
        end_number(text, values[number]);
    }
}

static void sample_deaths(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                          const struct metric *metric, int number)
{
    kin_inspected_pool pool;
    (void)number;
    for (size_t i = 0; kin_inspection_pool(seen, index, i, &pool) == 0; i++)
        for (int cause = 1; cause < KIN_CAUSES; cause++) {
            begin_metric(text, metric, id);
            begin_pool(text, &pool);
            add_label(text, "cause", cause_name(cause));
            end_number(text, pool.status.deaths_by[cause]);
        }
}

/* Buckets from a microsecond to five hours: what is below the first is in it. */
#define BUCKET_FIRST 10
#define BUCKET_LAST  44

static void add_buckets(struct buffer *text, const char *name, uint64_t family,
                        const kin_inspected_pool *pool, const uint64_t *buckets)
{
    uint64_t below = 0;
    for (int i = 0; i < KIN_TIME_BUCKETS; i++) {
        char bound[32];
        below += buckets[i];
        if ((i < BUCKET_FIRST || i > BUCKET_LAST) && i != KIN_TIME_BUCKETS - 1) continue;
        snprintf(bound, sizeof bound, "%.12g", (double)((uint64_t)1 << i) / 1e9);
        begin(text, name, family);
        begin_pool(text, pool);
        add_label(text, "le", i == KIN_TIME_BUCKETS - 1 ? "+Inf" : bound);
        end_number(text, below);
    }
}

static void add_histogram(struct buffer *text, const kin_inspection *seen, bool ran)
{
    const char *name = ran ? "kin_pool_task_run_seconds" : "kin_pool_task_queue_seconds";
    char bucket[64];
    kin_inspected_family family;
    kin_inspected_pool pool;
    snprintf(bucket, sizeof bucket, "%s_bucket", name);
    describe(text, name, "histogram", "seconds",
             ran ? "How long tasks ran, of the few that are timed."
                 : "How long tasks waited for a worker, of the few that are timed.");
    for (size_t i = 0; kin_inspection_family(seen, i, &family) == 0; i++)
        for (size_t j = 0; kin_inspection_pool(seen, i, j, &pool) == 0; j++)
            add_buckets(text, bucket, family.id, &pool, ran ? pool.times.ran : pool.times.queued);
}

/* ---- queues and locks ---------------------------------------------------------------------------------- */

static const struct metric of_queue[] = {
    {"kin_queue_messages", false, NULL, "Messages that are in the queue."},
    {"kin_queue_bytes", false, "bytes", "Bytes that are in the queue."},
    {"kin_queue_messages_most", false, NULL, "Messages that may be in the queue."},
    {"kin_queue_messages_put", true, NULL, "Messages that were put."},
    {"kin_queue_messages_got", true, NULL, "Messages that were got."},
    {"kin_queue_put_bytes", true, "bytes", "Bytes that were put."},
    {"kin_queue_got_bytes", true, "bytes", "Bytes that were got."},
    {"kin_queue_consumers_waiting", false, NULL, "Threads that wait for a message."},
    {"kin_queue_producers_waiting", false, NULL, "Threads that wait for room."},
    {"kin_queue_messages_taken", false, NULL, "Messages that were taken and are not done."},
};

static void sample_queue(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                         const struct metric *metric, int number)
{
    kin_inspected_queue queue;
    for (size_t i = 0; kin_inspection_queue(seen, index, i, &queue) == 0; i++) {
        const uint64_t values[COUNT(of_queue)] = {
            queue.items,     queue.bytes,     queue.max_items, queue.put,       queue.got,
            queue.bytes_put, queue.bytes_got, queue.consumers, queue.producers, queue.taken};
        begin_metric(text, metric, id);
        add_address(text, "queue", queue.queue);
        add_label(text, "name", queue.name);
        if (queue.pool != NULL) add_address(text, "pool", queue.pool);
        end_number(text, values[number]);
    }
}

static const struct metric of_lock[] = {
    {"kin_lock_held", false, NULL, "Who has it: permits, readers, or 1 for a lock that is held."},
    {"kin_lock_waiting", false, NULL, "Threads that wait for it."},
    {"kin_lock_holder_died", false, NULL, "1 if its holder died and nobody has acquired it since."},
};

static void sample_lock(struct buffer *text, const kin_inspection *seen, size_t index, uint64_t id,
                        const struct metric *metric, int number)
{
    kin_inspected_lock lock;
    for (size_t i = 0; kin_inspection_lock(seen, index, i, &lock) == 0; i++) {
        uint64_t held = lock.kind == KIN_KIND_SEMAPHORE ? lock.held
                        : lock.holder_thread != 0       ? 1
                                                        : lock.readers;
        const uint64_t values[COUNT(of_lock)] = {held, lock.waiters, lock.died};
        begin_metric(text, metric, id);
        add_address(text, "lock", lock.lock);
        add_label(text, "kind", kind_text(lock.kind));
        add_label(text, "name", lock.name);
        end_number(text, values[number]);
    }
}

void top_metrics(struct buffer *text, const struct looks *looks)
{
    static const struct metric deaths = {"kin_pool_worker_deaths", true, NULL,
                                         "Workers that died, by the cause."};
    const kin_inspection *seen = looks->now;
    add_names(text, seen);
    add_metrics(text, seen, of_family, COUNT(of_family), sample_family);
    add_metrics(text, seen, of_process, COUNT(of_process), sample_process);
    add_metrics(text, seen, of_pool, COUNT(of_pool), sample_pool);
    add_metrics(text, seen, &deaths, 1, sample_deaths);
    add_histogram(text, seen, false);
    add_histogram(text, seen, true);
    add_metrics(text, seen, of_queue, COUNT(of_queue), sample_queue);
    add_metrics(text, seen, of_lock, COUNT(of_lock), sample_lock);
    buffer_add_text(text, "# EOF\n");
}
