/* snapshot.h: the objects of a manager in a file, and back. */
#ifndef KIN_MANAGER_SNAPSHOT_H
#define KIN_MANAGER_SNAPSHOT_H

#include "manager/server.h"

/* Claims the file of the options and makes the objects that it holds; no file is none.  Errors: -EBUSY (it is
 * another manager's), KIN_ESNAPSHOT (it is not whole, or the next writing would lose something of it), those of
 * reading it, -ENOMEM; all with words (process/words.h). */
int kin__snapshot_open(struct kin__server *server, const kin_manager_options *options);
/* Frees what belongs to that.  `ended`: the server has, and not only this process's copy of it. */
void kin__snapshot_close(struct kin__server *server, bool ended);

/* Writes a snapshot at intervals from now on, in the loop; kin__snapshots_end does not any more, and waits
 * for one that is being written. */
void kin__snapshots_begin(struct kin__server *server);
void kin__snapshots_end(struct kin__server *server);

/* Writes the file now.  Errors: those of the file system, -ENOMEM. */
int kin__snapshot_write(struct kin__server *server);

#endif
