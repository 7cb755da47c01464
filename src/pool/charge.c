/* charge.c: what the death of a worker means for the task that it was on.
 *
 * Only the supervisor decides that, once the worker is gone and before its successor is there: what the
 * dead one had finished counts, and what it had claimed is charged, run again or failed.
 */
#include "pool/schedule.h"

/* The dead worker had made it over: had it counted it, too? */
static void count_finished(kin_pool *pool, struct kin__worker *worker, kin_result *record,
                           enum kin__task_state state)
{
    uint64_t counted = atomic_load(&worker->done) + atomic_load(&worker->failed);
    if (atomic_load(&worker->finishing) == record && atomic_load(&worker->counted) == counted)
        kin__record_count(pool, worker, state);
    atomic_store(&worker->finishing, NULL);
}

bool kin__worker_charge(kin_pool *pool, unsigned index, bool its_doing, kin_failure *failure)
{
    struct kin__worker *worker = kin__pool_worker(pool, index);
    kin_result *record = atomic_load(&worker->current);
    if (record == NULL) return false;
    uint64_t word = atomic_load(&record->state);
    if (kin__task_over(word)) {
        count_finished(pool, worker, record, KIN__TASK_STATE(word));
        const uint64_t freeing = KIN__TASK_DROPPED | KIN__TASK_CLOSING;
        if ((word & freeing) == freeing && KIN__TASK_WORKER(word) == index) {
            kin__record_gone(record, word);
            return false;
        }
        /* Its outcome stands; whom it should have told is told now. */
        kin_result *job = kin__record_job(record);
        kin__waiters_wake_all(job != NULL ? &job->done.point : &record->done.point);
        kin__waiters_wake_all(&pool->completed.point);
        if (job != NULL && kin__is_async(job)) kin__map_settle(job);
        return false;
    }
    if (KIN__TASK_STATE(word) != KIN__TASK_CLAIMED || KIN__TASK_WORKER(word) != index) {
        /* It may have freed it, and told nobody yet (kin__record_gone). */
        kin__waiters_wake_all(&pool->completed.point);
        return false;
    }
    /* What a worker finds that is not ready yet is its predecessor's, and none of its doing: the next one has
     * it.  (Those that never get ready end the pool.) */
    if (!its_doing) return true;
    bool ending = atomic_load(&pool->state) >= KIN__POOL_TERMINATED;
    if (record->map != NULL) {
        bool go_on = kin__map_charge(record, atomic_load(&worker->deputy), failure) && !ending;
        if (go_on && atomic_load(&worker->deputy) && kin__schedule_again(record, word)) return false;
        if (!go_on) kin__record_finish(record, word, KIN__TASK_DONE);
        return go_on;
    }
    if (atomic_load(&worker->deputy) && !ending && kin__record_doubt(record, word) &&
        kin__schedule_again(record, word))
        return false;
    if (kin__record_crashed(record, word) && !ending) {
        /* A deputy has no successor. */
        if ((record->not_before != 0 || atomic_load(&worker->deputy)) && kin__schedule_again(record, word))
            return false;
        /* Only flags can come between. */
        while (KIN__TASK_STATE(word) == KIN__TASK_CLAIMED)
            if (atomic_compare_exchange_strong(&record->state, &word, kin__claimed_word(word, index)))
                return true;
    }
    if (ending && failure->cause == KIN_CAUSE_SIGNALED) failure->cause = KIN_CAUSE_TERMINATED;
    kin__record_complete(record, word, failure);
    if (!ending && failure->cause != KIN_CAUSE_CANCELLED) kin__poison_keep(record, failure);
    kin__record_fail_with(record, word, *failure);
    return false;
}
