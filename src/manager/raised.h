/* raised.h: what the calling thread's last call of a queue or lock of a manager, opened with an address, failed with:
 * kin_manager_error(NULL).  Such a thread has no handle of the manager to ask, and after an opening that failed there is
 * none. */
#ifndef KIN_MANAGER_RAISED_H
#define KIN_MANAGER_RAISED_H

#include <kin/value.h>

/* Notes a reference to it; NULL: the call has not failed yet, or nobody has raised anything.  Without memory for it there
 * is nothing either. */
void kin__raised_set(const kin_value *error);

#endif
