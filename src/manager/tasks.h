/* tasks.h: the server's pool of workers, in which tasks run that clients ask for by name. */
#ifndef KIN_MANAGER_TASKS_H
#define KIN_MANAGER_TASKS_H

#include "manager/server.h"

/* How the items of a task become calls: each is the one argument, or a tuple or list of all. */
enum kin__spread { KIN__EACH, KIN__STAR };

/* A task in work: a function over some items.  The first part is who asks for it fills in. */
struct kin__task {
    const kin_manager_task *function;
    enum kin__spread spread;
    kin_value items;    /* a list */
    kin_value keywords; /* a dict, or None */
    /* Called when it is done; frees the task.  `values` is a list of what the calls returned, up to the
     * first that failed; `error` is the exception of that one, or None.  Both are used up. */
    void (*done)(struct kin__server *server, struct kin__task *task, kin_value values, kin_value error);

    struct kin_result *result;
};

/* Starts the workers, if there are functions.  Before the loop is made: they must not have its
 * descriptors.  Errors: those of kin_pool_open. */
int kin__tasks_open(struct kin__server *server);
/* Listens for results in the server's loop.  kin__tasks_stop no longer. */
int kin__tasks_begin(struct kin__server *server);
void kin__tasks_stop(struct kin__server *server);
void kin__tasks_close(struct kin__server *server);

/* The function of that name, or NULL. */
const kin_manager_task *kin__tasks_find(struct kin__server *server, const char *name);
unsigned kin__tasks_workers(struct kin__server *server);

/* Hands a task to the workers.  -EAGAIN: they have enough to do; otherwise those of kin_pool_submit
 * and kin_pickle_dumps. */
int kin__task_submit(struct kin__server *server, struct kin__task *task);
/* It is ended, and what comes of it is of no interest any more; `done` is not called. */
void kin__task_drop(struct kin__server *server, struct kin__task *task);

#endif
