/* worker.h: what is known of the worker that this process may be.
 *
 * How it says why it ends: any other exit is the task's doing. */
#ifndef KIN_POOL_WORKER_H
#define KIN_POOL_WORKER_H

enum {
    KIN__WORKER_RECYCLE = 240, /* it has done its number of tasks */
    KIN__WORKER_INITIALIZER = 241,
    KIN__WORKER_NO_FAMILY = 242, /* it could not join: no memory, no slot */
    KIN__WORKER_NO_QUEUE = 243
};

struct kin_pool;

/* From here on this process, or of a pool of threads the calling thread, is that worker; own.c. */
void kin__own_set(struct kin_pool *pool, unsigned index);
/* The calling thread is none any more. */
void kin__own_leave(void);
/* The pool whose worker this thread is, or else this process, or NULL. */
struct kin_pool *kin__own_pool(void);

#endif
