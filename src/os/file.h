/* file.h: whole files, a contract for each call; see os.h for what holds for all. */
#ifndef KIN_OS_FILE_H
#define KIN_OS_FILE_H

#include <stddef.h>

/* Reads a file into memory that free() gives back; `*data` is never NULL after a success.
 * -ENOENT and others. */
int kin__os_file_read(const char *path, unsigned char **data, size_t *size);

/* Puts a file in the place of another: written beside it (path with ".new" behind), synced and renamed, so
 * that whoever opens `path` at any moment, also after a crash of the system, finds the old one or the new
 * one, whole.  It can be read by its user alone.  -ENOSPC, -EIO, -EACCES and others, after which the old one
 * is there. */
int kin__os_file_replace(const char *path, const void *data, size_t size);

/* Makes the file that `path` names this process's, and that of the children it forks, as long as one of them has
 * `*descriptor` open: by a lock of the file `path` with ".lock" behind, since `path` itself is replaced.
 * -EBUSY: another has it; others. */
int kin__os_file_claim(const char *path, int *descriptor);
/* Gives it up, and removes that file; whoever claims it at this moment notices. */
void kin__os_file_disclaim(const char *path, int descriptor);

#endif
