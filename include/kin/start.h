/* kin/start.h: the ways in which a child process comes to be.
 *
 *     int main(int argc, char **argv)
 *     {
 *         kin_main(&argc, &argv);
 *         kin_set_start_method(KIN_FORKSERVER);
 *         …
 *
 * KIN_FORK copies the caller: its memory, at a cost that grows with it, and of its threads the one that
 * calls, whatever locks the others hold.  KIN_SPAWN executes the program again, and KIN_FORKSERVER
 * copies a helper that has been so executed: their children have nothing of the caller but what they
 * are given, and family memory.  The cost does not grow with the caller; a helper's is that of a small
 * fork. */
#ifndef KIN_START_H
#define KIN_START_H

#include <kin/process.h>

KIN_BEGIN

/* kin_main stands first in main.  In a program that was begun as such it returns at once.  In one that
 * kin has begun for KIN_SPAWN or KIN_FORKSERVER it does what is to be done, and does not return.  Both
 * pointers are main's. */
KIN_API void kin_main(int *argc, char ***argv);

/* kin_set_start_method sets what KIN_START_DEFAULT means, in this process and in the children it will
 * have: once, and before the first start.  kin_get_start_method returns what it means.  Safe for threads.
 * Errors: -EINVAL (no method), KIN_ESTARTED (it was set, or a child was started, before). */
KIN_API int kin_set_start_method(enum kin_start_method method);
KIN_API enum kin_start_method kin_get_start_method(void);

/* kin_set_forkserver_preload makes this process's helper call `function` once, at its beginning: what
 * it loads or computes, all children have.  It leaves no thread behind.  Before the first start by
 * KIN_FORKSERVER.  Safe for threads.
 * Errors: -EINVAL (NULL), KIN_ENOTCODE, KIN_EFUNCTION (a library without a build id), KIN_ESTARTED. */
KIN_API int kin_set_forkserver_preload(void (*function)(void));

/* KIN_TARGET(function), in a source file, makes a kin_process_function known by its name, for
 * kin_process_options.target. */
typedef struct kin_target {
    const char *name;
    kin_process_function *function;
    struct kin_target *next;
} kin_target;
#define KIN_TARGET(function) \
    __attribute__((constructor)) static void function##__kin_register(void) \
    { \
        static kin_target target = {#function, function, NULL}; \
        kin_target_register(&target); \
    }

/* kin_target_register is what KIN_TARGET calls: `target` stays.  A later one of the same name hides the
 * earlier.  Before other threads start processes.  Does not block.  Errors: none. */
KIN_API void kin_target_register(kin_target *target);

KIN_END
#endif
