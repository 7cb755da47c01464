/* poison.c: tasks that have killed their workers, set aside with their input.
 *
 * Such a task has failed like any other; what is set aside is a copy, a record of its own that is over
 * from the beginning and is the pool's until it is taken.
 *
 * Invariant: a record with POISON is its owner's to change; one of a process that died is the pool's
 * again (drop_orphan in record.c).
 */
#include <errno.h>

#include <kin/error.h>

#include "os/os.h"
#include "pool/pool.h"

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

void kin__poison_keep(kin_result *record, const kin_failure *failure)
{
    kin_pool *pool = record->pool;
    kin_result *copy = NULL;
    if (kin__poison_count(pool) >= pool->poisoned_most || kin__record_make(pool, &copy) < 0) return;
    if (copy_input(copy, record) < 0) {
        kin__record_free(copy);
        return;
    }
    copy->failure = *failure;
    /* CRASH: before it it is ours, and gone with us; after it the pool's. */
    atomic_store(&copy->state, KIN__TASK_FAILED | KIN__TASK_POISON);
    atomic_store(&copy->owner, KIN__OWNER_POOL);
    atomic_store(&pool->untidy, 1); /* the supervisor counts */
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
    kin_result *record;
    while ((record = oldest(pool)) != NULL) {
        uint64_t owner = KIN__OWNER_POOL;
        if (!atomic_compare_exchange_strong(&record->owner, &owner, kin__self.process_identity)) continue;
        /* CRASH: before it the supervisor gives it back, after it frees it. */
        atomic_fetch_and(&record->state, ~KIN__TASK_POISON);
        atomic_store(&pool->untidy, 1);
        *result = record;
        return 1;
    }
    return 0;
}

long kin_result_argument(kin_result *result, const void **argument)
{
    int rc = kin_result_ready(result);
    if (rc < 0 && rc != KIN_EBROKEN) return rc;
    if (argument == NULL || result->map != NULL) return -EINVAL;
    *argument = kin__record_argument(result);
    return (long)result->argument_size;
}
