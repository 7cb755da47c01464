/* worker.h: how a worker process says why it ends.  Any other exit is the task's doing. */
#ifndef KIN_POOL_WORKER_H
#define KIN_POOL_WORKER_H

enum {
    KIN__WORKER_RECYCLE = 240, /* it has done its number of tasks */
    KIN__WORKER_INITIALIZER = 241,
    KIN__WORKER_NO_FAMILY = 242, /* it could not join: no memory, no slot */
    KIN__WORKER_NO_QUEUE = 243
};

#endif
