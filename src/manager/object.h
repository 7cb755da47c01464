/* object.h: the objects of a manager by their numbers, and who refers to them. */
#ifndef KIN_MANAGER_OBJECT_H
#define KIN_MANAGER_OBJECT_H

#include "manager/server.h"

#define KIN__IDENT_SIZE 14

/* Makes an object of a type, zeroed, with one reference.  NULL: no memory. */
struct kin__managed *kin__managed_make(struct kin__server *server, const struct kin__type *type);
/* The same with the name it had in another life of the manager, which nobody has now.  Errors: -ENOMEM; -EINVAL:
 * that is no name. */
int kin__managed_make_named(struct kin__server *server, const struct kin__type *type, const char *ident);
/* Frees an object that could not be set up. */
void kin__managed_unmake(struct kin__server *server, struct kin__managed *object);

struct kin__managed *kin__managed_incref(struct kin__managed *object);
/* The last one frees it.  NULL is allowed. */
void kin__managed_decref(struct kin__server *server, struct kin__managed *object);

/* Its name on the wire, and back: NULL for what is none of ours. */
void kin__managed_ident(const struct kin__managed *object, char ident[KIN__IDENT_SIZE]);
struct kin__managed *kin__managed_find(struct kin__server *server, const char *ident);
struct kin__managed *kin__managed_named(struct kin__server *server, const kin_value *ident);

/* A value that an object holds: the objects that proxies in it name, if they are of this manager,
 * live as long.  `call` is that which brought it. */
kin_value kin__keep(struct kin__call *call, const kin_value *value);
/* The same for a value that an object holds already. */
kin_value kin__keep_again(struct kin__server *server, const kin_value *value);
/* Gives up what these returned. */
void kin__unkeep(struct kin__server *server, kin_value *value);
/* The same where what kin__keep returned has been used up by something that failed: of its argument. */
void kin__keep_not(struct kin__call *call, const kin_value *value);
/* Are there proxies of this manager's objects in an argument? */
bool kin__names_objects(struct kin__call *call, const kin_value *value);
/* Before a value is sent: the objects that proxies in it name are lent (reference.h), so that its client can make
 * references of its own. */
int kin__lend(struct kin__session *session, const kin_value *value);

/* What the wire says about an object and its type.  KIN_VALUE_FAILED when there is no memory. */
kin_value kin__token_of(struct kin__server *server, const struct kin__managed *object);
kin_value kin__exposed(const struct kin__type *type);

/* The object after `object`, NULL for the first; NULL after the last.  `*bucket` begins as 0. */
struct kin__managed *kin__registry_next(struct kin__registry *registry, size_t *bucket,
                                        struct kin__managed *object);
/* A line for each object, as Python's debug_info has it. */
kin_value kin__registry_describe(struct kin__server *server);
void kin__registry_drop(struct kin__server *server);

#endif
