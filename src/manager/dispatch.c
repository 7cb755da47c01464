/* dispatch.c: see dispatch.h.
 *
 * A request that cannot be understood is answered by a text (#TRACEBACK), an exception of a method
 * by that exception (#ERROR), as Python's server does; either way the connection goes on.
 */
#include "manager/dispatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manager/absence.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/reference.h"
#include "manager/session.h"
#include "manager/signature.h"
#include "manager/types.h"
#include "manager/wire.h"
#include "os/os.h"
#include "value/pickle.h"
#include "value/value.h"

/* ---- exceptions and texts ------------------------------------------------------------------------- */

kin_value kin__exception_of_code(int code)
{
    const char *class = code == -ENOMEM               ? "MemoryError"
                        : code == KIN_EKIND           ? "TypeError"
                        : code == -ELOOP              ? "RecursionError"
                        : code == -ERANGE             ? "OverflowError"
                        : code == -EINVAL || code < 0 ? "ValueError"
                                                      : "RuntimeError";
    return kin_value_errorf(class, "%s", kin_strerror(code));
}

enum kin__outcome kin__raise_code(struct kin__call *call, int code)
{
    return kin__raise(call, kin__exception_of_code(code));
}

/* The text of an exception as the last line of a traceback has it: "KeyError: 'x'". */
static kin_value text_of_exception(const kin_value *exception)
{
    char words[1024], line[1200];
    const char *class = kin_value_class_name(exception);
    if (kin_value_text(exception, words, sizeof words) < 0) words[0] = '\0';
    snprintf(line, sizeof line, "%s%s%s\n", class != NULL ? class : "MemoryError",
             words[0] != '\0' ? ": " : "", words);
    return kin_value_str(line);
}

static void answer_text(struct kin__session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void answer_text(struct kin__session *session, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    kin__session_answer(session, KIN__ANSWER_TRACEBACK, kin_value_str(text));
}

/* More text than that nobody waits for, nor reads: few bytes can stand for much of it. */
#define REPR_MOST ((size_t)32 << 20)

kin_value kin__repr(const kin_value *value)
{
    long size = kin__value_repr_within(value, REPR_MOST);
    if (size < 0) return kin_value_failed((int)size);
    char *text = kin__os_malloc((size_t)size + 1);
    if (text == NULL) return kin_value_failed(-ENOMEM);
    kin_value_repr(value, text, (size_t)size + 1);
    kin_value repr = kin_value_str_sized(text, (size_t)size);
    kin__os_free(text);
    return repr;
}

/* ---- arguments ---------------------------------------------------------------------------------------- */

static enum kin__outcome invoke(struct kin__call *call, const struct kin__method *method)
{
    call->method = method;
    memset(call->argument, 0, sizeof call->argument);
    if (method->parameters != NULL && kin__bind(call) == KIN__RAISE) return KIN__RAISE;
    return method->function(call);
}

enum kin__outcome kin__invoke_make(struct kin__call *call)
{
    return invoke(call, &call->object->type->make);
}

void kin__argument_truth(const kin_value *argument, bool *value)
{
    if (argument != NULL) *value = kin_value_is_true(argument) != 0;
}

bool kin__argument_int(struct kin__call *call, const kin_value *argument, int64_t *value)
{
    if (argument == NULL) return true;
    int rc = kin_value_get_int(argument, value);
    if (rc == 0) return true;
    if (rc == KIN_EKIND)
        kin__raisef(call, "TypeError", "'%s' object cannot be interpreted as an integer",
                    kin_value_kind_name(argument));
    else if (rc == -ERANGE)
        kin__raisef(call, "OverflowError", "Python int too large to convert to C ssize_t");
    else
        kin__raise_code(call, rc);
    return false;
}

bool kin__argument_timeout(struct kin__call *call, const kin_value *argument, const char *sign,
                           double *seconds)
{
    *seconds = -1;
    if (argument == NULL || kin_value_kind(argument) == KIN_VALUE_NONE) return true;
    int rc = kin_value_get_float(argument, seconds);
    const char *kind = kin_value_kind_name(argument);
    if (rc == 0 && *seconds == *seconds) {
        if (*seconds < 0) *seconds = 0;
        return true;
    }
    if (rc == 0)
        kin__raisef(call, "ValueError", "Invalid value NaN (not a number)");
    else if (rc == -ERANGE)
        kin__raisef(call, "OverflowError", "int too large to convert to float");
    else if (sign == NULL)
        kin__raisef(call, "TypeError", "'%s' object cannot be interpreted as an integer", kind);
    else if (*sign == '+')
        kin__raisef(call, "TypeError", "unsupported operand type(s) for +: 'float' and '%s'", kind);
    else
        kin__raisef(call, "TypeError", "'%s' not supported between instances of '%s' and 'int'", sign, kind);
    return false;
}

bool kin__can_wait(struct kin__call *call, double seconds)
{
    if (seconds < (double)INT64_MAX / 1e9) return true;
    kin__raisef(call, "OverflowError", "timestamp out of range for platform time_t");
    return false;
}

enum kin__outcome kin__unhashable(struct kin__call *call, const kin_value *value)
{
    uint64_t hash;
    const kin_value *item;
    if (kin_value_kind(value) == KIN_VALUE_TUPLE) {
        for (size_t at = 0; kin_value_next(value, &at, &item, NULL);) {
            if (kin_value_hash(item, &hash) == KIN_EKIND) return kin__unhashable(call, item);
        }
    }
    return kin__raisef(call, "TypeError", "unhashable type: '%s'", kin_value_kind_name(value));
}

/* ---- making objects --------------------------------------------------------------------------------------- */

bool kin__may_make(struct kin__call *call)
{
    const struct kin__server *server = call->server;
    if (server->object_most == 0 || server->registry.count < server->object_most) return true;
    kin__raisef(call, "MemoryError", "this manager has as many objects as it may");
    return false;
}

/* Makes an object, or finds the one that everybody shares; KIN__RETURN: call->created is a reference. */
static enum kin__outcome create(struct kin__call *call, const struct kin__type *type)
{
    struct kin__server *server = call->server;
    struct kin__managed **shared = kin__types_shared(server, type);
    if (shared != NULL && *shared != NULL) {
        call->created = kin__managed_incref(*shared);
        return KIN__RETURN;
    }
    if (!kin__may_make(call)) return KIN__RAISE;
    call->object = kin__managed_make(server, type);
    if (call->object == NULL) return kin__raise_code(call, -ENOMEM);
    enum kin__outcome outcome = invoke(call, &type->make);
    if (outcome == KIN__RAISE) {
        kin__managed_unmake(server, call->object);
        return outcome;
    }
    kin_value_clear(&call->result);
    call->created = call->object;
    if (shared != NULL) *shared = kin__managed_incref(call->created);
    return KIN__RETURN;
}

enum kin__outcome kin__create(struct kin__call *call, const char *name)
{
    const struct kin__type *type = kin__types_find(call->server, name);
    return type != NULL ? create(call, type)
                        : kin__raise(call, kin_value_error("KeyError", kin_value_build("(s)", name)));
}

/* A reference that the client has got: it ends with the session if the client is kin's. */
static bool give_reference(struct kin__call *call, struct kin__managed *object)
{
    if (!call->session->kin) {
        object->counted++;
        call->server->calls++;
        return true;
    }
    bool given = kin__reference_add(call->session, object) == 0;
    kin__managed_decref(call->server, object);
    return given;
}

/* ---- server calls ------------------------------------------------------------------------------------------ */

static enum kin__outcome call_dummy(struct kin__call *call)
{
    return kin__return_none(call);
}

/* May the client have one reference more? */
static bool may_refer(struct kin__call *call)
{
    size_t most = call->server->reference_most;
    if (most == 0 || call->session->objects < most) return true;
    kin__raisef(call, "MemoryError", "this client has as many objects as it may");
    return false;
}

/* To make an object is to write; what is there already, and shared, may be read. */
static bool may_create(struct kin__call *call, const char *name)
{
    const struct kin__session *session = call->session;
    const struct kin__type *type = kin__types_find(call->server, name);
    bool shared = type != NULL && kin__types_shared(call->server, type) != NULL;
    if (!kin__may(session, name, shared ? KIN_MAY_READ : KIN_MAY_WRITE)) {
        kin__raise(call, kin__may_not(session, name, "create"));
        return false;
    }
    return may_refer(call);
}

static enum kin__outcome call_create(struct kin__call *call)
{
    char ident[KIN__IDENT_SIZE];
    const char *name = kin_value_get_str(kin_value_at(call->arguments, 0), NULL);
    if (name == NULL) return kin__raisef(call, "TypeError", "create() is missing its argument 'typeid'");
    call->skip = 1;
    if (!may_create(call, name) || kin__create(call, name) == KIN__RAISE) return KIN__RAISE;
    kin__managed_ident(call->created, ident);
    kin_value exposed = kin__exposed(call->created->type);
    call->server->calls++;
    if (give_reference(call, call->created))
        return kin__return(call, kin_value_build("(sv)", ident, exposed));
    kin_value_clear(&exposed);
    return kin__raise_code(call, -ENOMEM);
}

static enum kin__outcome no_such_object(struct kin__call *call, const kin_value *ident)
{
    kin_value name = ident != NULL ? kin_value_ref(ident) : kin_value_none();
    return kin__raise(call, kin_value_error("KeyError", kin_value_build("(v)", name)));
}

static enum kin__outcome call_incref(struct kin__call *call)
{
    struct kin__managed *object = kin__managed_named(call->server, call->argument[0]);
    if (object == NULL) return no_such_object(call, call->argument[0]);
    if (!kin__may_call(call->session, object, NULL))
        return kin__raise(call, kin__may_not(call->session, kin__permission_name(object->type), "use"));
    if (!may_refer(call)) return KIN__RAISE;
    if (!give_reference(call, kin__managed_incref(object))) return kin__raise_code(call, -ENOMEM);
    return kin__return_none(call);
}

static enum kin__outcome call_decref(struct kin__call *call)
{
    struct kin__managed *object = kin__managed_named(call->server, call->argument[0]);
    if (object == NULL) return no_such_object(call, call->argument[0]);
    bool kin = call->session->kin;
    call->server->calls++;
    if (kin ? !kin__reference_remove(call->session, object) : object->counted == 0)
        return kin__raisef(call, "ValueError", "there is no such reference to the object");
    if (!kin) {
        object->counted--;
        kin__managed_decref(call->server, object);
    }
    return kin__return_none(call);
}

static enum kin__outcome call_accept_connection(struct kin__call *call)
{
    static const char kin[] = KIN__WIRE_CLIENT;
    const char *name = kin_value_get_str(call->argument[0], NULL);
    int64_t grace = call->server->grace_ns, answered = 0;
    call->session->stage = KIN__CALLS;
    if (name == NULL || strncmp(name, kin, sizeof kin - 1) != 0) return kin__return_none(call);
    call->session->kin = true;
    /* The first half of its name is that of its process. */
    if (name[sizeof kin - 1] == ' ') sscanf(name + sizeof kin, "%16" SCNx64, &call->session->process);
    if (grace <= 0 || name[sizeof kin - 1] != ' ') return kin__return(call, kin_value_str(kin));
    int rc = kin__absence_identify(call->session, name + sizeof kin, &answered);
    if (rc < 0) return kin__raise_code(call, rc);
    return kin__return(call, kin_value_build("(svv)", kin, kin_value_int(grace), kin_value_int(answered)));
}

/* A client of kin's that does not come back. */
static enum kin__outcome call_leave(struct kin__call *call)
{
    kin__session_end_after_answers(call->session);
    return kin__return_none(call);
}

/* A client of kin's that will have several requests in work. */
static enum kin__outcome call_keep_answers(struct kin__call *call)
{
    int64_t count = 0;
    kin_value_get_int(call->argument[0], &count);
    int rc = kin__absence_keep(call->session, count);
    return rc < 0 ? kin__raise_code(call, rc) : kin__return_none(call);
}

static enum kin__outcome call_get_methods(struct kin__call *call)
{
    const char *ident = kin_value_token_id(call->argument[0]);
    struct kin__managed *object = ident != NULL ? kin__managed_find(call->server, ident) : NULL;
    if (object == NULL) return no_such_object(call, call->argument[0]);
    return kin__return(call, kin__exposed(object->type));
}

static bool may_ask(struct kin__call *call, enum kin_manager_right right)
{
    if (kin__may(call->session, call->method->name, right)) return true;
    kin__raise(call, kin__may_not(call->session, call->method->name, "call"));
    return false;
}

static enum kin__outcome call_number_of_objects(struct kin__call *call)
{
    if (!may_ask(call, KIN_MAY_READ)) return KIN__RAISE;
    return kin__return(call, kin_value_uint(call->server->registry.count));
}

static enum kin__outcome call_debug_info(struct kin__call *call)
{
    if (!may_ask(call, KIN_MAY_READ)) return KIN__RAISE;
    return kin__return(call, kin__registry_describe(call->server));
}

static enum kin__outcome call_shutdown(struct kin__call *call)
{
    if (!may_ask(call, KIN_MAY_WRITE)) return KIN__RAISE;
    /* Python's server answers this one twice. */
    kin__session_answer(call->session, KIN__ANSWER_RETURN, kin_value_none());
    call->server->stopping = true;
    return kin__return_none(call);
}

static const struct kin__method server_calls[] = {
    {"accept_connection", call_accept_connection, "name", 1, KIN__FUNCTION},
    {"create", call_create, NULL, 1, KIN__FUNCTION},
    {"incref", call_incref, "ident", 1, KIN__FUNCTION},
    {"decref", call_decref, "ident", 1, KIN__FUNCTION},
    {"dummy", call_dummy, "", 0, KIN__FUNCTION},
    {"leave", call_leave, "", 0, KIN__FUNCTION},
    {KIN__WIRE_KEEP, call_keep_answers, "count", 1, KIN__FUNCTION},
    {"get_methods", call_get_methods, "token", 1, KIN__FUNCTION},
    {"number_of_objects", call_number_of_objects, "", 0, KIN__FUNCTION},
    {"debug_info", call_debug_info, "", 0, KIN__FUNCTION},
    {"shutdown", call_shutdown, "", 0, KIN__FUNCTION},
    {0},
};

static const struct kin__method *find_method(const struct kin__method *methods, const char *name)
{
    for (; methods->name != NULL; methods++) {
        if (strcmp(methods->name, name) == 0) return methods;
    }
    return NULL;
}

static const struct kin__method *find_known(struct kin__server *server, const struct kin__type *type,
                                            const char *name)
{
    /* Names of one type that differ in length or in their last or middle letter do not meet. */
    size_t length = strlen(name);
    uint64_t letters = length > 0 ? (uint64_t)(uint8_t)name[length - 1] << 8 | (uint8_t)name[length / 2] : 0;
    uint64_t mixed = ((uintptr_t)type >> 4 ^ letters << 20 ^ length) * 0x9e3779b97f4a7c15U;
    struct kin__known *known = &server->known[mixed >> 58];
    if (known->type == type && strcmp(known->method->name, name) == 0) return known->method;
    const struct kin__method *method = find_method(type->methods, name);
    if (method != NULL) *known = (struct kin__known){type, method};
    return method;
}

/* Exactly one request of a connection's, unless that is accept_connection; every failure is a text. */
static void server_call(struct kin__call *call, const char *name)
{
    struct kin__session *session = call->session;
    const struct kin__method *method = find_method(server_calls, name);
    if (method == NULL) {
        answer_text(session, "AssertionError: %.100s is not a call of a manager's server\n", name);
    } else if (invoke(call, method) == KIN__RETURN) {
        kin__session_answer(session, KIN__ANSWER_RETURN, call->result);
    } else {
        kin__session_answer(session, KIN__ANSWER_TRACEBACK, text_of_exception(&call->result));
        kin_value_clear(&call->result);
    }
    if (session->stage == KIN__FIRST) kin__session_end_after_answers(session);
}

/* ---- object calls ------------------------------------------------------------------------------------------- */

static kin_value text_of_object(struct kin__call *call)
{
    const struct kin__type *type = call->object->type;
    char text[80];
    if (type->text != NULL) return type->text(call);
    if (type->copy == NULL) {
        snprintf(text, sizeof text, "<%.30s object at 0x%" PRIx64 ">", type->name, call->object->number);
        return kin_value_str(text);
    }
    kin_value copy = type->copy(call);
    kin_value repr = kin__repr(&copy);
    kin_value_clear(&copy);
    return repr;
}

/* What every object can be asked for, whatever its methods are. */
static void fallback(struct kin__call *call, const char *name)
{
    struct kin__session *session = call->session;
    const struct kin__type *type = call->object->type;
    if (strcmp(name, "__str__") == 0 || strcmp(name, "__repr__") == 0)
        kin__session_answer(session, KIN__ANSWER_RETURN, text_of_object(call));
    else if (strcmp(name, "#GETVALUE") != 0)
        /* In Python this is a KeyError that happened while the other was handled. */
        answer_text(session,
                    "AttributeError: method '%.100s' of <class '%.100s'> object is not in exposed\n\n"
                    "During handling of the above exception, another exception occurred:\n\n"
                    "KeyError: '%.100s'\n",
                    name, type->name, name);
    else if (type->copy != NULL)
        kin__session_answer(session, KIN__ANSWER_RETURN, type->copy(call));
    else
        kin__session_answer(session, KIN__ANSWER_UNSERIALIZABLE,
                            kin_value_str("TypeError: an object of this type cannot be copied\n"));
}

static void answer_created(struct kin__call *call)
{
    kin_value pair = kin_value_build("(vv)", kin__exposed(call->created->type),
                                     kin__token_of(call->server, call->created));
    int rc = call->session->kin ? kin__reference_lend(call->session, call->created) : 0;
    if (call->session->kin)
        kin__managed_decref(call->server, call->created);
    else
        call->created->counted++;
    if (rc == 0) {
        kin__session_answer(call->session, KIN__ANSWER_PROXY, pair);
    } else {
        kin_value_clear(&pair);
        kin__session_doom(call->session);
    }
}

static void conclude(struct kin__call *call, enum kin__outcome outcome)
{
    struct kin__session *session = call->session;
    if (outcome == KIN__RETURN && call->result.kind_ == KIN_VALUE_FAILED)
        outcome = kin__raise_code(call, kin_value_error_code(&call->result));
    switch (outcome) {
    case KIN__RETURN:
        if (call->leaves)
            kin__session_return_kept(session, call->result);
        else
            kin__session_return(session, call->result);
        break;
    case KIN__RAISE: kin__session_raise(session, call->result); break;
    case KIN__CREATED: answer_created(call); break;
    case KIN__PARKED: break;
    }
}

static void object_call(struct kin__call *call, const kin_value *ident, const char *name)
{
    struct kin__session *session = call->session;
    call->object = kin__managed_named(call->server, ident);
    call->server->calls++;
    if (call->object == NULL) {
        no_such_object(call, ident);
        kin__session_answer(session, KIN__ANSWER_TRACEBACK, text_of_exception(&call->result));
        kin_value_clear(&call->result);
        return;
    }
    const struct kin__method *method = find_known(call->server, call->object->type, name);
    if (!kin__may_call(session, call->object, method)) {
        kin__session_raise(session, kin__may_not(session, kin__permission_name(call->object->type), name));
        return;
    }
    if (method == NULL) {
        fallback(call, name);
        return;
    }
    /* The client may have given its last reference up. */
    struct kin__managed *object = kin__managed_incref(call->object);
    conclude(call, invoke(call, method));
    kin__managed_decref(call->server, object);
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static bool is_sequence(const kin_value *value)
{
    return value->kind_ == KIN_VALUE_TUPLE || value->kind_ == KIN_VALUE_LIST;
}

#define REQUEST_ITEMS 4

/* So much a request may stand for by naming its parts again: values, and for each of its bytes. */
#define COUNT_LEAST         ((size_t)1 << 22)
#define COUNT_FOR_EACH_BYTE 16

/* `item` are those of a tuple; `count` is 0 when there is none. */
static void request(struct kin__call *call, const kin_value *item, size_t count)
{
    struct kin__session *session = call->session;
    const char *name = count == REQUEST_ITEMS ? kin_value_get_str(&item[1], NULL) : NULL;
    if (name != NULL) {
        call->arguments = &item[2];
        call->keywords = &item[3];
    }
    if (name == NULL || !is_sequence(call->arguments) || call->keywords->kind_ != KIN_VALUE_DICT) {
        answer_text(session, "TypeError: a request is a tuple (ident, method, arguments, keywords)\n");
        if (session->stage == KIN__FIRST) kin__session_end_after_answers(session);
        return;
    }
    if (session->stage == KIN__FIRST || (session->kin && item->kind_ == KIN_VALUE_NONE))
        server_call(call, name);
    else
        object_call(call, item, name);
}

void kin__dispatch(struct kin__session *session, const uint8_t *message, size_t size)
{
    struct kin__call call = {.server = session->server, .session = session};
    kin_pickle_fault fault = {0};
    kin_value item[REQUEST_ITEMS];
    const kin_pickle_options options = {.fault = &fault,
                                        .max_count = COUNT_LEAST + COUNT_FOR_EACH_BYTE * size};
    int count = kin__pickle_loads_items(item, REQUEST_ITEMS, message, size, &options, &call.has_proxies);
    if (count < 0) {
        answer_text(session, "UnpicklingError: the request cannot be read: %s\n",
                    fault.text[0] != '\0' ? fault.text : kin_strerror(count));
        if (session->stage == KIN__FIRST) kin__session_end_after_answers(session);
        return;
    }
    request(&call, item, (size_t)count);
    for (int i = 0; i < count; i++) kin_value_clear(&item[i]);
}

bool kin__dispatch_leaves(const uint8_t *message, size_t size)
{
    kin_value item[REQUEST_ITEMS];
    bool has_proxies = false;
    int count =
        kin__pickle_loads_items(item, REQUEST_ITEMS, message, size, &(kin_pickle_options){0}, &has_proxies);
    const char *name = count == REQUEST_ITEMS ? kin_value_get_str(&item[1], NULL) : NULL;
    bool leaves = name != NULL && kin_value_kind(&item[0]) == KIN_VALUE_NONE && strcmp(name, "leave") == 0;
    for (int i = 0; i < count; i++) kin_value_clear(&item[i]);
    return leaves;
}

bool kin__dispatch_returns(const struct kin__session *session, const uint8_t *message, size_t size)
{
    static const char kin[] = KIN__WIRE_CLIENT " ";
    kin_value item[REQUEST_ITEMS];
    bool has_proxies = false;
    int count =
        kin__pickle_loads_items(item, REQUEST_ITEMS, message, size, &(kin_pickle_options){0}, &has_proxies);
    const char *method = count == REQUEST_ITEMS ? kin_value_get_str(&item[1], NULL) : NULL;
    const char *name = method != NULL && strcmp(method, "accept_connection") == 0
                           ? kin_value_get_str(kin_value_at(&item[2], 0), NULL)
                           : NULL;
    bool returns = name != NULL && strncmp(name, kin, sizeof kin - 1) == 0 &&
                   kin__absence_knows(session, name + sizeof kin - 1);
    for (int i = 0; i < count; i++) kin_value_clear(&item[i]);
    return returns;
}
