/* fork.h: forking a child that ends with its parent, for every part of kin that has children.
 *
 * - The kernel kills the child (SIGKILL) when the process that forked it ends, however that
 *   ends; the end of the thread that forked it means nothing.
 * - No child of this process, be it one of a plain fork, keeps the line that says whether
 *   this process lives; programs started by exec do not inherit it.
 * - Whatever can fail, fails before the child has done anything: it goes on once its parent
 *   has the descriptor for it.
 */
#ifndef KIN_PROCESS_FORK_H
#define KIN_PROCESS_FORK_H

#include <stdbool.h>

/* Flushes stdio and forks.  The parent gets the child's pid, and in `*descriptor` a process
 * descriptor that it closes when it has collected the child; the child gets 0.  Safe for
 * threads; only the calling one exists in the child.
 * Errors: -EAGAIN, -ENOMEM, -EMFILE, -ENFILE, -ENOENT (/proc is not mounted). */
int kin__child_fork(int *descriptor);

/* Makes what the next program that this process starts will hold, so that the kernel sends it
 * SIGKILL when this process is gone: see kin__os_lifeline_open.  The caller closes its copy.
 * Errors: as kin__child_fork. */
int kin__child_line(void);

/* In a process that its parent has not forked itself: holds the line that it was given.  -EPIPE: the
 * parent is gone. */
int kin__child_adopt(int lifeline);

/* In a child: the kernel sends it this signal, not SIGKILL, when its parent is gone; the handler ends the process.
 * -EPIPE: the parent is gone; -ESRCH: there is no line to it. */
int kin__child_signal(int signal);

/* Around the start of a program.  Between these no other process of this program is forked, so that none
 * inherits a pipe that is meant for that one alone and is closed here before `done`.  When it is not
 * forked itself, several threads may be between them at once; none may take the lock below, or fork,
 * meanwhile.  When it is (`forks`), they hold that lock. */
void kin__child_begin(bool forks);
void kin__child_done(bool forks);

/* The lock of what every fork has to find at rest.  For short sections without a fork. */
void kin__child_lock(void);
void kin__child_unlock(void);

/* What the child does last, before kin__os_exit_now: waits for its threads, ends its own children as
 * every process does at exit, and flushes stdio.  Returns the code to exit with. */
int kin__child_finish(int code);

#endif
