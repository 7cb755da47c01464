/* remote.h: objects that live in a manager and are used like those of the family.
 *
 * A queue or lock that was opened with an address is a note in family memory of where it is.  The
 * functions for the local one do not know its magic word; on their way to say so they look whether
 * it is this one, and then the layer of the manager (manager/remote.c) does the call.  So a local
 * object pays nothing.
 */
#ifndef KIN_MEMORY_REMOTE_H
#define KIN_MEMORY_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/queue.h>
#include <kin/time.h>

#include "memory/region.h"

#define KIN__MAGIC_REMOTE        0x65746f6d65726b01ull
#define KIN__MAGIC_REMOTE_CLOSED 0x65746f6d65726b02ull

struct kin__remote;

/* Is a pointer that is no local object one of these, or was it until it was closed?  Then the calls below say so. */
static inline bool kin__is_remote(const void *object)
{
    return kin__check(object, 0, KIN__MAGIC_REMOTE) == 0 ||
           kin__check(object, 0, KIN__MAGIC_REMOTE_CLOSED) == 0;
}

/* ---- what the layer of the manager provides ---------------------------------------------------- */

/* PRIVATE.  Where such an object is.
 *   address    where the manager listens.
 *   name       what the manager calls it.
 *   method     what it has to be able to do, or it is one of another type. */
struct kin__place {
    const char *address;
    const void *key;
    size_t key_size;
    const char *name;
    const char *method;
};

/* Connects to the manager of that place and stores in `*object` a note of the object.  Waits some seconds
 * at most.  Errors: those of kin_manager_connect and kin_manager_create, KIN_EKIND (another type), -ENOMEM. */
int kin__remote_open(void **object, const struct kin__place *place);
int kin__remote_close(void *object);

/* As the public functions of the same names. */
int kin__remote_put(void *queue, const void *message, size_t size, kin_deadline deadline);
long kin__remote_get(void *queue, void *buffer, size_t capacity, kin_deadline deadline);
int kin__remote_reserve(void *queue, void **message, size_t size);
int kin__remote_commit(void *queue, void *message, kin_deadline deadline);
long kin__remote_take(void *queue, void **message, kin_deadline deadline);
long kin__remote_put_many(void *queue, const kin_message *messages, size_t count, kin_deadline deadline);
long kin__remote_get_many(void *queue, kin_message *messages, size_t count, void *buffer, size_t capacity,
                          kin_deadline deadline);
int kin__remote_shutdown(void *queue, bool immediate);
long kin__remote_qsize(void *queue);
int kin__remote_full(void *queue);
int kin__remote_task_done(void *queue);
int kin__remote_join(void *queue, kin_deadline deadline);

struct kin_value;
int kin__remote_put_value(void *queue, const struct kin_value *value, kin_deadline deadline);
int kin__remote_get_value(void *queue, struct kin_value *value, kin_deadline deadline);

int kin__remote_acquire(void *lock, kin_deadline deadline);
int kin__remote_release(void *lock);
int kin__remote_locked(void *lock);

#endif
