/* stand_in.h: what stands for the descriptor of a child where the kernel, or who stands between it and us, gives
 * none: valgrind 3.19 has no pidfd_open.  The calls of os.h that take such a descriptor take this too, of this process's
 * own children.
 *
 * A pipe whose writing end the child alone keeps: it hangs up when the child is gone, or has become another
 * program.  The rest goes by pid, which is the child's own until it is collected. */
#ifndef KIN_OS_STAND_IN_H
#define KIN_OS_STAND_IN_H

#include <stdbool.h>

/* They are needed; what is asked before everything here, so that nobody else pays for it. */
extern bool kin__os_stand_ins;

/* From now on they are.  False: they have been. */
bool kin__os_stand_in_begin(void);

/* Makes one before the fork, for the child that the parent enters afterwards: ends[0] is its descriptor, ends[1] what
 * the child keeps open and the parent closes.  -EMFILE. */
int kin__os_stand_in_make(int ends[2]);
void kin__os_stand_in_enter(int descriptor, int pid);
/* Another one for a child of this process.  -ENOSYS: it is none. */
int kin__os_stand_in_open(int pid);
/* A descriptor of this number is another one. */
void kin__os_stand_in_forget(int descriptor);

/* The child of this process that a descriptor stands for; 0: none.  -ESRCH: it has been collected. */
int kin__os_stand_in_child(int descriptor);

#endif
