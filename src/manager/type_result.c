/* type_result.c: see type_result.h.
 *
 * A chunk that failed knows the results before the failure: an iterator hands them out first.
 *
 * Invariant: nobody is parked for a job that can answer.
 */
#include "manager/type_result.h"

#include <kin/container.h>

#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/session.h"
#include "manager/types.h"
#include "os/os.h"
#include "value/value.h"

static bool is_done(const struct kin__job *job)
{
    return job->done_count == job->chunk_count;
}

static kin_value timed_out(void)
{
    return kin_value_error("multiprocessing.context.TimeoutError", kin_value_tuple(NULL, 0));
}

/* ---- what a job has come to ------------------------------------------------------------------------ */

static bool has_failed(const struct kin__job *job)
{
    return kin_value_kind(&job->error) != KIN_VALUE_NONE;
}

static kin_value value_of(const struct kin__job *job)
{
    const kin_value *item;
    if (job->kind == KIN__JOB_ONE) return kin_value_ref(kin_value_at(&job->chunks[0].values, 0));
    kin_value all = kin_value_list(NULL, 0);
    for (size_t i = 0; i < job->chunk_count; i++) {
        for (size_t at = 0; kin_value_next(&job->chunks[i].values, &at, &item, NULL);)
            kin__collect(&all, kin_value_ref(item));
    }
    return all;
}

enum next { VALUE, FAILURE, NOT_YET, END };

/* The next item of an iterator; `*value` is it, or the exception. */
static enum next next_of(struct kin__job *job, kin_value *value)
{
    for (; job->at_chunk < job->chunk_count; job->at_chunk++, job->at_item = 0) {
        if (job->kind == KIN__JOB_AS_DONE && job->at_chunk >= job->done_count) return NOT_YET;
        struct kin__chunk *chunk =
            &job->chunks[job->kind == KIN__JOB_AS_DONE ? job->order[job->at_chunk] : job->at_chunk];
        if (!chunk->done) return NOT_YET;
        const kin_value *item = kin_value_at(&chunk->values, job->at_item);
        if (item != NULL) {
            job->at_item++;
            *value = kin_value_ref(item);
            return VALUE;
        }
        if (kin_value_kind(&chunk->error) == KIN_VALUE_NONE) continue;
        *value = chunk->error;
        chunk->error = kin_value_none();
        job->at_chunk++;
        job->at_item = 0;
        return FAILURE;
    }
    *value = kin_value_error("StopIteration", kin_value_tuple(NULL, 0));
    return END;
}

/* Answers those who wait for the job, as far as it can. */
static void wake(struct kin__job *job)
{
    struct kin__session *session;
    kin_value value;
    while ((job->kind >= KIN__JOB_IN_ORDER || is_done(job)) &&
           (session = kin__session_first(&job->waiters)) != NULL) {
        if (job->kind >= KIN__JOB_IN_ORDER) {
            enum next next = next_of(job, &value);
            if (next == NOT_YET) break;
            (next == VALUE ? kin__session_return : kin__session_raise)(session, value);
        } else if (!session->wait.flag) {
            kin__session_return(session, kin_value_none());
        } else if (has_failed(job)) {
            kin__session_raise(session, kin_value_ref(&job->error));
        } else {
            kin__session_return(session, value_of(job));
        }
    }
}

void kin__job_conclude(struct kin__job *job, size_t chunk, kin_value values, kin_value error)
{
    job->chunks[chunk] = (struct kin__chunk){.values = values, .error = error, .done = true};
    job->order[job->done_count++] = chunk;
    if (!has_failed(job)) job->error = kin_value_ref(&error);
    wake(job);
}

/* ---- making and dropping --------------------------------------------------------------------------- */

static void drop_job(struct kin__server *server, struct kin__managed *object)
{
    struct kin__job *job = kin__job_of(object);
    for (size_t i = 0; i < job->chunk_count; i++) {
        kin_value_clear(&job->chunks[i].values);
        kin_value_clear(&job->chunks[i].error);
    }
    kin_value_clear(&job->error);
    kin__os_free(job->chunks);
    kin__os_free(job->order);
    kin__managed_decref(server, job->pool);
}

struct kin__job *kin__job_make(struct kin__server *server, struct kin__managed *pool, enum kin__job_kind kind,
                               size_t chunk_count)
{
    struct kin__managed *made = kin__managed_make(
        server, kind >= KIN__JOB_IN_ORDER ? &kin__type_pool_iterator : &kin__type_async_result);
    if (made == NULL) return NULL;
    struct kin__job *job = kin__job_of(made);
    job->kind = kind;
    job->pool = kin__managed_incref(pool);
    kin__links_init(&job->waiters);
    job->chunks = kin__os_calloc(chunk_count + 1, sizeof *job->chunks);
    job->order = kin__os_calloc(chunk_count + 1, sizeof *job->order);
    if (job->chunks != NULL && job->order != NULL) {
        job->chunk_count = chunk_count;
        return job;
    }
    kin__managed_decref(server, made);
    return NULL;
}

/* ---- methods ------------------------------------------------------------------------------------------ */

static void on_get_deadline(struct kin__session *session)
{
    kin__session_raise(session, timed_out());
}

static void on_wait_deadline(struct kin__session *session)
{
    kin__session_return(session, kin_value_none());
}

enum kin__outcome kin__job_get(struct kin__call *call)
{
    struct kin__job *job = kin__job_of(call->object);
    double seconds;
    if (!kin__argument_timeout(call, call->argument[0], ">", &seconds)) return KIN__RAISE;
    if (!is_done(job)) {
        if (seconds == 0) return kin__raise(call, timed_out());
        enum kin__outcome outcome =
            kin__session_park(call, call->object, &job->waiters, seconds, on_get_deadline);
        if (outcome == KIN__PARKED) call->session->wait.flag = true;
        return outcome;
    }
    return has_failed(job) ? kin__raise(call, kin_value_ref(&job->error)) : kin__return(call, value_of(job));
}

static enum kin__outcome job_wait(struct kin__call *call)
{
    struct kin__job *job = kin__job_of(call->object);
    double seconds;
    if (!kin__argument_timeout(call, call->argument[0], ">", &seconds)) return KIN__RAISE;
    if (is_done(job) || seconds == 0) return kin__return_none(call);
    return kin__session_park(call, call->object, &job->waiters, seconds, on_wait_deadline);
}

static enum kin__outcome job_ready(struct kin__call *call)
{
    return kin__return(call, kin_value_bool(is_done(kin__job_of(call->object))));
}

static enum kin__outcome job_successful(struct kin__call *call)
{
    struct kin__job *job = kin__job_of(call->object);
    if (!is_done(job)) return kin__raisef(call, "ValueError", "the result is not ready");
    return kin__return(call, kin_value_bool(!has_failed(job)));
}

static enum kin__outcome iterator_next(struct kin__call *call)
{
    struct kin__job *job = kin__job_of(call->object);
    kin_value value;
    double seconds;
    if (!kin__argument_timeout(call, call->argument[0], ">", &seconds)) return KIN__RAISE;
    switch (next_of(job, &value)) {
    case VALUE: return kin__return(call, value);
    case NOT_YET: break;
    default: return kin__raise(call, value);
    }
    if (seconds == 0) return kin__raise(call, timed_out());
    return kin__session_park(call, call->object, &job->waiters, seconds, on_get_deadline);
}

static enum kin__outcome not_a_generator(struct kin__call *call)
{
    return kin__raisef(call, "AttributeError", "'IMapIterator' object has no attribute '%s'",
                       call->method->name);
}

static enum kin__outcome cannot_make(struct kin__call *call)
{
    return kin__raisef(call, "TypeError", "a result comes from a pool");
}

/* ---- the types ---------------------------------------------------------------------------------------- */

static const struct kin__method result_methods[] = {
    {"get", kin__job_get, "timeout", 0, KIN__PYTHON},
    {"ready", job_ready, "", 0, KIN__PYTHON},
    {"successful", job_successful, "", 0, KIN__PYTHON},
    {"wait", job_wait, "timeout", 0, KIN__PYTHON},
    {0},
};

static const struct kin__method iterator_methods[] = {
    {"__next__", iterator_next, "timeout", 0, KIN__PYTHON},
    {"next", iterator_next, "timeout", 0, KIN__PYTHON},
    {"send", not_a_generator, NULL, 0, KIN__PYTHON},
    {"throw", not_a_generator, NULL, 0, KIN__PYTHON},
    {"close", not_a_generator, NULL, 0, KIN__PYTHON},
    {0},
};

const struct kin__type kin__type_async_result = {
    .name = "AsyncResult",
    .size = sizeof(struct kin__job),
    .class = "ApplyResult",
    .make = {"AsyncResult", cannot_make, NULL, 0, KIN__PYTHON},
    .drop = drop_job,
    .methods = result_methods,
    .unnamed = true,
};

const struct kin__type kin__type_pool_iterator = {
    .name = "Iterator",
    .size = sizeof(struct kin__job),
    .class = "IMapIterator",
    .make = {"Iterator", cannot_make, NULL, 0, KIN__PYTHON},
    .drop = drop_job,
    .methods = iterator_methods,
    .unnamed = true,
};
