/* cgroup.h: control groups, version 2: finding them, making them, reading what happened in them.
 * The rules of os.h hold here too. */
#ifndef KIN_OS_CGROUP_H
#define KIN_OS_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/* Stores the directory of the calling process's own group.  -ENOENT: there are none of version 2, or
 * this process's is not to be seen here; -ENAMETOOLONG. */
int kin__os_cgroup_own(char *directory, size_t size);

/* Makes a group of that name below `parent`, or removes one: -EBUSY while processes are in it. */
int kin__os_cgroup_make(const char *parent, const char *name, char *directory, size_t size);
int kin__os_cgroup_remove(const char *directory);

/* Writes to one of its files.  Errors are those of open and write, -EBUSY, -EACCES and -ENOENT among them. */
int kin__os_cgroup_write(const char *directory, const char *file, const char *text);
/* 1 when the file, which is a list of words, has this one, otherwise 0. */
int kin__os_cgroup_lists(const char *directory, const char *file, const char *word);
/* The number behind `key` in one of its files, or alone in it (key NULL); "max" is INT64_MAX.
 * -ENOENT: there is no such file or key. */
int64_t kin__os_cgroup_number(const char *directory, const char *file, const char *key);

/* Calls `found` for each group below `parent`, with its name. */
int kin__os_cgroup_each(const char *parent, void (*found)(const char *parent, const char *name));

/* The pids in a group: kills them all where the kernel can (since 5.14; -ENOENT before), or lists
 * them for kin__os_free. */
int kin__os_cgroup_kill(const char *directory);
int kin__os_cgroup_pids(const char *directory, int **pids, size_t *count);

#endif
