/* permission.c: see permission.h.
 *
 * A client says which key it has by proving that it knows it.  What a key may do goes by the names
 * that clients create objects by; of the rules of a key the first that fits decides, and where none
 * does it may do nothing.  An object that a method has made (an iterator, a result) is used by who
 * knows its number, which cannot be guessed.
 */
#include "manager/permission.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/log.h"
#include "ipc/challenge.h"
#include "manager/types.h"
#include "os/network.h"
#include "os/os.h"
#include "os/tls.h"
#include "process/words.h"

/* So many refusals are logged in a second. */
#define REFUSALS_LOGGED 5

/* ---- keys ------------------------------------------------------------------------------------------ */

static int add_key(struct kin__server *server, const void *key, size_t size)
{
    uint8_t *copy = kin__os_malloc(size + 1);
    if (copy == NULL) return -ENOMEM;
    if (size > 0) memcpy(copy, key, size);
    server->keys[server->key_count++] = (struct kin__challenge_key){copy, size};
    return 0;
}

/* A client is told apart by its key alone: of two who have the same the first one's rights would be those of both. */
static int check_distinct(const struct kin__server *server, const kin_manager_credential *given)
{
    const struct kin__challenge_key *last = &server->keys[server->key_count - 1];
    size_t count = server->key_count - 1;
    for (size_t i = 0; i < count; i++) {
        if (server->keys[i].size != last->size || memcmp(server->keys[i].key, last->key, last->size) != 0)
            continue;
        const char *name = given[count - server->has_own_key].name;
        if (server->has_own_key && i == 0)
            return kin__start_say(-EINVAL, "the key of %s is the one that may do everything",
                                  name != NULL ? name : "a credential");
        const char *other = given[i - server->has_own_key].name;
        return kin__start_say(-EINVAL, "the key of %s is that of %s", name != NULL ? name : "a credential",
                              other != NULL ? other : "another credential");
    }
    return 0;
}

static int check(const kin_manager_credential *credential)
{
    if (credential->permission_count > 0 && credential->permissions == NULL) return -EINVAL;
    for (size_t i = 0; i < credential->permission_count; i++) {
        if (credential->permissions[i].name == NULL) return -EINVAL;
    }
    return 0;
}

int kin__keys_open(struct kin__server *server, const kin_manager_options *options)
{
    size_t count = options->credential_count;
    if (options->key == NULL && count == 0) return -EINVAL;
    server->keys = kin__os_calloc(count + 1, sizeof *server->keys);
    if (server->keys == NULL) return -ENOMEM;
    server->credentials = options->credentials;
    server->has_own_key = options->key != NULL;
    int rc = server->has_own_key ? add_key(server, options->key, options->key_size) : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const kin_manager_credential *credential = &options->credentials[i];
        rc = check(credential);
        if (rc == 0) rc = add_key(server, credential->key, credential->key_size);
        if (rc == 0) rc = check_distinct(server, options->credentials);
    }
    return rc;
}

/* Is there something that a client may ask for by a name which the pattern fits? */
static bool fits_something(const struct kin__server *server, const char *pattern)
{
    static const char *const calls[] = {"shutdown", "debug_info", "number_of_objects"}; /* of the server */
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (fnmatch(pattern, calls[i], 0) == 0) return true;
    }
    return kin__types_fit(server, pattern);
}

void kin__permissions_review(const struct kin__server *server)
{
    for (size_t i = server->has_own_key; i < server->key_count; i++) {
        const kin_manager_credential *credential = &server->credentials[i - server->has_own_key];
        for (size_t k = 0; k < credential->permission_count; k++) {
            const char *pattern = credential->permissions[k].name;
            if (fits_something(server, pattern)) continue;
            kin__log(KIN_LOG_WARNING, "manager: %s, a permission of the key %s, fits no name that is served",
                     pattern, credential->name != NULL ? credential->name : "without a name");
        }
    }
}

void kin__keys_close(struct kin__server *server)
{
    for (size_t i = 0; i < server->key_count; i++) kin__os_free((void *)(uintptr_t)server->keys[i].key);
    kin__os_free(server->keys);
}

/* ---- rules ------------------------------------------------------------------------------------------ */

/* NULL: the key without restrictions. */
static const kin_manager_credential *credential_of(const struct kin__session *session)
{
    const struct kin__server *server = session->server;
    if (server->has_own_key && session->key == 0) return NULL;
    return &server->credentials[session->key - server->has_own_key];
}

static bool is_unrestricted(const struct kin__session *session)
{
    const kin_manager_credential *credential = credential_of(session);
    return credential == NULL || credential->permissions == NULL;
}

bool kin__may(const struct kin__session *session, const char *name, enum kin_manager_right right)
{
    const kin_manager_credential *credential = credential_of(session);
    if (is_unrestricted(session)) return true;
    for (size_t i = 0; i < credential->permission_count; i++) {
        const kin_manager_permission *permission = &credential->permissions[i];
        if (fnmatch(permission->name, name, 0) == 0) return permission->right >= right;
    }
    return false;
}

const char *kin__permission_name(const struct kin__type *type)
{
    return type->user != NULL ? type->user->name : type->name;
}

/* Is the word one of a list? */
static bool lists(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; at != NULL && (at = strstr(at, word)) != NULL; at += length) {
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    }
    return false;
}

bool kin__may_call(const struct kin__session *session, const struct kin__managed *object,
                   const struct kin__method *method)
{
    const struct kin__type *type = object->type;
    if (type->unnamed || is_unrestricted(session)) return true;
    const char *reads = type->user != NULL && type->user->reads != NULL ? type->user->reads : type->reads;
    bool reads_only = method == NULL || lists(reads, method->name);
    return kin__may(session, kin__permission_name(type), reads_only ? KIN_MAY_READ : KIN_MAY_WRITE);
}

kin_value kin__may_not(const struct kin__session *session, const char *name, const char *method)
{
    const kin_manager_credential *credential = credential_of(session);
    const char *key = credential != NULL && credential->name != NULL ? credential->name : "of this client";
    return kin_value_errorf("PermissionError", "the key %.60s may not %.60s %.60s", key, method, name);
}

/* ---- those who have none ------------------------------------------------------------------------------ */

void kin__log_refusal(struct kin__server *server, int descriptor, const char *why)
{
    struct kin__address address;
    char text[KIN__ADDRESS_SIZE] = "";
    uint64_t now = uv_now(&server->loop);
    if (now - server->refusal_second >= 1000) {
        if (server->unlogged > 0)
            kin__log(KIN_LOG_WARNING, "manager: %lu more clients were refused", server->unlogged);
        server->refusal_second = now;
        server->refusals = 0;
        server->unlogged = 0;
    }
    if (server->refusals++ >= REFUSALS_LOGGED) {
        server->unlogged++;
        return;
    }
    if (kin__os_address_of_peer(descriptor, &address) < 0 ||
        kin__os_address_text(&address, text, sizeof text) < 0)
        text[0] = '\0';
    kin__log(KIN_LOG_WARNING, "manager: a client%s%s was refused: %s", text[0] != '\0' ? " at " : "", text,
             why);
}

void kin__blame(struct kin__session *session, int rc)
{
    struct kin__server *server = session->server;
    if (!kin__is_our_failure(rc))
        kin__offenders_note(&server->offenders, session->network, KIN__FAILURES_DEFAULT, kin__os_clock());
    const char *why = rc == -ETIMEDOUT ? "it did not authenticate in time" : kin_strerror(rc);
    bool of_tls = rc == KIN_ETLS || rc == KIN_ECERTIFICATE;
    kin__log_refusal(server, session->descriptor,
                     of_tls && session->tls != NULL ? kin__tls_why(session->tls) : why);
}

bool kin__is_offender(const struct kin__server *server, uint64_t network)
{
    return kin__offenders_refuse(&server->offenders, network, KIN__FAILURES_DEFAULT, kin__os_clock());
}
