/* search.h: the memory files that other processes hold.
 *
 * A memory file has no name in a file system, but whoever may look at a process of the same user
 * finds it in /proc/PID/fd, and may open it there.  The kernel checks that, and forgets the file
 * with its last holder.  Contracts as in os.h. */
#ifndef KIN_OS_SEARCH_H
#define KIN_OS_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called with a descriptor for one such file, which that process holds: true to keep it and end the
 * search, false to have it closed and go on. */
typedef bool kin__os_found(int descriptor, int pid, void *context);

/* TO_JOIN: files and processes of the calling user alone, opened for reading and writing.  TO_READ: all
 * that the kernel lets the caller read, opened for reading. */
enum kin__search { KIN__SEARCH_TO_JOIN, KIN__SEARCH_TO_READ };

/* Opens the memory files named `name` (by kin__os_memory_create) that processes hold, the caller's own
 * too, each once or now and then twice, and shows them to `found`.
 * 1: one was kept; 0: that were all.  A process that forks and ends meanwhile may be missed with
 * what it holds.  Errors: -ENOENT (/proc is not mounted), -EMFILE, -ENFILE, -ENOMEM. */
int kin__os_memory_search(const char *name, enum kin__search how, kin__os_found *found, void *context);

/* Whose a file is, and how many bytes of memory are behind it. */
int kin__os_file_usage(int descriptor, unsigned *user, uint64_t *bytes);

/* Reads `size` bytes of a file from `offset` on: 0, or -EIO where it is shorter. */
int kin__os_read_at(int descriptor, void *buffer, size_t size, uint64_t offset);

#endif
