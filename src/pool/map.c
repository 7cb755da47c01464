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
 *    and did not yet have is found by its note there.  So a part whose span is empty has nothing to
 *    do only if it is not the thief of the note, and the units of a note count as not done.
 *  - How far a part is within what it is on stands in progress[parity]; the parity is in the
 *    span, so that both change with one store.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "pool/deputy.h"
#include "pool/map.h"

/* The units that are begun at once are as many as take about so long, as far as can be told from
 * those before: nobody can steal them. */
#define BUSY_START 16
#define BUSY_NS    (50 * 1000LL)
/* What a deputy begins at once goes there in one message, whose way takes as long as thousands of small items.  So
 * it begins as many as should run so long, and no fewer than LEAST_THERE that should not, however few are left. */
#define BUSY_THERE_NS (10 * 1000000LL)
#define LEAST_THERE   16

/* ---- stealing ------------------------------------------------------------------------------------ */

/* Finishes the theft of a thief that died: the victim's end tells whether it was shortened. */
static void repair(struct kin__map *map)
{
    kin_result *thief = map->thief;
    if (thief != NULL && kin__span_unpack(atomic_load(&map->victim->span)).end == map->middle) {
        struct kin__span own = kin__span_unpack(atomic_load(&thief->span));
        own.first = map->middle;
        own.busy = 0;
        own.end = map->end;
        /* Before the note is taken away: who finds none finds the units. */
        atomic_store(&thief->span, kin__span_pack(own));
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

static uint64_t not_begun(struct kin__span span)
{
    return span.end - span.first - span.busy;
}

static kin_result *richest(struct kin__map *map)
{
    kin_result *found = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < map->parts; i++) {
        uint64_t units = not_begun(kin__span_unpack(atomic_load(&map->part[i]->span)));
        if (units > most) {
            most = units;
            found = map->part[i];
        }
    }
    return found;
}

/* Is nobody on it yet?  Then it need not be left anything: whoever comes to it steals. */
static bool is_unbegun(kin_result *part)
{
    return KIN__TASK_STATE(atomic_load(&part->state)) == KIN__TASK_QUEUED;
}

static bool rob(struct kin__map *map, kin_result *thief, kin_result *victim)
{
    uint64_t word = atomic_load(&victim->span);
    struct kin__span theirs = kin__span_unpack(word), own = kin__span_unpack(atomic_load(&thief->span));
    uint64_t units = not_begun(theirs);
    if (units == 0) return false;
    own.end = theirs.end;
    own.first = theirs.end -= kin__deputy_here() && is_unbegun(victim) ? units : (units + 1) / 2;
    own.busy = 0;
    map->victim = victim;
    map->middle = own.first;
    map->end = own.end;
    /* The thief last: who finds one finds the rest of the note. */
    map->thief = thief;
    /* CRASH: between these two stores the units are nobody's but the note's: repair. */
    bool taken = atomic_compare_exchange_strong(&victim->span, &word, kin__span_pack(theirs));
    if (taken) atomic_store(&thief->span, kin__span_pack(own));
    map->thief = NULL;
    return taken;
}

/* How many items only the note of a dead thief has. */
static uint64_t lost(struct kin__map *map)
{
    kin_result *thief = map->thief;
    /* One that is on its part lives, or its successor or the supervisor comes. */
    if (thief == NULL || KIN__TASK_STATE(atomic_load(&thief->state)) == KIN__TASK_CLAIMED) return 0;
    uint64_t middle = map->middle, end = map->end;
    bool taken = kin__span_unpack(atomic_load(&map->victim->span)).end == middle;
    if (!taken || not_begun(kin__span_unpack(atomic_load(&thief->span))) > 0) return 0;
    /* Another theft may have begun meanwhile: then what was read is of two. */
    return map->thief == thief && middle < end ? kin__map_item(map, end) - kin__map_item(map, middle) : 0;
}

/* Gets the part something to do from the others; false when there is nothing left. */
static bool steal(struct kin__map *map, kin_result *part)
{
    bool found = false;
    if (lock(map) < 0) return false;
    while (!found) {
        if (not_begun(kin__span_unpack(atomic_load(&part->span))) > 0) {
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

static void item_failed(kin_result *part, uint64_t item, enum kin_cause cause, int code,
                        const struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    kin_failure failure = {
        .cause = cause,
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

/* Others read it, to tell how far the map is. */
static void set_progress(volatile size_t *progress, size_t items)
{
    __atomic_store_n(progress, items, __ATOMIC_RELAXED);
}

/* ---- deaths ------------------------------------------------------------------------------------------- */

static bool charge_item(kin_result *part, kin_failure *failure)
{
    struct kin__map *map = part->map;
    struct kin__span span = kin__span_unpack(atomic_load(&part->span));
    bool killed = atomic_load(&part->killed) != 0;
    uint64_t item = kin__map_item(map, span.first) + part->progress[span.parity];
    if (item >= kin__map_item(map, span.first + span.busy)) return !killed;
    part->crashes = part->crash_item == item + 1 ? part->crashes + 1 : 1;
    part->crash_item = item + 1;
    bool hopeless = part->crashes >= map->attempts || killed;
    if (hopeless) {
        failure->task = item;
        failure->attempt = part->crashes;
        failure->attempts = map->attempts;
        memcpy(failure->function, map->job->function, sizeof map->job->function);
        note_failure(map, failure);
        set_progress(&part->progress[span.parity], part->progress[span.parity] + 1);
    }
    return !killed;
}

/* Can one of several items have been the cause?  Of what is noted the one is known that it was on. */
static bool is_in_doubt(const kin_result *part, struct kin__span span, bool deputy)
{
    const struct kin__map *map = part->map;
    size_t done = part->progress[span.parity];
    uint64_t items = kin__map_item(map, span.first + span.busy) - kin__map_item(map, span.first);
    if (part->timeout_ns != 0 || part->noted == span.first + 1 || done >= items) return false;
    /* Only the whole of them from the beginning is run by the pure form (run_busy). */
    return deputy ? items - done > 1 : map->pure != NULL && done == 0;
}

bool kin__map_charge(kin_result *part, bool deputy, kin_failure *failure)
{
    struct kin__span span = kin__span_unpack(atomic_load(&part->span));
    if (atomic_load(&part->killed) != 0 || !is_in_doubt(part, span, deputy))
        return charge_item(part, failure);
    part->noted = span.first + 1;
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------ */

void kin__map_refuse(kin_result *part)
{
    struct kin__map *map = part->map;
    kin_failure failure = part->failure;
    failure.task = kin__map_item(map, kin__span_unpack(atomic_load(&part->span)).first);
    failure.attempts = map->attempts;
    memcpy(failure.function, map->job->function, sizeof map->job->function);
    note_failure(map, &failure);
    atomic_store(&map->cancel, 1);
}

bool kin__map_is_cancelled(const kin_result *part)
{
    if (atomic_load_explicit(&part->map->cancel, memory_order_relaxed) != 0) return true;
    /* Threads are not ended by the supervisor. */
    return part->pool->threads && atomic_load(&part->pool->state) >= KIN__POOL_TERMINATED;
}

static int call(const struct kin__map *map, kin_range_function *range, uint64_t first, size_t count,
                volatile size_t *progress)
{
    char *out = map->out + first * map->out_size;
    if (map->zip == NULL) return range(map->in[0] + first * map->in_size[0], out, count, progress);
    const void *in[KIN_INPUTS_MOST] = {NULL};
    for (unsigned i = 0; i < map->inputs; i++) in[i] = map->in[i] + first * map->in_size[i];
    return map->zip(in, out, count, progress);
}

/* The time of the next item begins.  A worker that is condemned for the last one is killed before
 * it begins this one, or the supervisor sees that it is too late. */
static void begin_time(struct kin__worker *worker)
{
    atomic_store(&worker->started, kin__os_clock());
    while (atomic_load(&worker->condemned) != NULL) kin__os_sleep_until(kin__os_clock() + 100000);
}

/* Has the one item that it was on taken longer than it may, and the worker was not ended for that? */
static bool is_late(const kin_result *part, const struct kin__worker *worker)
{
    return part->timeout_ns != 0 &&
           kin__os_clock() - atomic_load_explicit(&worker->started, memory_order_relaxed) > part->timeout_ns;
}

/* How the first items of a portion are run: by the pure form nobody knows which one it is on.  So after a death
 * they are run again, each noted before it is begun. */
static kin_range_function *whole_form(const kin_result *part, struct kin__span span)
{
    const struct kin__map *map = part->map;
    return map->pure != NULL && part->noted != span.first + 1 ? map->pure : map->range;
}

/* A deputy's run_busy: false when its connection has ended.  *ran_ns: see struct pace.  What is noted goes one item
 * at a time, so that it is known which one its end is to be charged to. */
static bool run_busy_there(kin_result *part, struct kin__span span, struct kin__worker *worker,
                           int64_t *ran_ns)
{
    struct kin__map *map = part->map;
    uint64_t first = kin__map_item(map, span.first), end = kin__map_item(map, span.first + span.busy);
    volatile size_t *progress = &part->progress[span.parity];
    struct kin__deputy_items items = {
        .function = map->job->function, .inputs = map->inputs, .out_size = map->out_size};
    const bool one_by_one = part->timeout_ns != 0 || part->noted == span.first + 1;
    *ran_ns = 0;
    while (first + *progress < end && (map->keep_going || atomic_load(&map->cancel) == 0)) {
        uint64_t item = first + *progress;
        kin_failure failure = {0};
        for (unsigned i = 0; i < map->inputs; i++) {
            items.in[i] = map->in[i] + item * map->in_size[i];
            items.in_size[i] = map->in_size[i];
        }
        items.out = map->out + item * map->out_size;
        items.count = one_by_one ? 1 : (size_t)(end - item);
        if (part->timeout_ns != 0) begin_time(worker);
        enum kin__deputy_outcome outcome = kin__deputy_items(&items, &failure);
        *ran_ns += items.ran_ns;
        set_progress(progress, *progress + items.done);
        if (outcome == KIN__DEPUTY_DONE && items.code != 0) {
            item_failed(part, item + items.done, KIN_CAUSE_RETURNED, items.code, worker);
            set_progress(progress, *progress + 1);
        }
        /* Who has died there has said how far it was. */
        if (outcome == KIN__DEPUTY_DIED && !charge_item(part, &failure)) return true;
        if (outcome == KIN__DEPUTY_LOST && !kin__map_charge(part, true, &failure)) return true;
        if (outcome == KIN__DEPUTY_LOST || outcome == KIN__DEPUTY_UNSENT) return false;
    }
    return true;
}

/* Runs what is on the way, from where progress says. */
static void run_busy(kin_result *part, struct kin__span span, struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    uint64_t first = kin__map_item(map, span.first), end = kin__map_item(map, span.first + span.busy);
    uint64_t base = first;
    volatile size_t *progress = &part->progress[span.parity];
    bool timed = part->timeout_ns != 0;
    first += *progress;
    while (first < end) {
        /* The function counts from its own beginning: the part's base moves with it. */
        size_t done = (size_t)(first - base);
        volatile size_t counted = 0;
        bool whole = done == 0 && !timed;
        int rc;
        if (!whole && kin__map_is_cancelled(part)) return;
        if (timed) begin_time(worker);
        if (whole) {
            rc = call(map, whole_form(part, span), first, (size_t)(end - first), progress);
            counted = *progress;
        } else {
            rc = call(map, map->range, first, 1, &counted);
        }
        if (rc == 0 && whole) {
            set_progress(progress, (size_t)(end - base));
            return;
        }
        bool late = timed && is_late(part, worker);
        if (rc != 0 || late)
            item_failed(part, first + counted, late ? KIN_CAUSE_TIMEOUT : KIN_CAUSE_RETURNED, rc, worker);
        first += counted + 1;
        set_progress(progress, (size_t)(first - base));
        if ((rc != 0 || late) && !map->keep_going) return;
    }
}

/* PRIVATE to a worker on a part.  How much it begins at once, at most and at least; how long that is to take, and when
 * it did so last.
 *   ran_ns   of a deputy: how long the function ran for what was begun last, without the way there; 0: it is not known. */
struct pace {
    uint64_t units, least, aim;
    int64_t since;
    bool there;
    int64_t ran_ns;
};

/* The units took so long: the next are as many as should take as long as the aim, but not many times more. */
static void adapt(struct pace *pace, uint64_t units)
{
    int64_t now = kin__os_clock(), took = pace->there ? pace->ran_ns : now - pace->since;
    if (pace->there && took == 0) return;
    uint64_t fitting = took > 0 ? units * pace->aim / (uint64_t)took : KIN__BUSY_MOST;
    pace->since = now;
    pace->units = fitting < 8 * units ? fitting : 8 * units;
    if (pace->units < 1) pace->units = 1;
    if (pace->units > KIN__BUSY_MOST) pace->units = KIN__BUSY_MOST;
}

static uint64_t units_to_begin(const struct kin__map *map, struct kin__span span, const struct pace *pace)
{
    uint64_t left = not_begun(span), units = map->chunk;
    if (units == 0) {
        units = left / 8; /* smaller and smaller towards the end */
        if (units < pace->least) units = pace->least;
        if (units > pace->units) units = pace->units;
    }
    units = units < left ? units : left;
    return units < KIN__BUSY_MOST ? units : KIN__BUSY_MOST;
}

/* Moves on to the next units of the part's own span; false when it has none. */
static bool move_on(kin_result *part, struct kin__span *span, struct pace *pace)
{
    if (part->map->chunk == 0 && span->busy > 0) adapt(pace, span->busy);
    for (;;) {
        uint64_t word = atomic_load(&part->span);
        struct kin__span next = kin__span_unpack(word);
        uint64_t begin = kin__map_is_cancelled(part) ? 0 : units_to_begin(part->map, next, pace);
        next.first += next.busy;
        next.busy = begin;
        next.parity ^= 1;
        set_progress(&part->progress[next.parity], 0);
        /* Only a thief competes, for the end.  CRASH: this one word says that the last units
         * are done and the next have begun. */
        if (atomic_compare_exchange_strong(&part->span, &word, kin__span_pack(next))) {
            *span = next;
            return begin > 0;
        }
    }
}

/* Was the map ended while this part was on the units on the way?  Then it leaves them as they
 * are: report() sees what was not run. */
static bool stopped(const kin_result *part, struct kin__span span)
{
    const struct kin__map *map = part->map;
    if (!kin__map_is_cancelled(part)) return false;
    uint64_t items = kin__map_item(map, span.first + span.busy) - kin__map_item(map, span.first);
    return part->progress[span.parity] < items;
}

bool kin__map_run(kin_result *part, struct kin__worker *worker)
{
    struct kin__map *map = part->map;
    /* A theft that our predecessor did not finish is finished before the span moves. */
    if (lock(map) == 0) kin__latch_release(&map->latch);
    struct kin__span span = kin__span_unpack(atomic_load(&part->span));
    const bool there = kin__deputy_here();
    struct pace pace = {.units = there ? 1 : BUSY_START,
                        .least = there ? LEAST_THERE : 1,
                        .aim = there ? BUSY_THERE_NS : BUSY_NS,
                        .since = kin__os_clock(),
                        .there = there};
    do {
        do {
            if (span.busy > 0 && !there) run_busy(part, span, worker);
            if (span.busy > 0 && there && !run_busy_there(part, span, worker, &pace.ran_ns)) return false;
            if (stopped(part, span)) return true;
        } while (move_on(part, &span, &pace));
    } while (!kin__map_is_cancelled(part) && steal(map, part) && move_on(part, &span, &pace));
    return true;
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

void kin__map_free(struct kin__map *map)
{
    for (uint32_t i = 0; i < map->parts; i++) {
        kin_result *part = part_of(map, i);
        if (part != NULL) kin__record_free(part);
    }
    kin__record_free(map->job);
}

/* Has a part that nobody is on nothing to do?  The thief is looked at before the span: a theft that is finished
 * meanwhile has written the span before it took the note away. */
static bool is_idle(struct kin__map *map, kin_result *part)
{
    bool robbing = map->thief == part;
    struct kin__span span = kin__span_unpack(atomic_load(&part->span));
    return !robbing && not_begun(span) == 0 && span.busy == 0;
}

/* Parts that no worker has begun, and that have nothing to do, need not be run. */
bool kin__map_all_over(struct kin__map *map)
{
    bool cancelled = atomic_load(&map->cancel) != 0;
    for (uint32_t i = 0; i < map->parts; i++) {
        kin_result *part = part_of(map, i);
        if (part == NULL) continue;
        uint64_t word = atomic_load(&part->state);
        bool idle = cancelled || is_idle(map, part);
        bool begun = KIN__TASK_STATE(word) != KIN__TASK_QUEUED && KIN__TASK_STATE(word) != KIN__TASK_NEW;
        if (!begun && idle) kin__record_finish(part, word, KIN__TASK_DONE);
        if (!kin__task_over(atomic_load(&part->state))) return false;
    }
    return true;
}

uint64_t kin__map_failed(struct kin__map *map)
{
    uint64_t skipped = lost(map);
    for (uint32_t i = 0; i < map->parts; i++) {
        struct kin__span span = kin__span_unpack(atomic_load(&map->part[i]->span));
        skipped += kin__map_item(map, span.end) - kin__map_item(map, span.first + span.busy);
        uint64_t on_the_way = kin__map_item(map, span.first + span.busy) - kin__map_item(map, span.first);
        uint64_t finished = kin__record_progress(map->part[i], span.parity);
        skipped += finished < on_the_way ? on_the_way - finished : 0;
    }
    return atomic_load(&map->failed) + skipped;
}

uint64_t kin__map_done(struct kin__map *map)
{
    uint64_t left = lost(map);
    for (uint32_t i = 0; i < map->parts; i++) {
        struct kin__span span = kin__span_unpack(atomic_load(&map->part[i]->span));
        uint64_t items = kin__map_item(map, span.end) - kin__map_item(map, span.first);
        uint64_t finished = kin__record_progress(map->part[i], span.parity);
        left += finished < items ? items - finished : 0;
    }
    return left < map->count ? map->count - left : 0;
}

/* ---- a map that nobody waits in ------------------------------------------------------------------ */

/* Its job is QUEUED with place JOB until all parts are over.  Only the supervisor frees it. */

void kin__map_settle(kin_result *job)
{
    struct kin__map *map = job->map;
    uint64_t word = atomic_load(&job->state);
    if (KIN__TASK_STATE(word) != KIN__TASK_QUEUED || !kin__map_all_over(map)) return;
    bool failed = kin__map_failed(map) > 0;
    /* Each who comes here finds the same, and writes nothing else. */
    kin__record_finish(job, word, failed ? KIN__TASK_FAILED : KIN__TASK_DONE);
}

void kin__map_cancel(kin_result *job)
{
    struct kin__map *map = job->map;
    atomic_store(&map->cancel, 1);
    for (uint32_t i = 0; i < map->parts; i++) atomic_store(&map->part[i]->killed, 1);
    kin__map_settle(job);
}

kin_failure kin__map_failure(const kin_result *job, uint64_t word)
{
    const struct kin__map *map = job->map;
    if (map->failures > 0) return map->failure[0];
    kin_failure failure = {.cause = KIN_CAUSE_TERMINATED};
    kin__record_complete(job, word, &failure);
    return failure;
}

const void *kin__map_reply(const kin_result *job)
{
    return job->map->out;
}

int kin__map_progress(kin_result *job, uint64_t *count, uint64_t *done)
{
    struct kin__map *map = job->map;
    *count = map->count;
    *done = kin__map_done(map);
    return 0;
}

/* May a worker still look at it, after the end of its part? */
static bool is_looked_at(kin_pool *pool, const kin_result *job)
{
    for (unsigned i = 0; i < kin__pool_slots(pool); i++) {
        kin_result *record = atomic_load(&kin__pool_worker(pool, i)->current);
        if (record != NULL && kin__record_job(record) == job) return true;
    }
    return false;
}

/* Nobody wants it any more, and nobody says so twice: the supervisor comes again until it is over. */
static void end_unwanted(struct kin__map *map)
{
    kin_deadline now = kin__os_clock();
    atomic_store(&map->cancel, 1);
    if (map->unwanted == 0) map->unwanted = now + KIN__MAP_GRACE_NS;
    for (uint32_t i = 0; i < map->parts && now >= map->unwanted; i++) {
        kin_result *part = part_of(map, i);
        if (part != NULL) atomic_store(&part->killed, 1);
    }
}

bool kin__map_tidy(kin_result *job)
{
    end_unwanted(job->map);
    kin__map_settle(job);
    if (!kin__task_over(atomic_load(&job->state)) || is_looked_at(job->pool, job)) return false;
    kin__map_free(job->map);
    return true;
}

bool kin__map_orphan(kin_result *record)
{
    struct kin__map *map = record->map;
    if (record->job != record) return true; /* a part: it goes with its job */
    if (kin__is_async(record)) return kin__map_tidy(record);
    end_unwanted(map);
    if (!kin__map_all_over(map)) return false;
    kin__map_free(map);
    return true;
}

KIN__LAYOUT_PART(map, struct kin__map);
