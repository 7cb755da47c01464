/* object.c: see object.h.
 *
 * Numbers are random, so that nobody can name an object before it is there: a proxy that outlived its
 * object, or its manager, never names another one.
 */
#include "manager/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "manager/reference.h"
#include "manager/wire.h"
#include "os/os.h"
#include "value/value.h"

#define FIRST_BUCKETS 64

/* Values nested deeper than this hold no proxies for us; the codec reads no deeper ones. */
#define DEPTH_MOST 200

/* ---- the table --------------------------------------------------------------------------------- */

static struct kin__managed **bucket_of(struct kin__registry *registry, uint64_t number)
{
    return &registry->buckets[number & (registry->bucket_count - 1)];
}

static int grow(struct kin__registry *registry)
{
    struct kin__registry larger = *registry;
    larger.bucket_count = registry->bucket_count == 0 ? FIRST_BUCKETS : 2 * registry->bucket_count;
    larger.buckets = kin__os_calloc(larger.bucket_count, sizeof(struct kin__managed *));
    if (larger.buckets == NULL) return -ENOMEM;
    for (size_t i = 0; i < registry->bucket_count; i++) {
        struct kin__managed *next;
        for (struct kin__managed *object = registry->buckets[i]; object != NULL; object = next) {
            struct kin__managed **bucket = bucket_of(&larger, object->number);
            next = object->next;
            object->next = *bucket;
            *bucket = object;
        }
    }
    kin__os_free(registry->buckets);
    *registry = larger;
    return 0;
}

static struct kin__managed *make(struct kin__server *server, const struct kin__type *type, uint64_t number)
{
    struct kin__registry *registry = &server->registry;
    if (registry->count >= registry->bucket_count && grow(registry) < 0 && registry->bucket_count == 0)
        return NULL;
    struct kin__managed *object = kin__os_calloc(1, type->size);
    if (object == NULL) return NULL;
    object->type = type;
    object->number = number;
    object->references = 1;
    kin__links_init(&object->lent);
    struct kin__managed **bucket = bucket_of(registry, object->number);
    object->next = *bucket;
    *bucket = object;
    registry->count++;
    return object;
}

struct kin__managed *kin__managed_make(struct kin__server *server, const struct kin__type *type)
{
    uint64_t number = 0;
    return kin__os_random(&number, sizeof number) < 0 ? NULL : make(server, type, number);
}

/* Nobody finds it any more. */
static void take_out(struct kin__registry *registry, struct kin__managed *object)
{
    struct kin__managed **at = bucket_of(registry, object->number);
    while (*at != object) at = &(*at)->next;
    *at = object->next;
    registry->count--;
}

void kin__managed_unmake(struct kin__server *server, struct kin__managed *object)
{
    take_out(&server->registry, object);
    kin__os_free(object);
}

struct kin__managed *kin__managed_incref(struct kin__managed *object)
{
    object->references++;
    return object;
}

void kin__managed_decref(struct kin__server *server, struct kin__managed *object)
{
    struct kin__registry *registry = &server->registry;
    if (object == NULL || --object->references > 0) return;
    take_out(registry, object);
    object->next = registry->dead;
    registry->dead = object;
    /* One that drops another comes here again: a chain of them, however long, is a loop. */
    if (registry->dropping) return;
    registry->dropping = true;
    while ((object = registry->dead) != NULL) {
        registry->dead = object->next;
        if (object->type->drop != NULL) object->type->drop(server, object);
        kin__os_free(object);
    }
    registry->dropping = false;
}

/* In as few characters as can be, so that such a name fits into a value that has no memory of its own. */
#define DIGIT_BITS 5
#define DIGIT_MOST ((1u << DIGIT_BITS) - 1)

void kin__managed_ident(const struct kin__managed *object, char ident[KIN__IDENT_SIZE])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    char reversed[KIN__IDENT_SIZE];
    uint64_t number = object->number;
    size_t count = 0;
    do reversed[count++] = digits[number & DIGIT_MOST];
    while ((number >>= DIGIT_BITS) != 0);
    for (size_t i = 0; i < count; i++) ident[i] = reversed[count - 1 - i];
    ident[count] = '\0';
}

/* The number that a name stands for. */
static bool number_of(const char *ident, uint64_t *number)
{
    /* One more than each digit is worth; 0: it is none. */
    static const uint8_t worth[UINT8_MAX + 1] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
        ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
        ['g'] = 17, ['h'] = 18, ['i'] = 19, ['j'] = 20, ['k'] = 21, ['l'] = 22, ['m'] = 23, ['n'] = 24,
        ['o'] = 25, ['p'] = 26, ['q'] = 27, ['r'] = 28, ['s'] = 29, ['t'] = 30, ['u'] = 31, ['v'] = 32};
    const char *at = ident;
    uint64_t value = 0;
    for (uint8_t digit; (digit = worth[(uint8_t)*at]) != 0 && value <= UINT64_MAX >> DIGIT_BITS; at++)
        value = value << DIGIT_BITS | (digit - 1U);
    *number = value;
    return *at == '\0' && at > ident;
}

struct kin__managed *kin__managed_find(struct kin__server *server, const char *ident)
{
    uint64_t number;
    if (server->registry.bucket_count == 0 || !number_of(ident, &number)) return NULL;
    struct kin__managed *object = *bucket_of(&server->registry, number);
    while (object != NULL && object->number != number) object = object->next;
    return object;
}

int kin__managed_make_named(struct kin__server *server, const struct kin__type *type, const char *ident)
{
    uint64_t number;
    if (!number_of(ident, &number)) return -EINVAL;
    return make(server, type, number) != NULL ? 0 : -ENOMEM;
}

struct kin__managed *kin__managed_named(struct kin__server *server, const kin_value *ident)
{
    const char *text = kin_value_get_str(ident, NULL);
    return text != NULL ? kin__managed_find(server, text) : NULL;
}

struct kin__managed *kin__registry_next(struct kin__registry *registry, size_t *bucket,
                                        struct kin__managed *object)
{
    if (object != NULL) object = object->next;
    while (object == NULL && *bucket < registry->bucket_count) object = registry->buckets[(*bucket)++];
    return object;
}

kin_value kin__registry_describe(struct kin__server *server)
{
    kin_buffer text = {0};
    struct kin__managed *object = NULL;
    size_t bucket = 0;
    while ((object = kin__registry_next(&server->registry, &bucket, object)) != NULL) {
        char line[160], ident[KIN__IDENT_SIZE];
        kin__managed_ident(object, ident);
        int length = snprintf(line, sizeof line, "  %-16s refcount=%" PRIu64 "\n    <%.60s>\n", ident,
                              object->references, object->type->name);
        if (kin_buffer_append(&text, line, (size_t)length) < 0) break;
    }
    kin_value described = kin_value_str_sized((const char *)text.data, text.size);
    kin_buffer_free(&text);
    return described;
}

/* Objects refer to each other: none is freed before the last one has let go of the others. */
void kin__registry_drop(struct kin__server *server)
{
    struct kin__registry *registry = &server->registry;
    struct kin__managed *object = NULL;
    size_t bucket = 0;
    while ((object = kin__registry_next(registry, &bucket, object)) != NULL)
        object->references = UINT64_MAX / 2;
    for (bucket = 0; (object = kin__registry_next(registry, &bucket, object)) != NULL;) {
        if (object->type->drop != NULL) object->type->drop(server, object);
    }
    for (bucket = 0; bucket < registry->bucket_count; bucket++) {
        while ((object = registry->buckets[bucket]) != NULL) {
            registry->buckets[bucket] = object->next;
            kin__os_free(object);
        }
    }
    kin__os_free(registry->buckets);
    *registry = (struct kin__registry){0};
}

/* ---- proxies in values ---------------------------------------------------------------------------- */

typedef int visit_function(struct kin__server *server, struct kin__managed *object, void *context);

/* Visits the objects of this manager that proxies in the value name. */
static int visit(struct kin__server *server, const kin_value *value, unsigned depth, visit_function *function,
                 void *context)
{
    const kin_value *key, *item;
    struct kin__managed *object;
    size_t at = 0;
    int rc = 0;
    switch (kin_value_kind(value)) {
    case KIN_VALUE_PROXY:
    case KIN_VALUE_TOKEN:
        /* By its number alone: each client names the server by the address it knows it by. */
        object = kin__managed_find(server, kin_value_token_id(value));
        return object != NULL ? function(server, object, context) : 0;
    case KIN_VALUE_TUPLE:
    case KIN_VALUE_LIST:
    case KIN_VALUE_DICT:
    case KIN_VALUE_SET:
    case KIN_VALUE_FROZENSET:
        while (depth < DEPTH_MOST && rc == 0 && kin_value_next(value, &at, &key, &item)) {
            rc = visit(server, key, depth + 1, function, context);
            if (rc == 0 && item != NULL && item != key)
                rc = visit(server, item, depth + 1, function, context);
        }
        return rc;
    default: return 0;
    }
}

static int keep(struct kin__server *server, struct kin__managed *object, void *context)
{
    (void)context;
    kin__managed_incref(object);
    server->kept_proxies++;
    return 0;
}

static int unkeep(struct kin__server *server, struct kin__managed *object, void *context)
{
    (void)context;
    server->kept_proxies--;
    kin__managed_decref(server, object);
    return 0;
}

kin_value kin__keep(struct kin__call *call, const kin_value *value)
{
    if (value == NULL) return kin_value_none();
    if (call->has_proxies) visit(call->server, value, 0, keep, NULL);
    return kin_value_ref(value);
}

kin_value kin__keep_again(struct kin__server *server, const kin_value *value)
{
    if (server->kept_proxies > 0) visit(server, value, 0, keep, NULL);
    return kin_value_ref(value);
}

void kin__keep_not(struct kin__call *call, const kin_value *value)
{
    kin_value kept = value != NULL ? kin_value_ref(value) : kin_value_none();
    kin__unkeep(call->server, &kept);
}

void kin__unkeep(struct kin__server *server, kin_value *value)
{
    if (server->kept_proxies > 0) visit(server, value, 0, unkeep, NULL);
    kin_value_clear(value);
}

static int lend(struct kin__server *server, struct kin__managed *object, void *context)
{
    (void)server;
    return kin__reference_lend(context, object);
}

static int refuse(struct kin__server *server, struct kin__managed *object, void *context)
{
    (void)server;
    (void)object;
    (void)context;
    return -EINVAL;
}

bool kin__names_objects(struct kin__call *call, const kin_value *value)
{
    return call->has_proxies && visit(call->server, value, 0, refuse, NULL) < 0;
}

int kin__lend(struct kin__session *session, const kin_value *value)
{
    session->answers++;
    if (session->server->kept_proxies == 0) return 0;
    return visit(session->server, value, 0, lend, session);
}

/* ---- what the wire says about an object -------------------------------------------------------------- */

kin_value kin__exposed(const struct kin__type *type)
{
    kin_value names = kin_value_list(NULL, 0);
    for (const struct kin__method *method = type->methods; method->name != NULL; method++) {
        kin__collect(&names, kin_value_str(method->name));
    }
    return names;
}

kin_value kin__token_of(struct kin__server *server, const struct kin__managed *object)
{
    char ident[KIN__IDENT_SIZE];
    kin__managed_ident(object, ident);
    return kin_value_token(object->type->name, kin__address_value(server->address), ident);
}
