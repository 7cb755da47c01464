/* manager.h: a client's handle of a manager, as proxies use it. */
#ifndef KIN_MANAGER_MANAGER_H
#define KIN_MANAGER_MANAGER_H

#include <kin/manager.h>

#include "manager/client.h"

/* A call of an object, over the calling thread's connection; a call of the server.  `arguments` are
 * used up; `result` is None after an error.  Errors: see kin_proxy_call. */
int kin__manager_call(kin_manager *manager, const char *ident, const char *method,
                      struct kin__arguments arguments, kin_value *result, kin_deadline deadline);
int kin__manager_server_call(kin_manager *manager, const char *method, struct kin__arguments arguments,
                             kin_value *result, kin_deadline deadline);

#endif
