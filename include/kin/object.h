/* kin/object.h: values that stand for Python's objects: exceptions, classes, instances, and the
 * tokens and proxies of managers.
 *
 * They are inert: a name with arguments and a state.  Nothing is imported, nothing is called.
 * A class is named as "module.name", or "name" alone when it is one of Python's builtins.
 */
#ifndef KIN_OBJECT_H
#define KIN_OBJECT_H

#include <kin/value.h>

KIN_BEGIN

/* kin_value_class makes the name of a class or function.  Fails with -EINVAL (not a name). */
KIN_API kin_value kin_value_class(const char *name);

/* kin_value_error makes an exception from its class and the tuple of its arguments; kin_value_errorf
 * one whose only argument is a text as by printf.
 *     kin_value_error("KeyError", kin_value_build("(s)", "name"))
 * Fail with -EINVAL (not a name), KIN_EKIND (`arguments` is no tuple), -ENOMEM. */
KIN_API kin_value kin_value_error(const char *name, kin_value arguments);
KIN_API kin_value kin_value_errorf(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* kin_value_error_set_traceback notes the text of the traceback where it was raised.
 * Errors: KIN_EKIND, -EILSEQ, -ENOMEM. */
KIN_API int kin_value_error_set_traceback(kin_value *error, const char *text);
/* kin_value_error_traceback returns that text, or NULL. */
KIN_API const char *kin_value_error_traceback(const kin_value *error);

/* kin_value_object makes an instance: the class, the tuple of arguments that it is made with, and
 * its state (None, or the dict of its attributes).  Fails like kin_value_error. */
KIN_API kin_value kin_value_object(const char *name, kin_value arguments, kin_value state);

/* kin_value_class_module and kin_value_class_name name the class of a class, error, object or
 * proxy ("builtins" and "KeyError"); NULL for other kinds.  kin_value_class_is compares both. */
KIN_API const char *kin_value_class_module(const kin_value *value);
KIN_API const char *kin_value_class_name(const kin_value *value);
KIN_API bool kin_value_class_is(const kin_value *value, const char *name);

/* kin_value_arguments returns the tuple of arguments of an error or object; kin_value_state the
 * state of an error or object (None or a dict).  NULL for other kinds. */
KIN_API const kin_value *kin_value_arguments(const kin_value *value);
KIN_API const kin_value *kin_value_state(const kin_value *value);

/* kin_value_token names an object of a manager: its type, the manager's address (a tuple of host and
 * port, a str or bytes), its id.  Fails with -EILSEQ, -EINVAL, -ENOMEM. */
KIN_API kin_value kin_value_token(const char *type, kin_value address, const char *id);

/* kin_value_proxy makes a proxy for a token: its class, such as
 * "multiprocessing.managers.DictProxy", and for AutoProxy the tuple or list of the method names
 * (otherwise None). */
KIN_API kin_value kin_value_proxy(const char *name, kin_value token, kin_value exposed);

/* kin_value_token_type, _address and _id read a token, or that of a proxy; NULL for other kinds. */
KIN_API const char *kin_value_token_type(const kin_value *value);
KIN_API const kin_value *kin_value_token_address(const kin_value *value);
KIN_API const char *kin_value_token_id(const kin_value *value);
/* kin_value_proxy_exposed returns the method names, or NULL when it carries none. */
KIN_API const kin_value *kin_value_proxy_exposed(const kin_value *value);

/* kin_value_slice_part returns start (0), stop (1) or step (2) of a slice or range, or NULL. */
KIN_API const kin_value *kin_value_slice_part(const kin_value *value, int part);
/* kin_value_slice_over resolves a slice for a sequence of `length`, as Python's slice.indices does:
 * `count` items, the first at `start`, each `step` further.
 * Errors: KIN_EKIND, -EINVAL (step is 0). */
KIN_API int kin_value_slice_over(const kin_value *slice, long length, long *start, long *step, long *count);

KIN_END
#endif
