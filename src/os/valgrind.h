/* valgrind.h: what valgrind is asked and told.  Its header is there where the package valgrind was installed
 * when kin was built; a kin built without it works under valgrind only with a family that was opened small, and
 * its coroutines look to valgrind like a stack that jumps. */
#ifndef KIN_OS_VALGRIND_H
#define KIN_OS_VALGRIND_H

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND                 0
#define VALGRIND_STACK_REGISTER(start, end) 0u
#define VALGRIND_STACK_DEREGISTER(id)       ((void)(id))
#endif

#endif
