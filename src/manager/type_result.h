/* type_result.h: what a pool of a manager's returns: jobs, as AsyncResult or as an iterator. */
#ifndef KIN_MANAGER_TYPE_RESULT_H
#define KIN_MANAGER_TYPE_RESULT_H

#include "manager/server.h"

struct kin__chunk {
    kin_value values; /* a list */
    kin_value error;
    bool done;
};

enum kin__job_kind { KIN__JOB_ONE, KIN__JOB_ALL, KIN__JOB_IN_ORDER, KIN__JOB_AS_DONE };

struct kin__job {
    struct kin__managed object;
    struct kin__managed *pool; /* a reference */
    enum kin__job_kind kind;
    struct kin__chunk *chunks;
    size_t *order; /* chunks as they were done */
    size_t chunk_count;
    size_t done_count;
    size_t at_chunk; /* of an iterator */
    long at_item;
    kin_value error; /* the first one */
    struct kin__links waiters;
};

/* The job that an object is. */
static inline struct kin__job *kin__job_of(struct kin__managed *object)
{
    return (struct kin__job *)(void *)object;
}

/* Makes a job of `pool` with so many chunks to come, as a reference.  NULL: no memory. */
struct kin__job *kin__job_make(struct kin__server *server, struct kin__managed *pool, enum kin__job_kind kind,
                               size_t chunk_count);
/* A chunk is done: answers those who wait for it.  `values` and `error` are used up. */
void kin__job_conclude(struct kin__job *job, size_t chunk, kin_value values, kin_value error);
/* AsyncResult.get, of call->object. */
enum kin__outcome kin__job_get(struct kin__call *call);

#endif
