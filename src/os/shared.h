/* shared.h: named shared memory as POSIX and Python know it: files in /dev/shm.
 *
 * A file that kin made is *counted*: whoever uses it holds a shared lock (flock) on it, which
 * children inherit and the kernel drops with the last of them, and a guard waits for that: a
 * process that takes the lock once nobody else has it, removes the name and ends.  The sticky bit
 * of the file says that it is counted.  Contracts as in os.h; a name has no slash. */
#ifndef KIN_OS_SHARED_H
#define KIN_OS_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIN__SHARED_NAME_MOST 254
#define KIN__SHARED_PATH_SIZE (sizeof "/dev/shm/" + KIN__SHARED_NAME_MOST)
/* The path of a name that is not longer than that. */
void kin__os_shared_path(char path[KIN__SHARED_PATH_SIZE], const char *name);

/* Makes a file of `size` bytes with memory behind them, without a name, and returns its
 * descriptor.  If it is `counted`, the caller uses it from now on, and its guard watches over
 * `path`.  Whatever dies, nothing is left.  -ENOSPC: no room in /dev/shm. */
int kin__os_shared_create(const char *path, uint64_t size, bool counted);
/* Gives it the path, in one step: 0, -EEXIST. */
int kin__os_shared_publish(int descriptor, const char *path);
/* Opens the file at that path, as one who uses it, and returns its descriptor.  -ENOENT: there is
 * none, or it is on its way out. */
int kin__os_shared_open(const char *path, uint64_t *size);
/* Maps it wherever there is room. */
int kin__os_shared_map(int descriptor, uint64_t size, void **address);
/* Closes the descriptor; a counted file that nobody uses any more is removed. */
int kin__os_shared_close(int descriptor, const char *path);
/* Removes what is at the path, if it is still that file: 0, -ENOENT. */
int kin__os_shared_remove(int descriptor, const char *path);
/* Removes counted files of this user that nobody uses: those whose guards were killed too. */
void kin__os_shared_sweep(void);

/* Starts the guard of a file that has no user yet, and makes the caller one; see guard.c. */
int kin__os_guard_start(int descriptor, const char *path);

#endif
