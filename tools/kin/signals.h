/* signals.h: the signals that end a run, and those that tell the end of a child, as events. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>

/* Blocks the signals that end a run and SIGCHLD, ignores SIGPIPE, and returns a descriptor that is readable
 * when one has come; or -errno.  SIGHUP stays ignored if it was. */
int signals_open(void);
void signals_close(void);
/* Takes the next signal; 0 when there is none. */
int signals_next(void);
/* Gives a new process back what the tool was started with.  Between vfork and exec. */
void signals_restore(void);

#endif
