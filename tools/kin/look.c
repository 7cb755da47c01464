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

/* Is what is at that place of the family the thing `now`?  If so `*then` is what it was. */
typedef bool is_same(const kin_inspection *before, size_t family, size_t place, const void *now, void *then);

static bool is_process(const kin_inspection *before, size_t family, size_t place, const void *now, void *then)
{
    const kin_inspected_process *process = now;
    kin_inspected_process *was = then;
    return kin_inspection_process(before, family, place, was) == 0 && was->pid == process->pid &&
           was->generation == process->generation;
}

static bool is_pool(const kin_inspection *before, size_t family, size_t place, const void *now, void *then)
{
    kin_inspected_pool *was = then;
    return kin_inspection_pool(before, family, place, was) == 0 &&
           was->pool == ((const kin_inspected_pool *)now)->pool;
}

static bool is_queue(const kin_inspection *before, size_t family, size_t place, const void *now, void *then)
{
    kin_inspected_queue *was = then;
    return kin_inspection_queue(before, family, place, was) == 0 &&
           was->queue == ((const kin_inspected_queue *)now)->queue;
}

enum list { PROCESSES, POOLS, QUEUES };

/* Finds in the look before what the thing `now` of the family `index` was, with the seconds in between. */
static bool find_again(const struct looks *looks, size_t index, enum list list, const void *now, void *then,
                       double *seconds)
{
    static struct {
        is_same *is_same;
        size_t
            last; /* found: things come in the same order each time, and the next is most often behind it */
    } lists[] = {{is_process, 0}, {is_pool, 0}, {is_queue, 0}};
    kin_inspected_family about;
    size_t family;
    if (!find_family(looks, index, &family, seconds)) return false;
    kin_inspection_family(looks->before, family, &about);
    const size_t counts[] = {about.processes, about.pools, about.queues};
    for (size_t looked = 0; looked < counts[list]; looked++) {
        size_t place = (lists[list].last + 1 + looked) % counts[list];
        if (!lists[list].is_same(looks->before, family, place, now, then)) continue;
        lists[list].last = place;
        return true;
    }
    return false;
}

static double rate(uint64_t before, uint64_t now, double seconds)
{
    return now >= before ? (double)(now - before) / seconds : -1;
}

double process_rate(const struct looks *looks, size_t index, const kin_inspected_process *now)
{
    kin_inspected_process then;
    double seconds;
    if (!find_again(looks, index, PROCESSES, now, &then, &seconds)) return -1;
    return rate((uint64_t)then.cpu_ns, (uint64_t)now->cpu_ns, seconds * 1e9);
}

double pool_rate(const struct looks *looks, size_t index, const kin_inspected_pool *now)
{
    kin_inspected_pool then;
    double seconds;
    if (!find_again(looks, index, POOLS, now, &then, &seconds)) return -1;
    return rate(then.status.done + then.status.failed, now->status.done + now->status.failed, seconds);
}

struct queue_rates queue_rates(const struct looks *looks, size_t index, const kin_inspected_queue *now)
{
    kin_inspected_queue then;
    double seconds;
    if (!find_again(looks, index, QUEUES, now, &then, &seconds)) return (struct queue_rates){-1, -1};
    return (struct queue_rates){rate(then.put, now->put, seconds), rate(then.got, now->got, seconds)};
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
