/* needs.c: tasks that need the results of others.
 *
 * Invariants:
 *  - A record with NEEDED stays, with its reply, until every task that needs it is freed, and its
 *    submitter has closed it; then the supervisor frees it.
 *  - What is `met` and who depends on what are caches of the records' states and of the blocks of
 *    needs; under the schedule's latch, and made anew with its lists.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "ipc/queue.h"
#include "pool/schedule.h"
#include "process/words.h"

int kin__needs_note(kin_result *record, kin_result *const *needs, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (needs[i] == NULL) return kin__start_say(-EINVAL, "needs[%zu] is NULL", i);
        rc = kin__check(needs[i], offsetof(struct kin_result, magic), KIN__MAGIC_RESULT);
        if (rc == 0 && (needs[i]->pool != record->pool || needs[i]->map != NULL))
            return kin__start_say(-EINVAL, "needs[%zu] is of another pool, or of a map", i);
        if (rc == 0 && (atomic_load(&needs[i]->state) & KIN__TASK_DROPPED) != 0) rc = KIN_ECLOSED;
        if (rc < 0) return rc;
    }
    size_t size = sizeof(struct kin__needs) + count * sizeof(struct kin__edge);
    struct kin__needs *block = kin__allocate(size, &rc);
    if (block == NULL) return rc;
    block->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        block->edge[i] = (struct kin__edge){.need = needs[i], .dependent = record};
    kin__allocate_publish(&record->needs);
    return 0;
}

static bool is_met(const struct kin__edge *edge)
{
    return KIN__TASK_STATE(atomic_load(&edge->need->state)) == KIN__TASK_DONE;
}

void kin__needs_link(kin_result *record)
{
    struct kin__needs *needs = kin__needs_of(record);
    record->unmet = 0;
    for (uint32_t i = 0; needs != NULL && i < needs->count; i++) {
        struct kin__edge *edge = &needs->edge[i];
        edge->next = edge->need->dependents;
        __atomic_store_n(&edge->need->dependents, edge, __ATOMIC_RELAXED);
        /* Seq_cst, before the look: who finishes it sees the flag, or we see that it is over. */
        atomic_fetch_or(&edge->need->state, KIN__TASK_NEEDED);
        edge->met = is_met(edge);
        record->unmet += !edge->met;
    }
}

void kin__needs_repair(kin_pool *pool)
{
    uint32_t count = kin__pool_record_count(pool);
    for (uint32_t i = 0; i < count; i++)
        __atomic_store_n(&kin__pool_record(pool, i)->dependents, NULL, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        kin_result *record = kin__pool_record(pool, i);
        enum kin__task_state state = KIN__TASK_STATE(atomic_load(&record->state));
        if (state != KIN__TASK_FREE && state != KIN__TASK_NEW) kin__needs_link(record);
    }
}

bool kin__needs_failed(const kin_result *record)
{
    const struct kin__needs *needs = kin__needs_of(record);
    for (uint32_t i = 0; needs != NULL && i < needs->count; i++)
        if (KIN__TASK_STATE(atomic_load(&needs->edge[i].need->state)) == KIN__TASK_FAILED) return true;
    return false;
}

/* Is it for the supervisor to free? */
static void look_for_garbage(kin_result *record)
{
    uint64_t word = atomic_load(&record->state);
    if (kin__record_is_needed(record) || !kin__task_over(word) || (word & KIN__TASK_DROPPED) == 0) return;
    atomic_store(&record->pool->untidy, 1);
}

static bool is_waiting(const kin_result *record)
{
    return KIN__TASK_STATE(atomic_load(&record->state)) == KIN__TASK_QUEUED && record->unmet > 0;
}

void kin__needs_settle(kin_result *record)
{
    kin_pool *pool = record->pool;
    if (kin__schedule_lock(pool) < 0) return;
    for (struct kin__edge *edge = record->dependents; edge != NULL; edge = edge->next) {
        if (edge->met || !is_waiting(edge->dependent)) continue;
        edge->met = is_met(edge);
        if (edge->met && --edge->dependent->unmet > 0) continue;
        kin__schedule_move(edge->dependent);
    }
    look_for_garbage(record);
    kin__schedule_unlock(pool);
    kin__schedule_wake(pool, INT32_MAX);
    kin__needs_fail(pool);
}

static void fill_failure(kin_result *record)
{
    record->failure = (kin_failure){.cause = KIN_CAUSE_NEED, .task = record->number};
    memcpy(record->failure.function, record->function, sizeof record->function);
}

/* Fails one of them; the word it has got, 0 if there is none. */
static uint64_t fail_one(kin_pool *pool, kin_result **failed)
{
    uint64_t over = 0;
    if (kin__schedule_lock(pool) < 0) return 0;
    struct kin__links *list = &pool->schedule.failing;
    while (over == 0 && !kin__links_empty(list)) {
        kin_result *record = kin__links_entry(list->next, kin_result, link);
        uint64_t word = atomic_load(&record->state);
        fill_failure(record);
        uint64_t wanted = kin__over_word(word, KIN__TASK_FAILED, false);
        /* Flags may come between: then again. */
        if (!kin__schedule_take(record, &word, wanted)) continue;
        *failed = record;
        over = wanted;
    }
    kin__schedule_unlock(pool);
    return over;
}

/* One call in a thread does it all: those that fail by failing others are in the list, too. */
static _Thread_local bool failing __attribute__((tls_model("initial-exec")));

void kin__needs_fail(kin_pool *pool)
{
    kin_result *record;
    uint64_t over;
    if (failing) return;
    failing = true;
    /* CRASH: failed, and who needs it not settled: the supervisor does that (kin__records_tidy). */
    while (atomic_load(&pool->schedule.any_failing) && (over = fail_one(pool, &record)) != 0) {
        kin__record_count(pool, NULL, KIN__TASK_FAILED);
        kin__record_after(record, NULL, false, over);
    }
    failing = false;
}

void kin__needs_release(kin_result *record)
{
    kin_pool *pool = record->pool;
    struct kin__needs *needs = kin__needs_of(record);
    if (needs == NULL || kin__schedule_lock(pool) < 0) return;
    for (uint32_t i = 0; i < needs->count; i++) {
        struct kin__edge *edge = &needs->edge[i], **place = &edge->need->dependents;
        while (*place != NULL && *place != edge) place = &(*place)->next;
        if (*place == edge) __atomic_store_n(place, edge->next, __ATOMIC_RELAXED);
        look_for_garbage(edge->need);
    }
    needs->count = 0;
    kin__schedule_unlock(pool);
    if (atomic_load(&pool->untidy) != 0) kin__supervisor_wake(pool);
}

/* ---- for the user ------------------------------------------------------------------------------------ */

/* What the record needs and has failed, or NULL. */
static kin_result *failed_need(const kin_result *record)
{
    const struct kin__needs *needs = kin__needs_of(record);
    for (uint32_t i = 0; needs != NULL && i < needs->count; i++) {
        kin_result *need = needs->edge[i].need;
        if (KIN__TASK_STATE(atomic_load(&need->state)) == KIN__TASK_FAILED) return need;
    }
    return NULL;
}

long kin_result_failure_chain_sized(kin_result *result, kin_failure *chain, size_t limit, size_t size)
{
    kin_failure told;
    if (chain == NULL && limit > 0) return -EINVAL;
    int rc = kin_result_failure(result, &told);
    if (rc < 0) return rc;
    for (long count = 0;; kin__result_failure(result, atomic_load(&result->state), &told)) {
        if ((size_t)count < limit)
            memcpy((char *)chain + (size_t)count * size, &told, size < sizeof told ? size : sizeof told);
        count++;
        /* While the first is open, all that it needs stays, and what that needed: also what was closed. */
        result = told.cause == KIN_CAUSE_NEED ? failed_need(result) : NULL;
        if (result == NULL) return count;
    }
}
