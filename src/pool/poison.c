/* poison.c: tasks that have killed their workers, set aside with their input.
 *
 * Such a task has failed like any other; what is set aside is a copy, a record of its own that is over
 * from the beginning and belongs to nobody until it is taken.
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

void kin__poison_keep(kin_result *record, const kin_failure *failure)
{
    kin_pool *pool = record->pool;
    kin_result *copy = NULL;
    if (atomic_load(&pool->poisoned) >= pool->poisoned_most || kin__record_make(pool, &copy) < 0) return;
    if (copy_input(copy, record) < 0) {
        kin__record_free(copy);
        return;
    }
    copy->failure = *failure;
    atomic_fetch_add(&pool->poisoned, 1);
    /* CRASH: the supervisor's until here, and gone with it; from here on the pool's. */
    atomic_store(&copy->owner, pool->owner);
    atomic_store(&copy->state, KIN__TASK_FAILED | KIN__TASK_POISON);
}

static kin_result *oldest(kin_pool *pool)
{
    kin_result *found = NULL;
    for (uint32_t i = 0; i < kin__pool_record_count(pool); i++) {
        kin_result *record = kin__pool_record(pool, i);
        if ((atomic_load(&record->state) & KIN__TASK_POISON) == 0) continue;
        if (found == NULL || record->number < found->number) found = record;
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
        uint64_t word = KIN__TASK_FAILED | KIN__TASK_POISON;
        if (!atomic_compare_exchange_strong(&record->state, &word, KIN__TASK_FAILED)) continue;
        /* CRASH: taken, and freed with the pool. */
        atomic_store(&record->owner, kin__self.process_identity);
        atomic_fetch_sub(&pool->poisoned, 1);
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
