/* child.h: what this process is as somebody's child, and what it does last. */
#ifndef KIN_PROCESS_CHILD_H
#define KIN_PROCESS_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/connection.h>

#include "process/process.h"

/* In a child that was forked from its parent: what was the parent's handle for it. */
void kin__child_forked(kin_process *handle);
/* In any other child. */
void kin__child_become(const char name[KIN__PROCESS_NAME_SIZE], bool daemon, int parent,
                       const char *parent_name);
/* In a child: the lists stay. */
void kin__child_given(kin_connection *const *connections, size_t connection_count, const int *descriptors,
                      size_t descriptor_count);

/* Is that the handle of this very process, or of its parent? */
bool kin__child_is_self(const kin_process *process);
bool kin__child_is_parent(const kin_process *process);

/* Makes sure that what has to be done at the end of this process is done, also by exit.  -ENOMEM. */
int kin__child_prepare(void);

#endif
