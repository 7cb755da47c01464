/* shared_memory.h: making a block of memory in two steps, for who fills it in before others see it. */
#ifndef KIN_SHARED_SHARED_MEMORY_H
#define KIN_SHARED_SHARED_MEMORY_H

#include <kin/shared_memory.h>

/* As kin_shared_memory_create, but nobody finds the block by its name yet.  With a name of NULL it
 * gets a new one. */
int kin__shared_memory_make(kin_shared_memory **block, const char *name, size_t size, bool keep);
/* From now on it is found: 0, or an error (-EEXIST), after which the block has been closed. */
int kin__shared_memory_publish(kin_shared_memory *block);

#endif
