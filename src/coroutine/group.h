/* group.h: coroutines that are waited for and cancelled together. */
#ifndef KIN_COROUTINE_GROUP_H
#define KIN_COROUTINE_GROUP_H

#include "coroutine/loop.h"

int kin__group_may_enter(const kin_group *group, const struct kin__loop *loop);
void kin__group_enter(kin_group *group, kin_coroutine *coroutine);
/* A member has ended, with its result. */
void kin__group_left(kin_group *group, kin_coroutine *coroutine);

#endif
