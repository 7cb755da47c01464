/* submit.c: handing tasks to a pool.
 *
 * Invariants: a record is complete before it is QUEUED, and QUEUED before its message is in the
 * task queue.  A submitter that dies in between leaves a record that the supervisor frees
 * (NEW), or one that is QUEUED and in no queue: it is dropped with its owner.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "os/os.h"
#include "os/program.h"
#include "pool/schedule.h"
#include "process/words.h"

/* ---- functions ------------------------------------------------------------------------------------ */

/* Functions that this thread has found to be code: the look-up walks all loaded libraries. */
#define KNOWN 16 /* a power of two */
static _Thread_local const void *known[KNOWN] __attribute__((tls_model("initial-exec")));

static __attribute__((noinline)) bool look_up(const void *function, const void **slot)
{
    if (kin__os_is_code(function) != 1) return false;
    *slot = function;
    return true;
}

static inline bool is_code(const void *function)
{
    const void **slot = &known[(uintptr_t)function >> 4 & (KNOWN - 1)];
    return __builtin_expect(*slot == function, 1) || look_up(function, slot);
}

static const void *entry_of(const kin_result *record)
{
    if (kin__record_is_plain(record)) return (const void *)record->range;
    if (record->zip != NULL) return (const void *)record->zip;
    return record->bytes != NULL ? (const void *)record->bytes : (const void *)record->range;
}

bool kin__function_known(const kin_result *record)
{
    return is_code(entry_of(record));
}

/* Says where the workers have the function: who was begun by exec has the program elsewhere. */
static __attribute__((noinline)) int move_to_workers(kin_result *record)
{
    const struct kin__image *here = kin__os_image(), *there = &record->pool->image;
    if (here->program == 0 || here->program != there->program || !kin__os_is_own_code(entry_of(record)))
        return KIN_EFUNCTION;
    uintptr_t distance = (uintptr_t)(there->base - here->base);
    if (record->range != NULL) record->range = (kin_range_function *)((uintptr_t)record->range + distance);
    if (record->zip != NULL) record->zip = (__typeof__(record->zip))((uintptr_t)record->zip + distance);
    if (record->bytes != NULL) record->bytes = (kin_bytes_function *)((uintptr_t)record->bytes + distance);
    return 0;
}

int kin__function_fill(kin_result *record, const kin_function *function)
{
    record->range = function->range;
    record->zip = function->zip;
    record->bytes = function->bytes;
    record->in_size = (uint32_t)function->in_size;
    record->out_size = (uint32_t)function->out_size;
    if (!is_code(entry_of(record))) return KIN_ENOTCODE;
    const char *name = function->name != NULL ? function->name : "?";
    size_t length = strnlen(name, sizeof record->function - 1);
    memcpy(record->function, name, length);
    record->function[length] = '\0';
    bool same = kin__os_image()->layout == record->pool->image.layout;
    return __builtin_expect(same, 1) ? 0 : move_to_workers(record);
}

int kin__function_pure(const kin_result *record, const kin_function *function, kin_range_function **pure)
{
    *pure = NULL;
    if (function->range == NULL || function->pure == NULL) return 0;
    if (!is_code((const void *)function->pure)) return KIN_ENOTCODE;
    /* It lies beside the other. */
    uintptr_t distance = (uintptr_t)record->range - (uintptr_t)function->range;
    *pure = (kin_range_function *)((uintptr_t)function->pure + distance);
    return 0;
}

/* ---- pools that take tasks --------------------------------------------------------------------------- */

/* While a worker of the pool waits for room, another makes it. */
static int queue_from_worker(kin_pool *pool, kin_result *record, kin_deadline deadline)
{
    int rc = kin__own_wait_begin(pool);
    if (rc < 0) return rc;
    rc = kin_queue_put(pool->tasks, &record, sizeof record, deadline);
    kin__own_wait_end(pool);
    return rc;
}

/* QUEUED → NEW, of one that is not in the queue; or *word: what it is.  One that became another's in the few steps
 * between the look at its life and the exchange is taken for ours: its word does not tell them apart. */
static bool take_back(kin_pool *pool, kin_result *record, uint64_t *word)
{
    if (*word != KIN__TASK_QUEUED || !atomic_compare_exchange_strong(&record->state, word, KIN__TASK_NEW))
        return false;
    atomic_fetch_sub_explicit(&pool->submitted, 1, memory_order_relaxed);
    return true;
}

/* It could not be put into the queue, for that reason: 0 if it is in all the same. */
static __attribute__((noinline)) int give_up_queueing(kin_pool *pool, kin_result *record, uint64_t life,
                                                      int rc)
{
    uint64_t word = atomic_load(&record->state); /* before the look at its life */
    if (kin__record_is_still(record, life)) {
        /* A worker has found it all the same, by an old message of an earlier task in this record; or it is not
         * in, or the supervisor of an ending pool fails it just now. */
        if (!take_back(pool, record, &word) && (rc != KIN_ECLOSED || KIN__TASK_ATTEMPT(word) != 0)) return 0;
        if (rc == KIN_ECLOSED) rc = kin__pool_why_shut(pool);
    }
    return rc == KIN_FULL ? -ETIMEDOUT : rc;
}

static inline int queue(kin_pool *pool, kin_result *record, uint64_t life, kin_deadline deadline)
{
    /* Release: pairs with the acquire of who claims it. */
    atomic_store_explicit(&record->state, (uint64_t)KIN__TASK_QUEUED, memory_order_release);
    atomic_fetch_add_explicit(&pool->submitted, 1, memory_order_relaxed);
    bool own = kin__worker_here(pool) != NULL;
    kin_queue *tasks = kin__pool_tasks(pool);
    int rc = KIN_ECLOSED;
    if (tasks != NULL) rc = kin_queue_put(tasks, &record, sizeof record, own ? KIN_NOW : deadline);
    if (__builtin_expect(rc == 0, 1)) return 0;
    if (rc == KIN_FULL && own) rc = queue_from_worker(pool, record, deadline);
    return rc == 0 ? 0 : give_up_queueing(pool, record, life, rc);
}

int kin__pool_queue(kin_pool *pool, kin_result *record, uint64_t life, kin_deadline deadline)
{
    return queue(pool, record, life, deadline);
}

/* ---- the public functions ------------------------------------------------------------------------------ */

/* Says which of what check_function refuses it is. */
static __attribute__((noinline, cold)) int refuse(const kin_function *function, const void *argument,
                                                  size_t size, size_t items)
{
    if (function == NULL) return kin__start_say(-EINVAL, "function is NULL");
    const char *name = function->name != NULL ? function->name : "?";
    if ((function->range == NULL) == (function->bytes == NULL))
        return kin__start_say(-EINVAL, "%.100s is no function of one input", name);
    if (argument == NULL && size > 0)
        return kin__start_say(-EINVAL, "argument is NULL, and its size is %zu", size);
    return kin__start_say(-EINVAL, "the argument of %.100s has %zu bytes, not %zu", name,
                          items * function->in_size, size);
}

static inline int check_function(const kin_function *function, const void *argument, size_t size,
                                 size_t items)
{
    if (function == NULL || (function->range == NULL) == (function->bytes == NULL))
        return refuse(function, argument, size, items);
    if ((argument == NULL && size > 0) || (function->range != NULL && size != items * function->in_size))
        return refuse(function, argument, size, items);
    return function->in_size > UINT32_MAX || function->out_size > UINT32_MAX || items > UINT32_MAX ? -EMSGSIZE
                                                                                                   : 0;
}

static unsigned times(int asked, unsigned usual)
{
    unsigned given = asked > 0 ? (unsigned)asked : asked < 0 ? 0 : usual;
    return given < UINT16_MAX ? given : UINT16_MAX;
}

/* Does it want more than to be the next in turn? */
static bool is_special(const kin_task_options *options)
{
    return options->priority != 0 || options->weight > 1 || options->exclusive || options->affinity != 0 ||
           options->needs_count != 0;
}

/* Without options a task has what the pool's have. */
static inline void fill_options(kin_pool *pool, kin_result *record, const kin_task_options *options)
{
    int64_t backoff = pool->backoff_ns;
    unsigned retries = pool->retries, retries_error = pool->retries_error;
    if (options != NULL) {
        retries = times(options->retries, retries);
        retries_error = times(options->retries_error, retries_error);
        if (options->backoff_ns != 0) backoff = options->backoff_ns;
        __atomic_store_n(&record->timeout_ns, options->timeout_ns, __ATOMIC_RELAXED);
        if (options->timeout_ns > 0) atomic_store(&pool->timed, 1);
    }
    record->retries = (uint16_t)retries;
    record->retries_error = (uint16_t)retries_error;
    record->attempts = 1u + record->retries + record->retries_error;
    if (record->attempts > 1) record->backoff_ns = backoff;
}

static inline int fill_argument(kin_result *record, const void *argument, size_t size)
{
    record->argument_size = size;
    if (__builtin_expect(size > sizeof record->argument_inline, 0))
        return kin__record_store(&record->argument_block, record->argument_inline,
                                 sizeof record->argument_inline, argument, size);
    if (size > 0) memcpy(record->argument_inline, argument, size);
    return 0;
}

/* What kin__record_make has not filled in as most tasks have it. */
static inline int fill(kin_pool *pool, kin_result *record, const kin_function *function, const void *argument,
                       size_t size, size_t items, const kin_task_options *options)
{
    if (items != 1) {
        record->items = (uint32_t)items;
        record->noted = 0;
    }
    fill_options(pool, record, options);
    if (__builtin_expect(record->number % KIN__TIMED_ONE_OF == 0, 0)) record->came = kin__os_clock();
    int rc = kin__function_fill(record, function);
    return rc == 0 ? fill_argument(record, argument, size) : rc;
}

static int fill_special(kin_result *record, const kin_task_options *options)
{
    atomic_store_explicit(&record->place, KIN__PLACE_LIST, memory_order_relaxed);
    record->priority = (int16_t)options->priority;
    record->weight =
        options->exclusive || options->weight > UINT16_MAX ? UINT16_MAX : (uint16_t)options->weight;
    record->affinity = options->affinity;
    return options->needs_count != 0 ? kin__needs_note(record, options->needs, options->needs_count) : 0;
}

static int check_options(const kin_task_options *options)
{
    if (options->timeout_ns < 0) return kin__start_say(-EINVAL, "timeout_ns is negative");
    if (options->backoff_ns < 0) return kin__start_say(-EINVAL, "backoff_ns is negative");
    if (options->retries < -1) return kin__start_say(-EINVAL, "retries is below -1");
    if (options->retries_error < -1) return kin__start_say(-EINVAL, "retries_error is below -1");
    if (options->priority < -KIN__PRIORITY_MOST || options->priority >= KIN__PRIORITY_MOST)
        return kin__start_say(-EINVAL, "priority is %d, not from %d to %d", options->priority,
                              -KIN__PRIORITY_MOST, KIN__PRIORITY_MOST - 1);
    if (options->needs_count > 0 && options->needs == NULL)
        return kin__start_say(-EINVAL, "needs_count is given, and needs is NULL");
    return options->needs_count > UINT16_MAX ? -EMSGSIZE : 0;
}

/* Says so, once it is complete but for that, of one that is nothing more than the next in turn. */
static inline void note_plain(kin_result *record, const kin_task_options *options)
{
    bool plain = options == NULL && record->range != NULL && record->items == 1 && record->came == 0 &&
                 record->retries_error == 0 && record->argument_size <= sizeof record->argument_inline &&
                 record->out_size <= sizeof record->reply_inline;
    if (!plain) return;
    record->reply_size = record->out_size;
    atomic_store_explicit(&record->plain, 1, memory_order_relaxed);
}

/* A record that was not taken in.  One that the supervisor has failed is closed like any other. */
static __attribute__((noinline)) void withdraw(kin_result *record, uint64_t life)
{
    if (!kin__record_is_still(record, life)) return;
    if (KIN__TASK_STATE(atomic_load(&record->state)) == KIN__TASK_NEW)
        kin__record_free(record);
    else
        kin_result_close(record);
}

/* Compiled twice: the one without options has nothing of them. */
static inline __attribute__((always_inline)) int submit(kin_pool *pool, kin_result **result,
                                                        const kin_function *function, const void *argument,
                                                        size_t argument_size, size_t items,
                                                        kin_deadline deadline,
                                                        const kin_task_options *options)
{
    kin_result *record;
    int rc = kin__pool_check(pool);
    if (__builtin_expect(rc < 0, 0)) return pool == NULL ? kin__start_say(rc, "pool is NULL") : rc;
    if (result == NULL) return kin__start_say(-EINVAL, "result is NULL");
    rc = check_function(function, argument, argument_size, items);
    if (rc == 0) rc = kin__pool_accepts(pool, deadline);
    if (rc == 0 && options != NULL) rc = check_options(options);
    if (rc < 0 || (rc = kin__record_make(pool, &record)) < 0) return rc;
    const uint64_t life = kin__record_life(record);
    rc = fill(pool, record, function, argument, argument_size, items, options);
    if (rc == 0 && options != NULL && is_special(options)) {
        rc = fill_special(record, options);
        if (rc == 0) rc = kin__schedule_add(pool, record, false, deadline);
        if (rc == KIN_ECLOSED && kin__record_is_still(record, life)) rc = kin__pool_why_shut(pool);
    } else if (rc == 0) {
        note_plain(record, options);
        rc = queue(pool, record, life, deadline);
    }
    if (__builtin_expect(rc == 0, 1))
        *result = record;
    else
        withdraw(record, life);
    return rc;
}

int kin__submit_items(kin_pool *pool, kin_result **result, const kin_function *function, const void *argument,
                      size_t argument_size, size_t items, kin_deadline deadline,
                      const kin_task_options *options)
{
    return submit(pool, result, function, argument, argument_size, items, deadline, options);
}

int kin__submit_rest(kin_pool *pool, kin_result **result, const kin_function *function, const void *argument,
                     size_t argument_size, size_t items, const kin_task_options *options)
{
    kin_result *record = NULL;
    int rc = kin__pool_check(pool);
    if (rc == 0 && atomic_load(&pool->state) == KIN__POOL_BROKEN) rc = KIN_EBROKEN;
    if (rc == 0) rc = kin__record_make(pool, &record);
    if (rc < 0) return rc;
    const uint64_t life = kin__record_life(record);
    rc = fill(pool, record, function, argument, argument_size, items, options);
    if (rc == 0) rc = kin__schedule_add(pool, record, true, KIN_NOW);
    if (rc == KIN_ECLOSED && atomic_load(&pool->state) == KIN__POOL_BROKEN) rc = KIN_EBROKEN;
    if (rc == 0)
        *result = record;
    else
        withdraw(record, life);
    return rc;
}

static __attribute__((noinline)) int submit_with(kin_pool *pool, kin_result **result,
                                                 const kin_function *function, const void *argument,
                                                 size_t argument_size, kin_deadline deadline,
                                                 const kin_task_options *options, size_t size)
{
    kin_task_options given = {0};
    memcpy(&given, options, size < sizeof given ? size : sizeof given);
    return kin__submit_items(pool, result, function, argument, argument_size, 1, deadline, &given);
}

int kin_pool_submit_sized(kin_pool *pool, kin_result **result, const kin_function *function,
                          const void *argument, size_t argument_size, kin_deadline deadline,
                          const kin_task_options *options, size_t size)
{
    if (__builtin_expect(options == NULL, 1))
        return submit(pool, result, function, argument, argument_size, 1, deadline, NULL);
    return submit_with(pool, result, function, argument, argument_size, deadline, options, size);
}

long kin_pool_apply(kin_pool *pool, const kin_function *function, const void *argument, size_t argument_size,
                    void *out, size_t out_capacity, kin_deadline deadline, kin_failure *failure)
{
    kin_result *result = NULL;
    long rc = kin_pool_submit(pool, &result, function, argument, argument_size, deadline, NULL);
    if (rc < 0) return rc;
    rc = kin_result_get(result, out, out_capacity, deadline);
    if (rc == KIN_EFAILED && failure != NULL) kin_result_failure(result, failure);
    /* Or a task that calls itself so would go on without end, one refused after the other. */
    if (rc == -EDEADLK) kin_result_cancel(result);
    kin_result_close(result);
    return rc;
}
