/* descriptors.h: waiting for descriptors in a coroutine. */
#ifndef KIN_COROUTINE_DESCRIPTORS_H
#define KIN_COROUTINE_DESCRIPTORS_H

#include "coroutine/loop.h"
#include "os/os.h"

/* What kin__os_poll does, for the running coroutine. */
int kin__descriptors_wait(struct kin__loop *loop, struct kin__poll *items, size_t count,
                          kin_deadline deadline);

#endif
