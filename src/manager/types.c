/* types.c: see types.h.
 *
 * A type of the user's becomes a kin__type: one that is shared is a copy of Python's under another
 * name; one with methods has a table whose functions are all the same and call the user's by place.
 */
#include "manager/types.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "manager/dispatch.h"
#include "os/os.h"
#include "process/words.h"
#include "value/value.h"

static const struct kin__type *const types[] = {
    &kin__type_queue,
    &kin__type_joinable_queue,
    &kin__type_task_queue,
    &kin__type_lock,
    &kin__type_rlock,
    &kin__type_semaphore,
    &kin__type_bounded_semaphore,
    &kin__type_condition,
    &kin__type_event,
    &kin__type_barrier,
    &kin__type_list,
    &kin__type_dict,
    &kin__type_set,
    &kin__type_pool,
    &kin__type_value,
    &kin__type_array,
    &kin__type_namespace,
};

static const struct kin__type *find_python(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i]->name, name) == 0) return types[i];
    }
    return NULL;
}

const struct kin__type *kin__types_find(struct kin__server *server, const char *name)
{
    for (size_t i = 0; i < server->type_count; i++) {
        if (strcmp(server->types[i].user->name, name) == 0) return &server->types[i];
    }
    return find_python(name);
}

bool kin__types_fit(const struct kin__server *server, const char *pattern)
{
    for (size_t i = 0; i < server->type_count; i++) {
        if (fnmatch(pattern, server->types[i].user->name, 0) == 0) return true;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (fnmatch(pattern, types[i]->name, 0) == 0) return true;
    }
    return false;
}

struct kin__managed **kin__types_shared(struct kin__server *server, const struct kin__type *type)
{
    if (type->user == NULL || type->user->shared == NULL) return NULL;
    return &server->shared[type - server->types];
}

/* ---- the user's --------------------------------------------------------------------------------------- */

struct user_object {
    struct kin__managed object;
    void *object_of_user;
};

static void **of_user(struct kin__call *call)
{
    return &((struct user_object *)(void *)call->object)->object_of_user;
}

kin_value kin__exception_of(int rc, kin_value result)
{
    if (kin_value_kind(&result) == KIN_VALUE_ERROR) return result;
    kin_value_clear(&result);
    if (rc == KIN_EMPTY) return kin_value_error("queue.Empty", kin_value_tuple(NULL, 0));
    if (rc == KIN_FULL) return kin_value_error("queue.Full", kin_value_tuple(NULL, 0));
    if (rc > -1000) return kin_value_error("OSError", kin_value_build("(is)", -rc, kin_strerror(rc)));
    return kin__exception_of_code(rc);
}

/* What a function of the user's returned, as Python would see it. */
static enum kin__outcome conclude(struct kin__call *call, int rc, kin_value result)
{
    return rc >= 0 ? kin__return(call, result) : kin__raise(call, kin__exception_of(rc, result));
}

static enum kin__outcome call_user(struct kin__call *call)
{
    const struct kin__type *type = call->object->type;
    kin_value result = kin_value_none();
    kin_manager_function *function = type->user->methods[call->method - type->methods].call;
    int rc = function(*of_user(call), call->arguments, call->keywords, &result);
    return conclude(call, rc, result);
}

static enum kin__outcome make_user(struct kin__call *call)
{
    const kin_manager_type *user = call->object->type->user;
    kin_value exception = kin_value_none();
    if (user->make == NULL) return KIN__RETURN;
    /* Without those that say what is to be made. */
    kin_value arguments = kin__tuple_of(call->arguments, (size_t)call->skip);
    int rc = kin_value_error_code(&arguments);
    if (rc == 0) rc = user->make(of_user(call), &arguments, call->keywords, &exception);
    kin_value_clear(&arguments);
    return conclude(call, rc, exception);
}

static void drop_user(struct kin__server *server, struct kin__managed *object)
{
    (void)server;
    if (object->type->user->drop != NULL)
        object->type->user->drop(((struct user_object *)(void *)object)->object_of_user);
}

static int adopt(struct kin__type *type, const kin_manager_type *user)
{
    if (user->name == NULL) return kin__start_say(-EINVAL, "a type has no name");
    if ((user->shared == NULL) == (user->methods == NULL))
        return kin__start_say(-EINVAL, "the type %s has not one of shared and methods", user->name);
    if (user->shared != NULL) {
        const struct kin__type *python = find_python(user->shared);
        if (python == NULL)
            return kin__start_say(-EINVAL, "there is no type %s, which was to be %s", user->shared,
                                  user->name);
        *type = *python;
        type->user = user;
        return 0;
    }
    struct kin__method *methods = kin__os_calloc(user->method_count + 1, sizeof *methods);
    if (methods == NULL) return -ENOMEM;
    *type = (struct kin__type){.name = user->name,
                               .size = sizeof(struct user_object),
                               .make = {user->name, make_user, NULL, 0, KIN__FUNCTION},
                               .drop = drop_user,
                               .methods = methods,
                               .user = user};
    for (size_t i = 0; i < user->method_count; i++) {
        if (user->methods[i].name == NULL || user->methods[i].call == NULL)
            return kin__start_say(-EINVAL, "method %zu of %s lacks its name or its function", i, user->name);
        methods[i] = (struct kin__method){user->methods[i].name, call_user, NULL, 0, KIN__PYTHON};
    }
    return 0;
}

/* Which of the two would be meant cannot be told. */
static int check_names(const kin_manager_type *given, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(given[i].name, given[k].name) == 0)
                return kin__start_say(-EINVAL, "two types have the name %s", given[i].name);
        }
    }
    return 0;
}

int kin__types_check_tasks(const kin_manager_task *tasks, size_t count)
{
    if (count > 0 && tasks == NULL) return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (tasks[i].name == NULL || tasks[i].call == NULL) return -EINVAL;
    }
    return 0;
}

int kin__types_register(struct kin__server *server, const kin_manager_type *given, size_t count)
{
    if (count == 0) return 0;
    if (given == NULL) return -EINVAL;
    server->types = kin__os_calloc(count, sizeof *server->types);
    server->shared = kin__os_calloc(count, sizeof *server->shared);
    if (server->types == NULL || server->shared == NULL) return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        server->type_count = i + 1;
        int rc = adopt(&server->types[i], &given[i]);
        if (rc < 0) return rc;
    }
    return check_names(given, count);
}

void kin__types_drop(struct kin__server *server)
{
    for (size_t i = 0; i < server->type_count; i++) {
        const struct kin__type *type = &server->types[i];
        if (type->user != NULL && type->user->shared == NULL) kin__os_free((void *)(uintptr_t)type->methods);
    }
    kin__os_free(server->types);
    kin__os_free(server->shared);
}
