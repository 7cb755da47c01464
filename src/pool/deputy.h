/* deputy.h: workers of a pool that are in other programs: the pool's side.
 *
 * Each connection of such a worker is stood for by a process of the pool, a *deputy*: a worker like the
 * others, except that it sends a task's function by name and its argument as bytes, and waits for the
 * answer. So all that holds for workers (claims, deadlines, cancelling, priorities, what a death
 * means) holds for those on other machines without being written twice.
 */
#ifndef KIN_POOL_DEPUTY_H
#define KIN_POOL_DEPUTY_H

#include <stdbool.h>

#include <kin/connection.h>

#include "pool/pool.h"

/* What came of a task, or of some items of a map, that a deputy has sent. */
enum kin__deputy_outcome {
    KIN__DEPUTY_DONE,  /* answered */
    KIN__DEPUTY_DIED,  /* the process that ran it there has died, as *failure says */
    KIN__DEPUTY_LOST,  /* the connection ended after it was begun: who knows */
    KIN__DEPUTY_UNSENT /* the connection ended before it was begun: it is nobody's fault */
};

/* Makes this process, which was just forked, the deputy for that connection and greets the other side.
 * 0, or why it is no worker. */
int kin__deputy_greet(kin_pool *pool, unsigned index, kin_connection *connection);
/* Is this process a deputy? */
bool kin__deputy_here(void);
/* Hears and says that the other side is there; false when it is not any more. */
bool kin__deputy_alive(void);
/* The pool is closed or terminated: says so. */
void kin__deputy_farewell(void);

/* Runs a task of bytes that is CLAIMED.  *code: what its function returned; the reply is in the record. */
enum kin__deputy_outcome kin__deputy_task(kin_result *record, int *code, kin_failure *failure);

/* PRIVATE.  `count` items, of one array or of several, for a function.
 *   done, code   out: how many were finished; if not all, what the next one returned.
 *   ran_ns       out: how long the function ran there for those of which that is known. */
struct kin__deputy_items {
    const char *function;
    unsigned inputs;
    const void *in[KIN_INPUTS_MOST];
    size_t in_size[KIN_INPUTS_MOST];
    void *out;
    size_t out_size, count, done;
    int code;
    int64_t ran_ns;
};
enum kin__deputy_outcome kin__deputy_items(struct kin__deputy_items *items, kin_failure *failure);

#endif
