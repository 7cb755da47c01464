/* look.c: see look.h. */
#include "look.h"

int look_again(struct looks *looks, const kin_inspect_options *options)
{
    kin_inspection *now = NULL;
    int rc = kin_inspect(&now, options);
    if (rc < 0) return rc;
    kin_inspection_close(looks->before);
    looks->before = looks->now;
    looks->now = now;
    return 0;
}

void looks_free(struct looks *looks)
{
    kin_inspection_close(looks->before);
    kin_inspection_close(looks->now);
    *looks = (struct looks){0};
}

/* The family of the present look in the one before, with the seconds in between; false if it was not
 * there. */
static bool find_family(const struct looks *looks, size_t index, size_t *before, double *seconds)
{
    kin_inspected_family now, family;
    static size_t last; /* all things of a family ask for it */
    if (looks->before == NULL || kin_inspection_family(looks->now, index, &now) < 0) return false;
    bool found = kin_inspection_family(looks->before, last, &family) == 0 && family.id == now.id;
    for (size_t i = 0; !found && kin_inspection_family(looks->before, i, &family) == 0; i++) {
        found = family.id == now.id;
        last = i;
    }
    if (!found) return false;
    *before = last;
    *seconds = (double)(now.taken_at - family.taken_at) / 1e9;
    return *seconds > 0;
}

/* The place to look at next, after so many, in a list of `count`.  Things come in the same order each time: the
 * one that is looked for is most often behind the one that was found last. */
static size_t place_after(size_t last, size_t looked, size_t count)
{
    return (last + 1 + looked) % count;
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
    return now >= before ? (double)(now - before) / seconds : -1;
}

double process_rate(const struct looks *looks, size_t index, const kin_inspected_process *now)
{
    kin_inspected_family about;
    kin_inspected_process process;
    size_t family;
    double seconds;
    static size_t last;
    if (!find_family(looks, index, &family, &seconds)) return -1;
    kin_inspection_family(looks->before, family, &about);
    for (size_t i = 0; i < about.processes; i++) {
        size_t place = place_after(last, i, about.processes);
        if (kin_inspection_process(looks->before, family, place, &process) < 0 || process.pid != now->pid ||
            process.generation != now->generation)
            continue;
        last = place;
        return rate((uint64_t)process.cpu_ns, (uint64_t)now->cpu_ns, seconds * 1e9);
    }
    return -1;
}

double pool_rate(const struct looks *looks, size_t index, const kin_inspected_pool *now)
{
    kin_inspected_family about;
    kin_inspected_pool pool;
    size_t family;
    double seconds;
    static size_t last;
    if (!find_family(looks, index, &family, &seconds)) return -1;
    kin_inspection_family(looks->before, family, &about);
    for (size_t i = 0; i < about.pools; i++) {
        size_t place = place_after(last, i, about.pools);
        if (kin_inspection_pool(looks->before, family, place, &pool) < 0 || pool.pool != now->pool) continue;
        last = place;
        return rate(pool.status.done + pool.status.failed, now->status.done + now->status.failed, seconds);
    }
    return -1;
}

struct queue_rates queue_rates(const struct looks *looks, size_t index, const kin_inspected_queue *now)
{
    struct queue_rates rates = {-1, -1};
    kin_inspected_family about;
    kin_inspected_queue queue;
    size_t family;
    double seconds;
    if (!find_family(looks, index, &family, &seconds)) return rates;
    kin_inspection_family(looks->before, family, &about);
    static size_t last;
    for (size_t i = 0; i < about.queues; i++) {
        size_t place = place_after(last, i, about.queues);
        if (kin_inspection_queue(looks->before, family, place, &queue) < 0 || queue.queue != now->queue)
            continue;
        rates.put = rate(queue.put, now->put, seconds);
        rates.got = rate(queue.got, now->got, seconds);
        last = place;
        break;
    }
    return rates;
}

/* ---- words ---------------------------------------------------------------------------------- */

const char *waits_text(enum kin_waits waits)
{
    static const char *const texts[KIN_WAITS] = {
        [KIN_WAITS_NOT] = "",
        [KIN_WAITS_OTHER] = "kin itself",
        [KIN_WAITS_LOCK] = "lock",
        [KIN_WAITS_RWLOCK] = "rwlock",
        [KIN_WAITS_SEMAPHORE] = "semaphore",
        [KIN_WAITS_CONDITION] = "condition",
        [KIN_WAITS_EVENT] = "event",
        [KIN_WAITS_BARRIER] = "barrier",
        [KIN_WAITS_MESSAGE] = "message of queue",
        [KIN_WAITS_ROOM] = "room in queue",
        [KIN_WAITS_TASKS] = "tasks of queue",
        [KIN_WAITS_POOL] = "pool",
        [KIN_WAITS_RESULT] = "result",
        [KIN_WAITS_ARRAY] = "array",
    };
    return (unsigned)waits < KIN_WAITS ? texts[waits] : "";
}

const char *kind_text(enum kin_inspected_kind kind)
{
    static const char *const texts[KIN_KINDS] = {
        [KIN_KIND_LOCK] = "lock",
        [KIN_KIND_RLOCK] = "rlock",
        [KIN_KIND_RWLOCK] = "rwlock",
        [KIN_KIND_SEMAPHORE] = "semaphore",
    };
    return (unsigned)kind < KIN_KINDS ? texts[kind] : "";
}

const char *state_text(enum kin_inspected_state state)
{
    static const char *const texts[] = {
        [KIN_POOL_RUNNING] = "running",       [KIN_POOL_OPENING] = "opening", [KIN_POOL_CLOSED] = "closed",
        [KIN_POOL_TERMINATED] = "terminated", [KIN_POOL_ENDED] = "ended",     [KIN_POOL_BROKEN] = "broken",
    };
    return (unsigned)state <= KIN_POOL_BROKEN ? texts[state] : "";
}

const char *cause_name(int cause)
{
    static const char *const names[KIN_CAUSES] = {
        [KIN_CAUSE_NONE] = "none",
        [KIN_CAUSE_RETURNED] = "returned",
        [KIN_CAUSE_EXITED] = "exited",
        [KIN_CAUSE_SIGNALED] = "signaled",
        [KIN_CAUSE_TIMEOUT] = "timeout",
        [KIN_CAUSE_TERMINATED] = "terminated",
        [KIN_CAUSE_OUT_OF_MEMORY] = "out_of_memory",
        [KIN_CAUSE_FUNCTION] = "function",
        [KIN_CAUSE_SUPERVISOR] = "supervisor",
        [KIN_CAUSE_CANCELLED] = "cancelled",
        [KIN_CAUSE_NEED] = "need",
        [KIN_CAUSE_LOST] = "lost",
    };
    return cause >= 0 && cause < KIN_CAUSES && names[cause] != NULL ? names[cause] : "other";
}
