/* map_call.c: the caller's side of a map: what it is made of, waiting for it, and what it tells.
 *
 * A map that is waited for is the caller's until all its parts are over.  One that is not
 * (kin_pool_map_async) is a result like any other, and is freed by the supervisor.
 *
 * Invariant: the pool may be freed while a caller sleeps, and the map with it.  So who has slept looks whether the job
 * is still his before he looks at the map.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "os/suspend.h"
#include "pool/map.h"

/* How many workers in other programs may work on one map at a time. */
#define REMOTE_PARTS 64

struct plan {
    const kin_function *function;
    const void *const *in;
    unsigned inputs;
    size_t in_size[KIN_INPUTS_MOST];
    void *out; /* NULL: the result's own */
    size_t count;
    kin_map_options options;
    bool waits; /* the call lasts until all is over */
    bool copy_in[KIN_INPUTS_MOST], copy_out;
};

#define FAILURES_KEPT 64
#define PROGRESS_NS   (500 * 1000000LL)

static size_t round_up(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

/* Where the parts of a map's block are. */
struct layout {
    size_t parts, failures, in[KIN_INPUTS_MOST], out, size;
    uint64_t failures_most;
};

static struct layout lay_out(const struct plan *plan, uint32_t parts)
{
    uint64_t failures =
        plan->options.max_failures > FAILURES_KEPT ? plan->options.max_failures : FAILURES_KEPT;
    struct layout layout = {.parts = round_up(sizeof(struct kin__map)), .failures_most = failures};
    layout.failures = layout.parts + round_up(parts * sizeof(kin_result *));
    size_t next = layout.failures + round_up(failures * sizeof(kin_failure));
    for (unsigned i = 0; i < plan->inputs; i++) {
        layout.in[i] = next;
        if (plan->copy_in[i]) next += round_up(plan->count * plan->in_size[i]);
    }
    layout.out = next;
    layout.size = next + (plan->copy_out ? plan->count * plan->function->out_size : 0);
    return layout;
}

static void place_arrays(struct kin__map *map, const struct plan *plan, const struct layout *layout)
{
    char *block = (char *)map;
    for (unsigned i = 0; i < plan->inputs; i++) {
        map->in_size[i] = plan->in_size[i];
        map->in[i] = plan->in[i];
        if (!plan->copy_in[i]) continue;
        map->in[i] = memcpy(block + layout->in[i], plan->in[i], plan->count * plan->in_size[i]);
    }
    map->out = plan->out;
    if (plan->copy_out) map->out = memset(block + layout->out, 0, layout->size - layout->out);
}

/* Makes the job's record with the map in its argument block. */
static int make_job(kin_pool *pool, const struct plan *plan, kin_result **job)
{
    uint32_t most = kin__pool_size(pool) + (pool->listens ? REMOTE_PARTS : 0);
    struct layout layout = lay_out(plan, most);
    int rc = kin__record_make(pool, job);
    if (rc < 0) return rc;
    char *block = kin__allocate(layout.size, &rc);
    if (block == NULL) {
        kin__record_free(*job);
        *job = NULL;
        return rc;
    }
    memset(block, 0, layout.failures);
    struct kin__map *map = (struct kin__map *)block;
    map->job = *job;
    map->parts_most = most;
    map->inputs = plan->inputs;
    map->out_size = plan->function->out_size;
    map->count = plan->count;
    map->unit = plan->count / KIN__UNITS_MOST + 1;
    map->chunk = plan->options.chunk / map->unit + (plan->options.chunk % map->unit != 0);
    map->chunk = plan->options.timeout_ns != 0 ? 1 : map->chunk;
    map->keep_going = plan->options.keep_going;
    int retries = plan->options.retries;
    map->attempts = 1 + (retries > 0 ? (unsigned)retries : retries < 0 ? 0 : pool->retries);
    map->part = (kin_result **)(block + layout.parts);
    map->failure = (kin_failure *)(block + layout.failures);
    map->failures_most = layout.failures_most;
    place_arrays(map, plan, &layout);
    kin__allocate_publish(&(*job)->argument_block);
    __atomic_store_n(&(*job)->job, *job, __ATOMIC_RELAXED);
    __atomic_store_n(&(*job)->map, map, __ATOMIC_RELAXED);
    rc = kin__function_fill(*job, plan->function);
    map->range = (*job)->range;
    if (rc == 0) rc = kin__function_pure(*job, plan->function, &map->pure);
    map->zip = (*job)->zip;
    return rc;
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
        __atomic_store_n(&part->job, map->job, __ATOMIC_RELAXED);
        part->range = map->range;
        part->zip = map->zip;
        part->bytes = NULL;
        __atomic_store_n(&part->timeout_ns, timeout, __ATOMIC_RELAXED);
        part->attempts = UINT32_MAX;
        part->crash_item = 0;
        part->noted = 0;
        part->progress[0] = 0;
        struct kin__span span = {.first = units * i / parts, .end = units * (i + 1) / parts};
        atomic_store(&part->span, kin__span_pack(span));
        /* CRASH: before this store it is a record like any other, and freed as one. */
        atomic_signal_fence(memory_order_seq_cst);
        __atomic_store_n(&part->map, map, __ATOMIC_RELAXED);
    }
    return 0;
}

/* PRIVATE to who calls.  `map` is there while the job has that life. */
struct call {
    kin_pool *pool;
    kin_result *job;
    uint64_t life;
    struct kin__map *map;
    uint32_t parts;
};

static bool is_ours(const struct call *call)
{
    return kin__record_is_still(call->job, call->life);
}

/* Waits until all parts are over: 0, -ETIMEDOUT, KIN_EBROKEN, or KIN_ECLOSED: the map is gone. */
static int wait_for_parts(const struct call *call, kin_deadline deadline)
{
    struct kin__event *done = &call->job->done;
    for (int rc = 0; is_ours(call);) {
        if (kin__map_all_over(call->map)) return 0;
        if (rc < 0) return rc;
        if (atomic_load(&call->pool->state) == KIN__POOL_BROKEN) return KIN_EBROKEN;
        uint32_t seen = kin__event_prepare(done);
        rc = kin__map_all_over(call->map) ? 0 : kin__event_sleep(done, seen, deadline);
        if (rc == 1 && is_ours(call) && kin__map_all_over(call->map)) kin__rescued(&done->point, seen);
        kin__event_done(done);
    }
    return KIN_ECLOSED;
}

/* Ends what is on the way: with a little time, then by killing its workers. */
static int end_parts(const struct call *call)
{
    if (!is_ours(call)) return KIN_ECLOSED;
    atomic_store(&call->map->cancel, 1);
    int rc = wait_for_parts(call, kin_in_ns(KIN__MAP_GRACE_NS));
    if (rc != -ETIMEDOUT) return rc;
    for (uint32_t i = 0; i < call->parts; i++) atomic_store(&call->map->part[i]->killed, 1);
    kin__supervisor_wake(call->pool);
    return wait_for_parts(call, KIN_FOREVER);
}

/* The workers write into what its caller will free: their end is waited for, also by a worker that is one
 * too many to wait. */
static int cancel(const struct call *call)
{
    kin__shield(1);
    int rc = end_parts(call);
    kin__shield(-1);
    return rc;
}

/* Waits in slices, and tells how far it is after each. */
static int wait_and_tell(const struct call *call, kin_deadline deadline, const kin_map_options *options)
{
    struct kin__map *map = call->map;
    int64_t begin = kin__os_clock(), slice = options->progress_ns > 0 ? options->progress_ns : PROGRESS_NS;
    for (;;) {
        kin_deadline now = kin__os_clock(), next = deadline;
        if (now < deadline && deadline - now > slice) next = now + slice;
        int rc = wait_for_parts(call, next);
        if (rc == KIN_ECLOSED) return rc;
        kin_progress progress =
            kin__progress(map->count, kin__map_done(map), atomic_load(&map->failed), kin__os_clock() - begin);
        options->progress(&progress, options->progress_context);
        if (rc != -ETIMEDOUT || next == deadline) return rc;
    }
}

/* Waits for room before each part. */
static int queue_parts(const struct call *call, kin_deadline deadline)
{
    int rc = 0;
    for (uint32_t i = 0; i < call->parts && rc == 0; i++) {
        if (!is_ours(call)) return KIN_ECLOSED;
        kin_result *part = call->map->part[i];
        rc = kin__pool_queue(call->pool, part, kin__record_life(part), deadline);
    }
    return rc;
}

static int run_parts(const struct call *call, kin_deadline deadline, const kin_map_options *options)
{
    int rc = queue_parts(call, deadline);
    if (rc == 0) rc = kin__own_wait_begin(call->pool);
    if (rc == 0) {
        rc = options->progress == NULL ? wait_for_parts(call, deadline)
                                       : wait_and_tell(call, deadline, options);
        kin__own_wait_end(call->pool);
    }
    if (rc < 0 && rc != KIN_EBROKEN) {
        int ended = cancel(call);
        rc = ended < 0 ? ended : rc;
    }
    return rc;
}

static void report(struct kin__map *map, const struct plan *plan, uint64_t *failed)
{
    *failed = kin__map_failed(map);
    if (plan->options.failures != NULL) {
        uint64_t known =
            map->failures < plan->options.max_failures ? map->failures : plan->options.max_failures;
        memcpy(plan->options.failures, map->failure, known * sizeof(kin_failure));
    }
    if (plan->options.failed != NULL) *plan->options.failed = (size_t)*failed;
    if (plan->copy_out) memcpy(plan->out, map->out, plan->count * plan->function->out_size);
}

/* Do the workers have the caller's memory, and does the caller wait for them? */
static bool shares_heap(const kin_pool *pool, const struct plan *plan)
{
    return pool->threads && pool->owner == kin__self.process_identity && plan->waits;
}

/* Checks what is asked for, and finds out what has to be copied. */
static int check_plan(const kin_pool *pool, struct plan *plan, const kin_map_options *options, size_t size)
{
    bool shared = shares_heap(pool, plan);
    const kin_function *function = plan->function;
    if (options != NULL)
        memcpy(&plan->options, options, size < sizeof plan->options ? size : sizeof plan->options);
    if (function == NULL || (function->range == NULL) == (function->zip == NULL) || plan->in == NULL)
        return -EINVAL;
    if (plan->options.timeout_ns < 0 || plan->options.progress_ns < 0 || plan->options.retries < -1)
        return -EINVAL;
    plan->inputs = function->zip != NULL ? function->inputs : 1;
    if (plan->inputs > KIN_INPUTS_MOST) return -EINVAL;
    size_t item = function->out_size + 1;
    for (unsigned i = 0; i < plan->inputs; i++) {
        plan->in_size[i] = function->zip != NULL ? function->in_sizes[i] : function->in_size;
        if (plan->in[i] == NULL && plan->count > 0) return -EINVAL;
        plan->copy_in[i] = !shared && !kin__in_family(plan->in[i]);
        item += plan->in_size[i];
    }
    plan->copy_out = !shared && !kin__in_family(plan->out);
    /* No more than all can fail. */
    if (plan->options.max_failures > plan->count) plan->options.max_failures = plan->count;
    bool absurd =
        plan->count > SIZE_MAX / 2 / item || plan->options.max_failures > SIZE_MAX / 4 / sizeof(kin_failure);
    return absurd ? -EMSGSIZE : 0;
}

/* A map with its parts, none of them queued. */
static int make(kin_pool *pool, const struct plan *plan, struct call *call)
{
    kin_result *job = NULL;
    int rc = make_job(pool, plan, &job);
    if (job == NULL || job->map == NULL) return rc;
    if (rc == 0) rc = make_parts(pool, job->map, plan->options.timeout_ns);
    if (rc < 0) {
        kin__map_free(job->map);
        return rc;
    }
    if (plan->options.timeout_ns != 0) atomic_store(&pool->timed, 1);
    *call = (struct call){pool, job, kin__record_life(job), job->map, job->map->parts};
    return 0;
}

/* Reports, and frees the map, unless the pool is being freed: who frees it waits for those who have touched it before
 * he closed it.  Seq_cst: pairs with wait_for_callers in pool.c. */
static int take_outcome(const struct call *call, const struct plan *plan, uint64_t *failed)
{
    _Atomic(void *) *touching = &kin__self.member->touching;
    void *outer = atomic_exchange(touching, (void *)call->pool);
    bool there = __atomic_load_n(&call->pool->magic, __ATOMIC_SEQ_CST) == KIN__MAGIC_POOL && is_ours(call);
    if (there) report(call->map, plan, failed);
    /* Over large arrays it takes its time, and he does not wait for ever. */
    there = there && is_ours(call);
    if (there) kin__map_free(call->map);
    atomic_store(touching, outer);
    return there ? 0 : KIN_ECLOSED;
}

static int run_map(kin_pool *pool, struct plan *plan, kin_deadline deadline, const kin_map_options *options,
                   size_t size)
{
    struct call call;
    int rc = kin__pool_check(pool);
    if (rc == 0) rc = check_plan(pool, plan, options, size);
    if (rc == 0 && plan->out == NULL && plan->count > 0) rc = -EINVAL;
    if (rc == 0) rc = kin__pool_accepts(pool, deadline);
    if (rc < 0) return rc;
    if (plan->options.failed != NULL) *plan->options.failed = 0;
    if (plan->count == 0) return 0;
    rc = make(pool, plan, &call);
    if (rc < 0) return rc;
    rc = run_parts(&call, deadline, &plan->options);
    if (rc == KIN_EBROKEN) return rc; /* its workers may not be gone yet: the pool keeps the records */
    uint64_t failed = 0;
    int taken = take_outcome(&call, plan, &failed);
    if (taken < 0) return taken;
    return rc < 0 ? rc : failed > 0 ? KIN_EFAILED : 0;
}

int kin_pool_map_sized(kin_pool *pool, const kin_function *function, const void *in, void *out, size_t count,
                       kin_deadline deadline, const kin_map_options *options, size_t size)
{
    struct plan plan = {.function = function, .in = &in, .out = out, .count = count, .waits = true};
    if (function != NULL && function->range == NULL) return -EINVAL;
    return run_map(pool, &plan, deadline, options, size);
}

int kin_pool_starmap_sized(kin_pool *pool, const kin_function *function, const void *const *in, void *out,
                           size_t count, kin_deadline deadline, const kin_map_options *options, size_t size)
{
    struct plan plan = {.function = function, .in = in, .out = out, .count = count, .waits = true};
    return run_map(pool, &plan, deadline, options, size);
}

int kin_pool_map_async_sized(kin_pool *pool, kin_result **result, const kin_function *function,
                             const void *const *in, size_t count, kin_deadline deadline,
                             const kin_map_options *options, size_t size)
{
    struct plan plan = {.function = function, .in = in, .count = count};
    struct call call;
    int rc = kin__pool_check(pool);
    if (rc == 0 && result == NULL) rc = -EINVAL;
    if (rc == 0) rc = check_plan(pool, &plan, options, size);
    if (rc == 0 &&
        (plan.options.failures != NULL || plan.options.failed != NULL || plan.options.progress != NULL))
        rc = -EINVAL;
    if (rc == 0) rc = kin__pool_accepts(pool, deadline);
    if (rc == 0) rc = make(pool, &plan, &call);
    if (rc < 0) return rc;
    kin_result *job = call.job;
    const struct kin__map *map = call.map;
    job->retries = 0;
    job->attempts = map->attempts;
    job->reply_size = map->count * map->out_size;
    atomic_store_explicit(&job->place, KIN__PLACE_JOB, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->submitted, 1, memory_order_relaxed);
    atomic_store(&job->state, KIN__TASK_QUEUED);
    rc = queue_parts(&call, deadline);
    if (rc < 0 && is_ours(&call)) {
        kin__map_cancel(job);
        kin_result_close(job);
    }
    if (rc < 0) return rc;
    if (call.parts == 0) kin__map_settle(job);
    *result = job;
    return 0;
}
