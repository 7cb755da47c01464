/* poison.c: tasks that have killed their workers, set aside with their input.
 *
 * Such a task has failed like any other; what is set aside is a copy, a record of its own that is over
 * from the beginning and is the pool's until it is taken.
 *
 * Invariants:
 *  - A record with POISON is its owner's to change; one of a process that died is the pool's again (drop_orphan
 *    in record.c).
 *  - Under the schedule's latch one is set aside, and taken: so there are never more than the pool keeps.
 */
#include <errno.h>

#include <kin/error.h>

#include "os/os.h"
#include "pool/schedule.h"

/* Of several items, the one that did it. */
static int copy_input(kin_result *copy, kin_result *record)
{
    const char *argument = kin__record_argument(record);
    copy->argument_size = record->argument_size;
    if (record->items > 1) {
        copy->argument_size = record->in_size;
        argument += record->progress[0] * record->in_size;
    }
    return kin__record_store(&copy->argument_block, copy->argument_inline, sizeof copy->argument_inline,
                             argument, copy->argument_size);
}

static bool is_poison(const kin_result *record)
{
    return (atomic_load(&record->state) & KIN__TASK_POISON) != 0;
}

/* From the records: a number beside them would be wrong for good after a death in between. */
unsigned kin__poison_count(kin_pool *pool)
{
    unsigned count = 0;
    if (pool->poisoned_most == 0) return 0;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) count += is_poison(kin__pool_record(pool, i));
    return count;
}

/* Is there room for it, and is it not there?  It is when a deputy has set it aside and died before the task had
 * failed.  Under the schedule's latch: nothing comes or goes. */
static bool is_wanted(kin_pool *pool, uint64_t task)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        const kin_result *kept = kin__pool_record(pool, i);
        if (!is_poison(kept)) continue;
        if (kept->failure.task == task) return false;
        count++;
    }
    return count < pool->poisoned_most;
}

/* False: it is the caller's still. */
static bool keep(kin_pool *pool, kin_result *copy)
{
    if (kin__schedule_lock(pool) < 0) return false;
    bool wanted = is_wanted(pool, copy->failure.task);
    if (wanted) {
        /* CRASH: before the first it is ours, and gone with us; after it the pool's: between the two by drop_orphan,
         * and the task, which has not failed yet, is not kept again (is_wanted). */
        atomic_store(&copy->state, KIN__TASK_FAILED | KIN__TASK_POISON);
        atomic_store(&copy->owner, KIN__OWNER_POOL);
    }
    kin__schedule_unlock(pool);
    return wanted;
}

void kin__poison_keep(kin_result *record, const kin_failure *failure)
{
    kin_pool *pool = record->pool;
    kin_result *copy = NULL;
    if (kin__poison_count(pool) >= pool->poisoned_most || kin__record_make(pool, &copy) < 0) return;
    copy->failure = *failure;
    if (copy_input(copy, record) == 0 && keep(pool, copy))
        atomic_store(&pool->untidy, 1); /* the supervisor counts */
    else
        kin__record_free(copy);
}

static kin_result *oldest(kin_pool *pool)
{
    kin_result *found = NULL;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        /* Another may be about to take it. */
        if (!is_poison(record) || atomic_load(&record->owner) != KIN__OWNER_POOL) continue;
        if (found == NULL || kin__record_number(record) < kin__record_number(found)) found = record;
    }
    return found;
}

int kin_pool_take_poisoned(kin_pool *pool, kin_result **result)
{
    int rc = kin__pool_check(pool);
    if (rc < 0) return rc;
    if (result == NULL) return -EINVAL;
    rc = kin__schedule_lock(pool);
    if (rc < 0) return rc;
    kin_result *record = oldest(pool);
    if (record != NULL) {
        atomic_store(&record->owner, kin__self.process_identity);
        /* CRASH: before it the supervisor gives it back, after it frees it. */
        atomic_fetch_and(&record->state, ~KIN__TASK_POISON);
    }
    kin__schedule_unlock(pool);
    if (record == NULL) return 0;
    atomic_store(&pool->untidy, 1);
    *result = record;
    return 1;
}

long kin_result_argument(kin_result *result, const void **argument)
{
    int rc = kin_result_ready(result);
    if (rc < 0 && rc != KIN_EBROKEN) return rc;
    if (argument == NULL || result->map != NULL) return -EINVAL;
    *argument = kin__record_argument(result);
    return (long)result->argument_size;
}
