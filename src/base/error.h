/* error.h: what the error space keeps for the calling thread. */
#ifndef KIN_BASE_ERROR_H
#define KIN_BASE_ERROR_H

#include <kin/error.h>

/* What kin_needed_size returns from now on in this thread. */
void kin__needed_size_set(size_t size);

#endif
