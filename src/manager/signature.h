/* signature.h: from the arguments of a call to the parameters of its method. */
#ifndef KIN_MANAGER_SIGNATURE_H
#define KIN_MANAGER_SIGNATURE_H

#include "manager/server.h"

/* Stores the arguments in call->argument by the parameters of call->method.  KIN__RAISE: they do not fit,
 * and the exception is Python's, in its words. */
enum kin__outcome kin__bind(struct kin__call *call);

#endif
