/* kin/publish.h: finding a family, and the objects in it, by name.
 *
 * A program of the same user that was started by nobody of the family joins it, and is then a
 * member like every other: it uses locks, queues and arrays of the family, and may be killed at
 * any instruction.
 *
 *     …a program…                                …another program…
 *     kin_queue_open(&jobs, NULL);               rc = kin_family_join("printer", kin_in_s(5));
 *     kin_publish("jobs", jobs);                 kin_queue *jobs = kin_find("jobs", KIN_NOW);
 *     kin_family_publish("printer", KIN_NOW);    kin_queue_put(jobs, &page, sizeof page, …);
 *
 * There is no server and no file: a name lives in the memory of the family, and ends with it. */
#ifndef KIN_PUBLISH_H
#define KIN_PUBLISH_H

#include <kin/time.h>

KIN_BEGIN

#define KIN_NAME_SIZE 48 /* of a name, with the NUL at its end */

/* kin_family_publish gives the family a name by which other programs of the same user can join
 * it, for as long as a process of the family lives.  The same name again is no error.  Waits
 * until `deadline` for another family that is about to take the same name.  Looks at every process of
 * the user in /proc: milliseconds.  Safe for threads.
 * Errors: -EEXIST (another living family has the name), -EBUSY (this family has another name),
 * -EINVAL (NULL, empty, or longer than KIN_NAME_SIZE - 1 bytes), -ETIMEDOUT, -ENOENT (/proc is not
 * mounted), -EMFILE, -ENFILE, -ENOMEM, and those of kin_family_open. */
KIN_API int kin_family_publish(const char *name, kin_deadline deadline);

/* kin_family_join makes the calling process a member of the family of that name, waiting until
 * `deadline` while there is none.  It has to come before everything that makes the process's own
 * family.  A process whose user or pid namespace differs finds nothing.
 * Safe for threads.
 * Errors, after which the process belongs to no family: -ENOENT (there was none until the
 * deadline, or /proc is not mounted), KIN_ESTARTED (the process has a family), KIN_ENOREGION (its
 * memory's place is taken in this process), KIN_ELAYOUT, KIN_ENAMESPACE, -ENOMEM (RLIMIT_AS),
 * -EINVAL (NULL, empty, or too long), -EMFILE, -ENFILE; KIN_ESLOTS, after which it belongs to it. */
KIN_API int kin_family_join(const char *name, kin_deadline deadline);

/* kin_publish enters an object or other family memory in the family's list of names.  The
 * pointer is kept as it is: unpublish it before the object is closed.  Waits only for a process
 * inside the list, until it leaves or dies.  Safe for threads.
 * Errors: -EEXIST (the name is taken), KIN_EFOREIGN (not family memory), -EINVAL (NULL, or a name
 * that is empty or too long), -ENOMEM, -EDEADLK (a signal handler that interrupted kin), and those of
 * kin_family_open. */
KIN_API int kin_publish(const char *name, void *object);

/* kin_unpublish takes a name out of the list.  Blocks and is safe like kin_publish.
 * Errors: -ENOENT (there is no such name), -EINVAL (NULL), -EDEADLK. */
KIN_API int kin_unpublish(const char *name);

/* kin_find returns what was published under a name, waiting until `deadline` while there is
 * nothing; or NULL with errno set; kin_strerror(-errno) is its text.  Safe for threads.
 * Errors: ENOENT (nothing until the deadline), ETIMEDOUT (a process that is stopped holds the list),
 * EINVAL (NULL), EDEADLK, and those of kin_family_open. */
KIN_API void *kin_find(const char *name, kin_deadline deadline);

KIN_END
#endif
