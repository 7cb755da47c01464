/* tree.h: ending a process with all its descendants, for every part of kin that starts some.
 *
 * Descendants are: children of one of them; what is in a process group or a session that one of
 * them leads; what is in the control group; and what holds one of the files (pipes that only this
 * tree can have).  Docs: docs/design/026-ending-a-tree.md.
 */
#ifndef KIN_PROCESS_TREE_H
#define KIN_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

#include "os/processes.h"

struct kin__root {
    int pid;
    int descriptor; /* of the process; stays the caller's */
};

struct kin__tree {
    const struct kin__root *roots; /* processes that this one has started */
    size_t count;
    int64_t since;      /* boot clock: nothing that is older belongs to it; 0: than the first root */
    bool leads;         /* the roots lead a group or a session from their beginning */
    const char *cgroup; /* NULL: none */
    const struct kin__file *files;
    size_t file_count;
};

/* Sends SIGTERM to the tree, and SIGKILL to what is left of it at `grace`, and waits until nothing
 * is left.  Collects no status.
 * Errors: -ETIMEDOUT (the kernel has not ended a killed one for 5 seconds), -EPERM (one belongs to
 * another user; the others are ended), -ENOENT (/proc is not mounted; the roots are ended),
 * -ENOMEM, -EMFILE. */
int kin__tree_end(const struct kin__tree *tree, kin_deadline grace);

#endif
