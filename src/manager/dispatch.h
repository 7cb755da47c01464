/* dispatch.h: from a request to a method, and from its outcome to an answer. */
#ifndef KIN_MANAGER_DISPATCH_H
#define KIN_MANAGER_DISPATCH_H

#include "manager/server.h"

/* Does what a message of a session asks for, and answers it unless it is parked. */
void kin__dispatch(struct kin__session *session, const uint8_t *message, size_t size);
/* Does a message say that the client does not come back? */
bool kin__dispatch_leaves(const uint8_t *message, size_t size);
/* Is it the request of a client that tells its name, and was here before? */
bool kin__dispatch_returns(const struct kin__session *session, const uint8_t *message, size_t size);

/* ---- what methods begin and end with ------------------------------------------------------ */

static inline enum kin__outcome kin__return(struct kin__call *call, kin_value value)
{
    call->result = value;
    return KIN__RETURN;
}

static inline enum kin__outcome kin__return_none(struct kin__call *call)
{
    return kin__return(call, kin_value_none());
}

/* Raises an exception of Python's: its class, and the arguments it is made with. */
static inline enum kin__outcome kin__raise(struct kin__call *call, kin_value exception)
{
    call->result = exception;
    return KIN__RAISE;
}

#define kin__raisef(call, ...) kin__raise(call, kin_value_errorf(__VA_ARGS__))

/* What stands for a failure of kin_value_…: MemoryError, TypeError, … */
kin_value kin__exception_of_code(int code);
enum kin__outcome kin__raise_code(struct kin__call *call, int code);

/* Readers of arguments: a missing one leaves `*value` as it is.  They return false after having
 * raised what Python would. */
void kin__argument_truth(const kin_value *argument, bool *value);
bool kin__argument_int(struct kin__call *call, const kin_value *argument, int64_t *value);
/* Seconds to wait: None is no limit, -1; less than 0 is 0.  `sign` is what Python does with them, and says so
 * of what is no number: compare ("<" or ">") or add ("+"); NULL: it only reads them. */
bool kin__argument_timeout(struct kin__call *call, const kin_value *argument, const char *sign,
                           double *seconds);
/* Is it longer than Python can wait?  false: it is, and OverflowError was raised. */
bool kin__can_wait(struct kin__call *call, double seconds);

/* Raises that a value can be no key, nor an item of a set; what is in it may be the reason. */
enum kin__outcome kin__unhashable(struct kin__call *call, const kin_value *value);

/* Makes an object of the type of that name, or finds the one that everybody shares; call->arguments
 * from call->skip on are for it.  KIN__RETURN: call->created is a reference. */
enum kin__outcome kin__create(struct kin__call *call, const char *name);

/* May there be one object more?  false: there are as many as there may be, and MemoryError was raised. */
bool kin__may_make(struct kin__call *call);

/* Sets call->object up again from call->arguments and call->keywords. */
enum kin__outcome kin__invoke_make(struct kin__call *call);

/* What Python's repr() prints, as a str. */
kin_value kin__repr(const kin_value *value);

#endif
