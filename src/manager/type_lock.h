/* type_lock.h: the locks of a manager, for what is made of them. */
#ifndef KIN_MANAGER_TYPE_LOCK_H
#define KIN_MANAGER_TYPE_LOCK_H

#include "manager/server.h"

/* Is the object a lock or semaphore? */
bool kin__is_lock(const struct kin__managed *object);
/* Is it acquired by this client (one that is not owned: by anybody)? */
bool kin__lock_is_held(struct kin__managed *lock, struct kin__session *session);
/* A condition's wait: gives all up that the client holds; returns how much that was. */
unsigned kin__lock_give_up(struct kin__server *server, struct kin__managed *lock,
                           struct kin__session *session);
/* … and lets the parked session acquire so much again, behind those who wait already. */
void kin__lock_take_again(struct kin__managed *lock, struct kin__session *session);

/* The methods of a lock, for an object that is used as one; call->object is the lock. */
enum kin__outcome kin__lock_acquire(struct kin__call *call);
enum kin__outcome kin__lock_release(struct kin__call *call);
enum kin__outcome kin__lock_locked(struct kin__call *call);

#endif
