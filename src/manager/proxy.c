/* proxy.c: proxies of a manager's objects, and the calls of the commonest types. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/manager.h>
#include <kin/object.h>

#include "manager/manager.h"
#include "manager/wire.h"
#include "os/os.h"
#include "value/value.h"

#define NAME_SIZE 96

/* A server waits by its own clock; the answer may be on its way for so much longer. */
#define ANSWER_NS INT64_C(1000000000)

/* To give up a reference is not worth more. */
#define CLOSE_MS 1000

struct kin_proxy {
    kin_manager *manager;
    _Atomic int pid;    /* the process that has the reference */
    _Atomic bool ended; /* see kin__proxy_end */
    char type[NAME_SIZE];
    char ident[NAME_SIZE];
    kin_value exposed; /* names of the methods, or None */
};

/* The class that Python represents an object of a type by; AutoProxy for others. */
static const struct {
    const char *type;
    const char *class;
} classes[] = {
    {"Lock", "multiprocessing.managers.AcquirerProxy"},
    {"RLock", "multiprocessing.managers.AcquirerProxy"},
    {"Semaphore", "multiprocessing.managers.AcquirerProxy"},
    {"BoundedSemaphore", "multiprocessing.managers.AcquirerProxy"},
    {"Condition", "multiprocessing.managers.ConditionProxy"},
    {"Event", "multiprocessing.managers.EventProxy"},
    {"Barrier", "multiprocessing.managers.BarrierProxy"},
    {"list", "multiprocessing.managers.ListProxy"},
    {"dict", "multiprocessing.managers.DictProxy"},
    {"Value", "multiprocessing.managers.ValueProxy"},
    {"Array", "multiprocessing.managers.ArrayProxy"},
    {"Namespace", "multiprocessing.managers.NamespaceProxy"},
};

/* ---- making and closing -------------------------------------------------------------------------- */

static int make(kin_proxy **made, kin_manager *manager, const char *type, const char *ident,
                const kin_value *exposed)
{
    if (strlen(type) >= NAME_SIZE || strlen(ident) >= NAME_SIZE) return -EINVAL;
    kin_proxy *proxy = kin__os_calloc(1, sizeof *proxy);
    if (proxy == NULL) return -ENOMEM;
    proxy->manager = manager;
    kin__manager_use(manager);
    atomic_store(&proxy->pid, kin__os_pid());
    strcpy(proxy->type, type);
    strcpy(proxy->ident, ident);
    if (exposed != NULL) proxy->exposed = kin_value_ref(exposed);
    *made = proxy;
    return 0;
}

/* Counts a reference more or less: `method` is incref or decref. */
static int count(kin_manager *manager, const char *method, const char *ident, kin_deadline deadline)
{
    kin_value result;
    struct kin__arguments arguments = {.positional = kin_value_build("(s)", ident)};
    int rc = kin__manager_server_call(manager, method, arguments, &result, deadline);
    kin_value_clear(&result);
    return rc;
}

/* Puts the type before the other arguments; uses `given` up. */
static struct kin__arguments with_type(const char *type, kin_value given)
{
    struct kin__arguments arguments = kin__arguments_of(given);
    kin_value all = kin_value_build("[s]", type);
    for (long i = 0; i < kin_value_len(&arguments.positional); i++)
        kin__collect(&all, kin_value_ref(kin_value_at(&arguments.positional, i)));
    kin_value_clear(&arguments.positional);
    arguments.positional = all;
    return arguments;
}

int kin_manager_create(kin_manager *manager, kin_proxy **proxy, const char *type, kin_value arguments,
                       kin_deadline deadline)
{
    const char *ident = NULL;
    const kin_value *exposed = NULL;
    kin_value result;
    int rc = manager != NULL && proxy != NULL && type != NULL ? kin_value_error_code(&arguments) : -EINVAL;
    if (rc < 0) {
        kin_value_clear(&arguments);
        return rc;
    }
    rc = kin__manager_begin(manager);
    if (rc < 0) {
        kin_value_clear(&arguments);
        return rc;
    }
    rc = kin__manager_server_call(manager, "create", with_type(type, arguments), &result, deadline);
    if (rc == 0 && kin_value_parse(&result, "(sv)", &ident, &exposed) < 0) rc = KIN_EPROTOCOL;
    if (rc == 0) {
        rc = make(proxy, manager, type, ident, exposed);
        if (rc < 0) count(manager, "decref", ident, deadline);
    }
    kin_value_clear(&result);
    return kin__manager_end(manager, rc);
}

int kin_manager_proxy(kin_manager *manager, kin_proxy **proxy, const kin_value *value, kin_deadline deadline)
{
    if (manager == NULL || proxy == NULL || value == NULL) return -EINVAL;
    const char *ident = kin_value_token_id(value), *type = kin_value_token_type(value);
    if (ident == NULL || type == NULL) return KIN_EKIND;
    int rc = kin__manager_begin(manager);
    if (rc < 0) return rc;
    /* What came with the value is the proxy's. */
    rc = kin__gift_take(&manager->gifts, ident) ? 0 : count(manager, "incref", ident, deadline);
    if (rc == 0) {
        rc = make(proxy, manager, type, ident, kin_value_proxy_exposed(value));
        if (rc < 0) count(manager, "decref", ident, deadline);
    }
    return kin__manager_end(manager, rc);
}

/* A process that was forked makes a reference of its own before it uses a proxy. */
static int own(kin_proxy *proxy, kin_deadline deadline)
{
    int self = kin__os_pid(), seen = atomic_load(&proxy->pid);
    if (seen == self) return 0;
    int rc = count(proxy->manager, "incref", proxy->ident, deadline);
    /* Another thread of this process was faster. */
    if (rc == 0 && !atomic_compare_exchange_strong(&proxy->pid, &seen, self))
        count(proxy->manager, "decref", proxy->ident, deadline);
    return rc;
}

int kin_proxy_close(kin_proxy *proxy)
{
    if (proxy == NULL) return 0;
    int rc = 0;
    /* With the connections of a handle that was closed a server of kin's has dropped all references. */
    bool dropped = kin__manager_is_kin(proxy->manager) && atomic_load(&proxy->manager->closed);
    if (atomic_load(&proxy->pid) == kin__os_pid() && !dropped)
        rc = count(proxy->manager, "decref", proxy->ident, kin_in_ms(CLOSE_MS));
    kin__manager_disuse(proxy->manager);
    kin_value_clear(&proxy->exposed);
    kin__os_free(proxy);
    /* Where the manager is gone, so is the reference. */
    return rc == KIN_EREMOTE ? rc : 0;
}

kin_value kin_proxy_value(kin_proxy *proxy)
{
    const char *class = "multiprocessing.managers.AutoProxy";
    if (proxy == NULL) return kin_value_failed(-EINVAL);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(classes[i].type, proxy->type) == 0) class = classes[i].class;
    }
    bool automatic = strstr(class, "AutoProxy") != NULL;
    kin_value address = kin__address_value(kin_manager_address(proxy->manager));
    kin_value token = kin_value_token(proxy->type, address, proxy->ident);
    return kin_value_proxy(class, token, automatic ? kin_value_ref(&proxy->exposed) : kin_value_none());
}

bool kin__proxy_has(const kin_proxy *proxy, const char *method)
{
    for (long i = 0; i < kin_value_len(&proxy->exposed); i++) {
        const char *name = kin_value_get_str(kin_value_at(&proxy->exposed, i), NULL);
        if (name != NULL && strcmp(name, method) == 0) return true;
    }
    return false;
}

/* ---- calls ------------------------------------------------------------------------------------------ */

int kin_proxy_call(kin_proxy *proxy, const char *method, kin_value arguments, kin_value *result,
                   kin_deadline deadline)
{
    kin_value ignored = kin_value_none();
    kin_value *to = result != NULL ? result : &ignored;
    *to = kin_value_none();
    int rc = proxy != NULL && method != NULL ? kin_value_error_code(&arguments) : -EINVAL;
    if (rc == 0) rc = own(proxy, deadline);
    if (rc == 0)
        rc = kin__manager_call(proxy->manager, proxy->ident, &proxy->ended, method,
                               kin__arguments_of(arguments), to, deadline);
    else
        kin_value_clear(&arguments);
    kin_value_clear(&ignored);
    return rc;
}

void kin__proxy_end(kin_proxy *proxy)
{
    atomic_store(&proxy->ended, true);
    kin__manager_break(proxy->manager, &proxy->ended);
}

const char *kin__proxy_ident(const kin_proxy *proxy)
{
    return proxy->ident;
}

/* Can all be called over one connection? */
static int check_calls(const kin_call *calls, size_t count, kin_deadline deadline)
{
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (calls[i].proxy == NULL || calls[i].method == NULL ||
            calls[i].proxy->manager != calls[0].proxy->manager)
            return -EINVAL;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) rc = own(calls[i].proxy, deadline);
    return rc;
}

int kin_proxy_call_many(kin_call *calls, size_t count, kin_deadline deadline)
{
    if (count == 0) return 0;
    if (calls == NULL) return -EINVAL;
    int rc = check_calls(calls, count, deadline);
    for (size_t i = 0; i < count; i++) {
        calls[i].result = kin_value_none();
        calls[i].rc = rc;
        if (rc < 0) kin_value_clear(&calls[i].arguments);
    }
    return rc < 0 ? rc : kin__manager_call_many(calls[0].proxy->manager, calls, count, deadline);
}

/* How long the server is to wait, in seconds; negative: without limit. */
static double seconds_left(kin_deadline deadline)
{
    if (deadline == KIN_FOREVER) return -1;
    kin_deadline left = deadline - kin_clock();
    return left > 0 ? (double)left / 1e9 : 0;
}

/* When the answer has to be there. */
static kin_deadline answer_by(kin_deadline deadline)
{
    kin_deadline now = kin_clock(), from = deadline > now ? deadline : now;
    return from < KIN_FOREVER - ANSWER_NS ? from + ANSWER_NS : KIN_FOREVER;
}

int kin_proxy_put(kin_proxy *queue, kin_value item, kin_deadline deadline)
{
    double seconds = seconds_left(deadline);
    kin_value arguments = seconds < 0    ? kin_value_build("(v)", item)
                          : seconds == 0 ? kin_value_build("(vb)", item, 0)
                                         : kin_value_build("(vbd)", item, 1, seconds);
    return kin_proxy_call(queue, "put", arguments, NULL, answer_by(deadline));
}

/* (block, timeout) */
static kin_value waiting(kin_deadline deadline)
{
    double seconds = seconds_left(deadline);
    if (seconds < 0) return kin_value_build("(b)", 1);
    return seconds == 0 ? kin_value_build("(b)", 0) : kin_value_build("(bd)", 1, seconds);
}

int kin_proxy_get(kin_proxy *queue, kin_value *item, kin_deadline deadline)
{
    return kin_proxy_call(queue, "get", waiting(deadline), item, answer_by(deadline));
}

int kin_proxy_acquire(kin_proxy *lock, kin_deadline deadline)
{
    kin_value result;
    int64_t news = 0;
    int rc = kin_proxy_call(lock, "acquire", waiting(deadline), &result, answer_by(deadline));
    if (rc == 0 && kin_value_get_int(&result, &news) < 0) rc = KIN_EPROTOCOL;
    kin_value_clear(&result);
    if (rc < 0) return rc;
    /* False, or True; a manager of kin's adds KIN_OWNER_DIED to that. */
    return news == 0 ? -ETIMEDOUT : news > 1 ? KIN_OWNER_DIED : 0;
}

int kin_proxy_release(kin_proxy *lock)
{
    kin_deadline deadline = lock != NULL ? kin__manager_soon(lock->manager) : KIN_NOW;
    return kin_proxy_call(lock, "release", kin_value_none(), NULL, deadline);
}

int kin__proxy_join(kin_proxy *queue, kin_deadline deadline)
{
    kin_value result, arguments = kin_value_none();
    double seconds = seconds_left(deadline);
    bool done = true;
    /* Python's has no time-out: there the deadline costs the connection. */
    if (seconds >= 0 && kin__manager_is_kin(queue->manager)) arguments = kin_value_build("(d)", seconds);
    int rc = kin_proxy_call(queue, "join", arguments, &result, answer_by(deadline));
    if (rc == 0 && kin_value_kind(&result) == KIN_VALUE_BOOL) done = kin_value_is_true(&result) == 1;
    kin_value_clear(&result);
    return rc < 0 ? rc : done ? 0 : -ETIMEDOUT;
}
