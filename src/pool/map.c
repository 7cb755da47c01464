/* map.c: a function over an array, by all workers.
 *
 * A map is a job (a record that the caller waits on) and a part for each worker (records in the
 * task queue).  The items are dealt out to the parts as spans; a part works its span off from
 * the front, and one that has nothing left takes half of what another has not begun.
 *
 * Invariants:
 *  - A part's span is one word: what it is on and what it has not begun.  Moving on is one CAS
 *    of it, so that no kill loses or doubles an item.
 *  - Only a thief changes the end of a span, under the map's latch, and what a dead thief took
 *    and did not yet have is found by its note there.
 *  - How far a part is within what it is on stands in progress[parity]; the parity is in the
 *    span, so that both change with one store.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "pool/pool.h"

/* A span: first unit (28 bits), units on the way (7), parity (1), end (28). */
#define UNIT_BITS  28
#define UNITS_MOST (((uint64_t)1 << UNIT_BITS) - 1)
#define BUSY_MOST  127

struct span {
    uint64_t first, busy, parity, end;
};

static struct span unpack(uint64_t word)
{
    return (struct span){
        .first = word & UNITS_MOST,
        .busy = word >> UNIT_BITS & BUSY_MOST,
        .parity = word >> (UNIT_BITS + 7) & 1,
        .end = word >> (UNIT_BITS + 8),
    };
}

static uint64_t pack(struct span span)
{
    return span.first | span.busy << UNIT_BITS | span.parity << (UNIT_BITS + 7) | span.end << (UNIT_BITS + 8);
}

/* SHARED, in the argument block of the job's record, followed by the parts' addresses, the
 * failures and, where the caller's arrays are not family memory, copies of them.
 *   range … part   constant once the parts are queued.
 *   cancel     0 → 1 by the caller, a worker that saw a failure, or the supervisor.
 *   latch          of thief, victim, middle, end (the note of a theft) and of the failures. */
struct kin__map {
    kin_result *job;
    kin_range_function *range;
    const char *in;
    char *out;
    size_t in_size, out_size;
    uint64_t count, unit, chunk;
    bool keep_going;
    unsigned attempts;
    uint32_t parts, parts_most;
    kin_result **part;
    _Atomic uint32_t cancel;
    struct kin__latch latch;
    kin_result *thief, *victim;
    uint64_t middle, end;
    kin_failure *failure;
    uint64_t failures_most, failures;
    _Atomic uint64_t failed;
};

static uint64_t item_of(const struct kin__map *map, uint64_t unit)
{
    uint64_t item = unit * map->unit;
    return item < map->count ? item : map->count;
}

/* ---- stealing ------------------------------------------------------------------------------------ */

/* Finishes the theft of a thief that died: the victim's end tells whether it was shortened. */
static void repair(struct kin__map *map)
{
    if (map->thief != NULL && unpack(atomic_load(&map->victim->span)).end == map->middle) {
        struct span own = unpack(atomic_load(&map->thief->span));
        own.first = map->middle;
        own.busy = 0;
        own.end = map->end;
        atomic_store(&map->thief->span, pack(own));
    }
    map->thief = NULL;
    kin__latch_clean(&map->latch);
}

static int lock(struct kin__map *map)
{
    int rc = kin__latch_acquire(&map->latch, KIN_FOREVER);
    if (rc == 1) repair(map);
    return rc < 0 ? rc : 0;
}

static uint64_t not_begun(struct span span)
{
    return span.end - span.first - span.busy;
}

static kin_result *richest(struct kin__map *map)
{
    kin_result *found = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < map->parts; i++) {
        uint64_t units = not_begun(unpack(atomic_load(&map->part[i]->span)));
        if (units > most) {
            most = units;
            found = map->part[i];
        }
    }
    return found;
}

static bool rob(struct kin__map *map, kin_result *thief, kin_result *victim)
{
    uint64_t word = atomic_load(&victim->span);
    struct span theirs = unpack(word), own = unpack(atomic_load(&thief->span));
    uint64_t units = not_begun(theirs);
    if (units == 0) return false;
    own.end = theirs.end;
    own.first = theirs.end -= (units + 1) / 2;
    own.busy = 0;
    map->victim = victim;
    map->middle = own.first;
    map->end = own.end;
    /* The thief last: who finds one finds the rest of the note. */
    atomic_signal_fence(memory_order_seq_cst);
    map->thief = thief;
    atomic_signal_fence(memory_order_seq_cst);
    /* CRASH: between these two stores the units are nobody's but the note's: repair. */
    bool taken = atomic_compare_exchange_strong(&victim->span, &word, pack(theirs));
    if (taken) atomic_store(&thief->span, pack(own));
    atomic_signal_fence(memory_order_seq_cst);
    map->thief = NULL;
    return taken;
}

/* Gets the part something to do from the others; false when there is nothing left. */
static bool steal(struct kin__map *map, kin_result *part)
{
    bool found = false;
    if (lock(map) < 0) return false;
    while (!found) {
        if (not_begun(unpack(atomic_load(&part->span))) > 0) {
            found = true; /* a theft of a dead predecessor was finished just now */
            break;
        }
        kin_result *victim = richest(map);
        if (victim == NULL) break;
        found = rob(map, part, victim);
    }
    kin__latch_release(&map->latch);
    return found;
}

/* ---- failures --------------------------------------------------------------------------------------- */

/* Notes that an item failed; again after a death that came before the part moved on. */
static void note_failure(struct kin__map *map, const kin_failure *failure)
{
    if (!map->keep_going) atomic_store(&map->cancel, 1);
    if (lock(map) < 0) return;
    bool known = false;
    for (uint64_t i = 0; i < map->failures && !known; i++) known = map->failure[i].task == failure->task;
    if (!known) {
        if (map->failures < map->failures_most) {
            map->failure[map->failures] = *failure;
            map->failures++;
        }
        atomic_fetch_add(&map->failed, 1);
    }
    kin__latch_release(&map->latch);
}

static void item_returned(kin_result *part, uint64_t item, int code, const struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    kin_failure failure = {
        .cause = KIN_CAUSE_RETURNED,
        .code = code,
        .task = item,
        .worker = KIN__TASK_WORKER(atomic_load(&part->state)),
        .worker_pid = atomic_load(&worker->pid),
        .attempt = part->crash_item == item + 1 ? part->crashes + 1 : 1,
        .attempts = map->attempts,
    };
    memcpy(failure.function, map->job->function, sizeof map->job->function);
    note_failure(map, &failure);
}

/* ---- running ------------------------------------------------------------------------------------------ */

void kin__map_refuse(kin_result *part)
{
    struct kin__map *map = part->map;
    kin_failure failure = part->failure;
    failure.task = item_of(map, unpack(atomic_load(&part->span)).first);
    failure.attempts = map->attempts;
    memcpy(failure.function, map->job->function, sizeof map->job->function);
    note_failure(map, &failure);
    atomic_store(&map->cancel, 1);
}

/* Runs what is on the way, from where progress says. */
static void run_busy(kin_result *part, struct span span, struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    uint64_t first = item_of(map, span.first), end = item_of(map, span.first + span.busy);
    uint64_t base = first;
    volatile size_t *progress = &part->progress[span.parity];
    first += *progress;
    while (first < end) {
        /* The function counts from its own beginning: the part's base moves with it. */
        size_t done = (size_t)(first - base);
        volatile size_t counted = 0;
        int rc;
        if (done == 0) {
            rc = map->range(map->in + first * map->in_size, map->out + first * map->out_size,
                            (size_t)(end - first), progress);
            counted = *progress;
        } else {
            rc = map->range(map->in + first * map->in_size, map->out + first * map->out_size, 1, &counted);
        }
        if (rc == 0 && done == 0) {
            *progress = (size_t)(end - base);
            return;
        }
        if (rc != 0) item_returned(part, first + counted, rc, worker);
        first += counted + 1;
        *progress = (size_t)(first - base);
        if (rc != 0 && !map->keep_going) return;
    }
}

static uint64_t units_to_begin(const struct kin__map *map, struct span span)
{
    uint64_t left = not_begun(span), units = map->chunk;
    if (units == 0) {
        units = left / 8; /* smaller and smaller towards the end */
        units = units < 1 ? 1 : units;
    }
    units = units < left ? units : left;
    return units < BUSY_MOST ? units : BUSY_MOST;
}

/* Moves on to the next units of the part's own span; false when it has none. */
static bool move_on(kin_result *part, struct span *span)
{
    for (;;) {
        uint64_t word = atomic_load(&part->span);
        struct span next = unpack(word);
        bool cancelled = atomic_load_explicit(&part->map->cancel, memory_order_relaxed) != 0;
        uint64_t begin = cancelled ? 0 : units_to_begin(part->map, next);
        next.first += next.busy;
        next.busy = begin;
        next.parity ^= 1;
        part->progress[next.parity] = 0;
        /* Only a thief competes, for the end.  CRASH: this one word says that the last units
         * are done and the next have begun. */
        if (atomic_compare_exchange_strong(&part->span, &word, pack(next))) {
            *span = next;
            return begin > 0;
        }
    }
}

/* Was the map ended while this part was on the units on the way?  Then it leaves them as they
 * are: report() sees what was not run. */
static bool stopped(const kin_result *part, struct span span)
{
    const struct kin__map *map = part->map;
    uint64_t items = item_of(map, span.first + span.busy) - item_of(map, span.first);
    return atomic_load(&map->cancel) != 0 && part->progress[span.parity] < items;
}

/* The time of the next items begins.  A worker that is condemned for the last ones is killed before
 * it begins them, or the supervisor sees that it is too late. */
static void begin_time(struct kin__worker *worker)
{
    atomic_store(&worker->started, kin__os_clock());
    while (atomic_load(&worker->condemned) != NULL) kin__os_sleep_until(kin__os_clock() + 100000);
}

void kin__map_run(kin_result *part, struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    /* A theft that our predecessor did not finish is finished before the span moves. */
    if (lock(map) == 0) kin__latch_release(&map->latch);
    struct span span = unpack(atomic_load(&part->span));
    do {
        do {
            if (part->timeout_ns != 0) begin_time(worker);
            if (span.busy > 0) run_busy(part, span, worker);
            if (stopped(part, span)) return;
        } while (move_on(part, &span));
    } while (atomic_load(&map->cancel) == 0 && steal(map, part) && move_on(part, &span));
}

/* ---- the end --------------------------------------------------------------------------------------------- */

/* A worker's last step with a part is to make it over; from then on the map may be gone.  So it
 * is the caller, or for a dead one the supervisor, that finds that all parts are over. */

/* The part's record, unless it is another's by now: freeing may have been begun by somebody who
 * died. */
static kin_result *part_of(struct kin__map *map, uint32_t i)
{
    kin_result *part = map->part[i];
    bool ours = part->job == map->job && atomic_load(&part->owner) == atomic_load(&map->job->owner) &&
                KIN__TASK_STATE(atomic_load(&part->state)) != KIN__TASK_FREE;
    return ours ? part : NULL;
}

static void free_records(struct kin__map *map)
{
    for (uint32_t i = 0; i < map->parts; i++) {
        kin_result *part = part_of(map, i);
        if (part != NULL) kin__record_free(part);
    }
    kin__record_free(map->job);
}

/* Parts that no worker has begun, and that have nothing to do, need not be run. */
static bool all_over(struct kin__map *map)
{
    bool cancelled = atomic_load(&map->cancel) != 0;
    for (uint32_t i = 0; i < map->parts; i++) {
        kin_result *part = part_of(map, i);
        if (part == NULL) continue;
        uint64_t word = atomic_load(&part->state);
        bool idle = cancelled || not_begun(unpack(atomic_load(&part->span))) == 0;
        bool begun = KIN__TASK_STATE(word) != KIN__TASK_QUEUED && KIN__TASK_STATE(word) != KIN__TASK_NEW;
        if (!begun && idle) kin__record_finish(part, word, KIN__TASK_DONE);
        if (!kin__task_over(atomic_load(&part->state))) return false;
    }
    return true;
}

bool kin__map_charge(kin_result *part, kin_failure *failure)
{
    struct kin__map *map = part->map;
    struct span span = unpack(atomic_load(&part->span));
    if (span.busy == 0) return true;
    uint64_t item = item_of(map, span.first) + part->progress[span.parity];
    if (item >= item_of(map, span.first + span.busy)) return true;
    part->crashes = part->crash_item == item + 1 ? part->crashes + 1 : 1;
    part->crash_item = item + 1;
    bool killed = atomic_load(&part->killed) != 0;
    bool hopeless = part->crashes >= map->attempts || killed;
    if (hopeless) {
        failure->task = item;
        failure->attempt = part->crashes;
        failure->attempts = map->attempts;
        memcpy(failure->function, map->job->function, sizeof map->job->function);
        note_failure(map, failure);
        part->progress[span.parity]++;
    }
    return !killed;
}

bool kin__map_orphan(kin_result *record)
{
    struct kin__map *map = record->map;
    if (record->job != record) return true; /* a part: it goes with its job */
    atomic_store(&map->cancel, 1);
    if (!all_over(map)) return false;
    free_records(map);
    return true;
}

/* ---- the caller's side ------------------------------------------------------------------------------------ */

struct plan {
    const kin_function *function;
    const void *in;
    void *out;
    size_t count;
    kin_map_options options;
    bool copy_in, copy_out;
};

#define FAILURES_KEPT 64

static size_t round_up(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

/* Makes the job's record with the map in its argument block. */
static int make_job(kin_pool *pool, const struct plan *plan, kin_result **job)
{
    uint64_t failures =
        plan->options.max_failures > FAILURES_KEPT ? plan->options.max_failures : FAILURES_KEPT;
    size_t in_bytes = plan->copy_in ? plan->count * plan->function->in_size : 0;
    size_t out_bytes = plan->copy_out ? plan->count * plan->function->out_size : 0;
    uint32_t most = kin__pool_size(pool);
    size_t head = round_up(sizeof(struct kin__map)), parts = round_up(most * sizeof(kin_result *));
    size_t noted = round_up(failures * sizeof(kin_failure));
    int rc = kin__record_make(pool, job);
    if (rc < 0) return rc;
    char *block = kin__allocate(head + parts + noted + round_up(in_bytes) + out_bytes, &rc);
    if (block == NULL) {
        kin__record_free(*job);
        *job = NULL;
        return rc;
    }
    memset(block, 0, head + parts);
    memset(block + head + parts + noted + round_up(in_bytes), 0, out_bytes);
    struct kin__map *map = (struct kin__map *)block;
    map->job = *job;
    map->parts_most = most;
    map->range = plan->function->range;
    map->in_size = plan->function->in_size;
    map->out_size = plan->function->out_size;
    map->count = plan->count;
    map->unit = plan->count / UNITS_MOST + 1;
    map->chunk = plan->options.chunk == 0 ? 0 : (plan->options.chunk + map->unit - 1) / map->unit;
    map->chunk = plan->options.timeout_ns != 0 ? 1 : map->chunk;
    map->keep_going = plan->options.keep_going;
    int retries = plan->options.retries;
    map->attempts = 1 + (retries > 0 ? (unsigned)retries : retries < 0 ? 0 : pool->retries);
    map->part = (kin_result **)(block + head);
    map->failure = (kin_failure *)(block + head + parts);
    map->failures_most = failures;
    map->in = plan->copy_in ? block + head + parts + noted : plan->in;
    map->out = plan->copy_out ? block + head + parts + noted + round_up(in_bytes) : plan->out;
    if (plan->copy_in) memcpy((char *)map->in, plan->in, in_bytes);
    kin__allocate_publish(&(*job)->argument_block);
    (*job)->job = *job;
    (*job)->map = map;
    return kin__function_fill(*job, plan->function);
}

/* Makes the parts, each with its share of the units. */
static int make_parts(kin_pool *pool, struct kin__map *map, int64_t timeout)
{
    uint64_t units = (map->count + map->unit - 1) / map->unit;
    uint64_t parts = map->parts_most < units ? map->parts_most : units;
    for (uint32_t i = 0; i < parts; i++) {
        int rc = kin__record_make(pool, &map->part[i]);
        if (rc < 0) return rc;
        kin_result *part = map->part[i];
        map->parts = i + 1;
        part->job = map->job;
        part->range = map->range;
        part->bytes = NULL;
        part->timeout_ns = timeout;
        part->attempts = UINT32_MAX;
        part->crash_item = 0;
        part->crashes = 0;
        part->progress[0] = 0;
        struct span span = {.first = units * i / parts, .end = units * (i + 1) / parts};
        atomic_store(&part->span, pack(span));
        /* CRASH: before this store it is a record like any other, and freed as one. */
        atomic_signal_fence(memory_order_seq_cst);
        part->map = map;
    }
    return 0;
}

/* Waits until all parts are over: 0, -ETIMEDOUT, KIN_EBROKEN. */
static int wait_for_parts(kin_pool *pool, struct kin__map *map, kin_deadline deadline)
{
    struct kin__event *done = &map->job->done;
    while (!all_over(map)) {
        if (atomic_load(&pool->state) == KIN__POOL_BROKEN) return KIN_EBROKEN;
        int rc = kin__own_wait_begin(pool);
        if (rc < 0) return rc;
        uint32_t seen = kin__event_prepare(done);
        bool over = all_over(map);
        rc = over ? 0 : kin__event_sleep(done, seen, deadline);
        if (rc == 1 && all_over(map)) kin__rescued(&done->point, seen);
        kin__event_done(done);
        kin__own_wait_end(pool);
        if (rc < 0 && !all_over(map)) return rc;
    }
    return 0;
}

/* Ends what is on the way: with a little time, then by killing its workers. */
static int cancel(kin_pool *pool, struct kin__map *map)
{
    atomic_store(&map->cancel, 1);
    int rc = wait_for_parts(pool, map, kin_in_ms(50));
    if (rc != -ETIMEDOUT) return rc;
    for (uint32_t i = 0; i < map->parts; i++) atomic_store(&map->part[i]->killed, 1);
    kin__supervisor_wake(pool);
    return wait_for_parts(pool, map, KIN_FOREVER);
}

static int run_parts(kin_pool *pool, struct kin__map *map, kin_deadline deadline)
{
    int rc = 0;
    for (uint32_t i = 0; i < map->parts && rc == 0; i++) rc = kin__pool_queue(pool, map->part[i], deadline);
    if (rc == 0) rc = wait_for_parts(pool, map, deadline);
    if (rc < 0 && rc != KIN_EBROKEN) {
        int ended = cancel(pool, map);
        rc = ended < 0 ? ended : rc;
    }
    return rc;
}

static void report(struct kin__map *map, const struct plan *plan, uint64_t *failed)
{
    uint64_t skipped = 0;
    for (uint32_t i = 0; i < map->parts; i++) {
        struct span span = unpack(atomic_load(&map->part[i]->span));
        skipped += item_of(map, span.end) - item_of(map, span.first + span.busy);
        uint64_t on_the_way = item_of(map, span.first + span.busy) - item_of(map, span.first);
        uint64_t finished = map->part[i]->progress[span.parity];
        skipped += finished < on_the_way ? on_the_way - finished : 0;
    }
    *failed = atomic_load(&map->failed) + skipped;
    if (plan->options.failures != NULL) {
        uint64_t known =
            map->failures < plan->options.max_failures ? map->failures : plan->options.max_failures;
        memcpy(plan->options.failures, map->failure, known * sizeof(kin_failure));
    }
    if (plan->options.failed != NULL) *plan->options.failed = (size_t)*failed;
    if (plan->copy_out) memcpy(plan->out, map->out, plan->count * plan->function->out_size);
}

static int check_plan(const struct plan *plan)
{
    if (plan->function == NULL || plan->function->range == NULL ||
        (plan->count > 0 && (plan->in == NULL || plan->out == NULL)))
        return -EINVAL;
    size_t most = SIZE_MAX / 2 / (plan->function->in_size + plan->function->out_size + 1);
    return plan->count > most ? -EMSGSIZE : 0;
}

int kin_pool_map_sized(kin_pool *pool, const kin_function *function, const void *in, void *out, size_t count,
                       kin_deadline deadline, const kin_map_options *options, size_t size)
{
    struct plan plan = {.function = function, .in = in, .out = out, .count = count};
    kin_result *job = NULL;
    int rc = kin__pool_check(pool);
    if (rc == 0) rc = check_plan(&plan);
    if (rc == 0) rc = kin__pool_accepts(pool);
    if (rc < 0) return rc;
    if (options != NULL)
        memcpy(&plan.options, options, size < sizeof plan.options ? size : sizeof plan.options);
    if (plan.options.timeout_ns < 0) return -EINVAL;
    if (plan.options.failed != NULL) *plan.options.failed = 0;
    if (count == 0) return 0;
    plan.copy_in = !kin__in_family(in);
    plan.copy_out = !kin__in_family(out);
    rc = make_job(pool, &plan, &job);
    if (job == NULL || job->map == NULL) return rc;
    struct kin__map *map = job->map;
    if (rc == 0) rc = make_parts(pool, map, plan.options.timeout_ns);
    if (rc < 0) {
        free_records(map);
        return rc;
    }
    if (plan.options.timeout_ns != 0) atomic_store(&pool->timed, 1);
    rc = run_parts(pool, map, deadline);
    if (rc == KIN_EBROKEN) return rc; /* its workers may not be gone yet: the pool keeps the records */
    uint64_t failed = 0;
    report(map, &plan, &failed);
    free_records(map);
    return rc < 0 ? rc : failed > 0 ? KIN_EFAILED : 0;
}
