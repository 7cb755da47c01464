/* group.h: the control group of a process or a command, if it has one of its own.
 * Docs: docs/design/060-control-groups.md. */
#ifndef KIN_PROCESS_GROUP_H
#define KIN_PROCESS_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include <kin/limits.h>

/* Private memory of the handle. */
struct kin__group {
    char *directory; /* NULL: none of its own */
    bool made;       /* by kin, which removes it */
};

/* Finds or makes the group that the limits ask for, and sets it.  0 and no directory when they ask for
 * none.  Errors with words (words.h): -ENOENT, -EACCES, -EPERM, -EROFS, -EBUSY, -EOPNOTSUPP, -ENOMEM. */
int kin__group_open(struct kin__group *group, const kin_limits *limits);
/* Forgets the group, and removes it if that is kin's to do.  One in which there still are processes
 * stays, and is removed by a later start of this program or of another. */
void kin__group_close(struct kin__group *group);

#endif
