/* faults.h: makes the n-th call of the operating system fail, for every n, under a constructor.
 *
 *     static int open_queue(void *context) { return kin_queue_open(context, NULL); }
 *     static int close_queue(void *context) { return kin_queue_close(*(kin_queue **)context); }
 *     TEST(queue_open_under_faults)
 *     {
 *         kin_queue *queue;
 *         struct faults_report report = faults(&(struct faults){
 *             .make = open_queue, .unmake = close_queue, .context = &queue});
 *         CHECK_GT(report.failures, 0);
 *     }
 *
 * For each kind of call, for the first call, the second and so on, once with that call failing
 * alone and once with all after it too, it calls `make`, until no call fails any more.  When
 * `make` failed, nothing may be left behind: descriptors, mappings, threads, children, blocks
 * of family memory; and it has to say why: the error that was injected, or one that `accepts`
 * knows.  When it succeeded all the same, `unmake` follows.  After each kind `make` is tried
 * without faults, to show that the state is usable.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

#include "os/os.h"

struct faults {
    int (*make)(void *context);                                     /* negative: failed */
    int (*unmake)(void *context);                                   /* after a make that succeeded */
    bool (*accepts)(void *context, enum kin__fault kind, int code); /* besides the injected one */
    void *context;
    unsigned kinds; /* bits 1 << KIN__FAULT_...; 0: all */
    bool cold;      /* do not call make and unmake once before, to warm up what is kept for good */
};

struct faults_report {
    unsigned injected; /* calls of the system that were made to fail, sticky ones once */
    unsigned failures; /* makes that failed */
    unsigned survived; /* makes that succeeded in spite of a fault */
};

struct faults_report faults(const struct faults *plan);

#endif
