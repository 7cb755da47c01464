/* snapshot.c: see snapshot.h.
 *
 * A snapshot is a pickle of (shared, objects): who has which name, and of each object its number, the name it is
 * made by, its type, how often clients have counted it, what it is made with, and its state.  Behind it stand a magic word,
 * its size and a digest of it, so that a file that is not whole is told from one that is.  It is written
 * under another name, synced, and renamed.
 *
 * CRASH: at any moment the file is the last whole snapshot; what is left under the other name is overwritten
 * by the next one.
 *
 * A name may be served as another type the next time.  What the next writing would lose so, or for a name that is not
 * served at all, is refused before anything is made.
 *
 * Objects refer to each other by their numbers, which they keep: all of them are there before the first
 * gets its state.  What only the connections of clients had a reference of is gone with these.
 */
#include "manager/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/container.h>
#include <kin/error.h>
#include <kin/object.h>
#include <kin/pickle.h>

#include "base/log.h"
#include "manager/dispatch.h"
#include "manager/object.h"
#include "manager/permission.h"
#include "manager/types.h"
#include "os/file.h"
#include "os/openssl.h"
#include "os/os.h"
#include "process/words.h"
#include "value/value.h"

#define DIGEST_SIZE 32

/* A manager that was killed leaves processes behind for a moment, which have its file. */
#define CLAIM_MS 1000

/* What tells a snapshot's digest from another use of the same bytes. */
#define DIGEST_KEY "kin manager snapshot 1"

#define MAGIC         "kinsnap2"
#define MAGIC_VERSION 7 /* where its version stands */

struct trailer {
    char magic[8];
    uint64_t size; /* of the pickle before it */
    uint8_t digest[DIGEST_SIZE];
};

struct kin__snapshots {
    uv_timer_t timer;
    uv_work_t work;
    struct kin__server *server;
    kin_buffer bytes; /* that are being written */
    uint64_t calls;   /* of the server when the last one was made */
    int rc;
    int failed; /* what the log was told of last; 0: nothing */
    bool writing;
};

/* ---- writing --------------------------------------------------------------------------------------- */

static kin_value describe(struct kin__managed *object)
{
    char ident[KIN__IDENT_SIZE];
    kin_value arguments = kin_value_none(), state = kin_value_none();
    kin__managed_ident(object, ident);
    object->type->save(object, &arguments, &state);
    if (kin_value_kind(&arguments) == KIN_VALUE_NONE) arguments = kin_value_tuple(NULL, 0);
    return kin_value_build("(sssvvv)", ident, kin__permission_name(object->type), object->type->name,
                           kin_value_uint(object->counted), arguments, state);
}

static kin_value names_of_shared(struct kin__server *server)
{
    kin_value names = kin_value_dict();
    int rc = 0;
    for (size_t i = 0; i < server->type_count && rc == 0; i++) {
        char ident[KIN__IDENT_SIZE];
        if (server->shared[i] == NULL || server->shared[i]->type->save == NULL) continue;
        kin__managed_ident(server->shared[i], ident);
        rc = kin_value_dict_set_str(&names, server->types[i].user->name, kin_value_str(ident));
    }
    if (rc == 0) return names;
    kin_value_clear(&names);
    return kin_value_failed(rc);
}

static int put_together(struct kin__server *server, kin_buffer *bytes)
{
    kin_value objects = kin_value_list(NULL, 0);
    struct kin__managed *object = NULL;
    size_t bucket = 0;
    struct trailer trailer = {.magic = MAGIC};
    uint8_t digest[KIN__HMAC_MOST];
    while ((object = kin__registry_next(&server->registry, &bucket, object)) != NULL) {
        if (object->type->save != NULL) kin__collect(&objects, describe(object));
    }
    kin_value all = kin_value_build("(vv)", names_of_shared(server), objects);
    bytes->size = 0;
    int rc = kin_pickle_dumps(&all, bytes);
    kin_value_clear(&all);
    if (rc < 0) return rc;
    trailer.size = bytes->size;
    rc = kin__os_hmac(KIN__SHA256, DIGEST_KEY, strlen(DIGEST_KEY), bytes->data, bytes->size, digest);
    if (rc < 0) return rc;
    memcpy(trailer.digest, digest, DIGEST_SIZE);
    return kin_buffer_append(bytes, &trailer, sizeof trailer);
}

static void log_failure(const struct kin__server *server, int rc)
{
    if (rc < 0)
        kin__log(KIN_LOG_ERROR, "manager: cannot write %s: %s; what was written before stays",
                 server->snapshot, kin_strerror(rc));
}

int kin__snapshot_write(struct kin__server *server)
{
    kin_buffer bytes = {0};
    int rc = put_together(server, &bytes);
    if (rc == 0) rc = kin__os_file_replace(server->snapshot, bytes.data, bytes.size);
    kin_buffer_free(&bytes);
    log_failure(server, rc);
    return rc;
}

/* ---- at intervals ------------------------------------------------------------------------------------ */

/* In a thread of the loop's, which the disk may keep waiting. */
static void write_bytes(uv_work_t *work)
{
    struct kin__snapshots *snapshots = work->data;
    snapshots->rc =
        kin__os_file_replace(snapshots->server->snapshot, snapshots->bytes.data, snapshots->bytes.size);
}

/* A failure is told once, and so is its end; at the next interval it is tried again. */
static void conclude(struct kin__snapshots *snapshots, int rc)
{
    if (rc < 0) snapshots->calls = UINT64_MAX;
    if (rc < 0 && rc != snapshots->failed) log_failure(snapshots->server, rc);
    if (rc == 0 && snapshots->failed < 0)
        kin__log(KIN_LOG_WARNING, "manager: %s is written again", snapshots->server->snapshot);
    snapshots->failed = rc;
}

static void on_written(uv_work_t *work, int status)
{
    struct kin__snapshots *snapshots = work->data;
    (void)status;
    snapshots->writing = false;
    kin_buffer_free(&snapshots->bytes);
    conclude(snapshots, snapshots->rc);
}

static void on_interval(uv_timer_t *timer)
{
    struct kin__snapshots *snapshots = timer->data;
    struct kin__server *server = snapshots->server;
    if (snapshots->writing || snapshots->calls == server->calls) return;
    int rc = put_together(server, &snapshots->bytes);
    if (rc < 0) {
        conclude(snapshots, rc);
        return;
    }
    snapshots->calls = server->calls;
    snapshots->writing = uv_queue_work(&server->loop, &snapshots->work, write_bytes, on_written) == 0;
}

void kin__snapshots_begin(struct kin__server *server)
{
    if (server->snapshot == NULL || server->snapshot_ns <= 0) return;
    struct kin__snapshots *snapshots = kin__os_calloc(1, sizeof *snapshots);
    if (snapshots == NULL) return;
    server->snapshots = snapshots;
    snapshots->server = server;
    snapshots->work.data = snapshots;
    uv_timer_init(&server->loop, &snapshots->timer);
    snapshots->timer.data = snapshots;
    uint64_t interval = ((uint64_t)server->snapshot_ns + 999999) / 1000000;
    uv_timer_start(&snapshots->timer, on_interval, interval, interval);
}

static void on_closed(uv_handle_t *timer)
{
    kin__os_free(timer->data);
}

void kin__snapshots_end(struct kin__server *server)
{
    struct kin__snapshots *snapshots = server->snapshots;
    if (snapshots == NULL) return;
    server->snapshots = NULL;
    uv_timer_stop(&snapshots->timer);
    while (snapshots->writing) uv_run(&server->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&snapshots->timer, on_closed);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static int refuse_damaged(const struct kin__server *server)
{
    return kin__start_say(KIN_ESNAPSHOT, "the snapshot is not whole, or is none: %s", server->snapshot);
}

/* It is whole, and says what this version does not write. */
static int refuse_version(const struct kin__server *server)
{
    return kin__start_say(KIN_ESNAPSHOT, "the snapshot is of another version of kin: %s", server->snapshot);
}

static int check(const struct kin__server *server, const kin_buffer *bytes)
{
    struct trailer trailer;
    uint8_t digest[KIN__HMAC_MOST];
    if (bytes->size < sizeof trailer) return refuse_damaged(server);
    size_t size = bytes->size - sizeof trailer;
    memcpy(&trailer, bytes->data + size, sizeof trailer);
    if (memcmp(trailer.magic, MAGIC, MAGIC_VERSION) != 0 || trailer.size != size)
        return refuse_damaged(server);
    int rc = kin__os_hmac(KIN__SHA256, DIGEST_KEY, strlen(DIGEST_KEY), bytes->data, size, digest);
    if (rc < 0) return rc;
    if (memcmp(digest, trailer.digest, DIGEST_SIZE) != 0) return refuse_damaged(server);
    return trailer.magic[MAGIC_VERSION] == MAGIC[MAGIC_VERSION] ? 0 : refuse_version(server);
}

/* What an entry says. */
struct described {
    const char *ident;
    const char *name;
    const char *type;
    uint64_t counted;
    const kin_value *arguments;
    const kin_value *state;
};

static int parse(const struct kin__server *server, const kin_value *entry, struct described *described)
{
    const kin_value *counted;
    if (kin_value_parse(entry, "(sssvvv)", &described->ident, &described->name, &described->type, &counted,
                        &described->arguments, &described->state) < 0 ||
        kin_value_get_uint(counted, &described->counted) < 0)
        return refuse_version(server);
    return 0;
}

/* An object with its number, and one reference that is given up when all have their states. */
static int add_object(struct kin__server *server, const kin_value *entry)
{
    struct described described;
    int rc = parse(server, entry, &described);
    if (rc < 0) return rc;
    const struct kin__type *type = kin__types_find(server, described.name);
    if (type == NULL || type->save == NULL)
        return kin__start_say(KIN_ESNAPSHOT, "%s, a %s in the snapshot, is not served, and would be lost: %s",
                              described.name, described.type, server->snapshot);
    if (strcmp(type->name, described.type) != 0)
        return kin__start_say(KIN_ESNAPSHOT,
                              "%s, a %s in the snapshot, is served as %s, and would be lost: %s",
                              described.name, described.type, type->name, server->snapshot);
    rc = kin__managed_make_named(server, type, described.ident);
    return rc == -EINVAL ? refuse_version(server) : rc;
}

static int make_object(struct kin__server *server, const kin_value *entry)
{
    static const kin_value none = {0};
    struct described described;
    int rc = parse(server, entry, &described);
    struct kin__managed *object = rc == 0 ? kin__managed_find(server, described.ident) : NULL;
    if (object == NULL) return rc;
    kin_value keywords = kin_value_dict();
    struct kin__call call = {.server = server,
                             .object = object,
                             .arguments = described.arguments,
                             .keywords = &keywords,
                             .has_proxies = true};
    rc = kin__invoke_make(&call) == KIN__RAISE ? KIN_ESNAPSHOT : 0;
    if (rc == 0 && object->type->restore != NULL && !kin_value_equal(described.state, &none))
        rc = object->type->restore(&call, described.state);
    if (rc == KIN_ESNAPSHOT) refuse_version(server);
    kin_value_clear(&call.result);
    kin_value_clear(&keywords);
    object->counted = described.counted;
    object->references += described.counted;
    return rc;
}

static int share(struct kin__server *server, const kin_value *names)
{
    const kin_value *name, *ident;
    for (size_t at = 0; kin_value_next(names, &at, &name, &ident);) {
        const char *text = kin_value_get_str(name, NULL);
        const struct kin__type *type = text != NULL ? kin__types_find(server, text) : NULL;
        struct kin__managed **shared = type != NULL ? kin__types_shared(server, type) : NULL;
        struct kin__managed *object = kin__managed_named(server, ident);
        if (object == NULL) continue;
        if (shared == NULL)
            return kin__start_say(KIN_ESNAPSHOT,
                                  "%s, which is in the snapshot, is not served, and would be lost: %s",
                                  text != NULL ? text : "?", server->snapshot);
        if (*shared == NULL) *shared = kin__managed_incref(object);
    }
    return 0;
}

static int restore(struct kin__server *server, const kin_value *all)
{
    const kin_value *names, *objects, *entry;
    if (kin_value_parse(all, "(vv)", &names, &objects) < 0) return refuse_version(server);
    int rc = 0;
    for (size_t at = 0; rc == 0 && kin_value_next(objects, &at, &entry, NULL);)
        rc = add_object(server, entry);
    for (size_t at = 0; rc == 0 && kin_value_next(objects, &at, &entry, NULL);)
        rc = make_object(server, entry);
    if (rc == 0) rc = share(server, names);
    for (size_t at = 0; rc == 0 && kin_value_next(objects, &at, &entry, NULL);) {
        struct described described;
        parse(server, entry, &described);
        kin__managed_decref(server, kin__managed_find(server, described.ident));
    }
    return rc;
}

static int load(struct kin__server *server)
{
    kin_buffer bytes = {0};
    kin_value all = kin_value_none();
    int rc = kin__os_file_read(server->snapshot, &bytes.data, &bytes.size);
    if (rc == -ENOENT) return 0;
    bytes.capacity = bytes.size;
    if (rc == 0) rc = check(server, &bytes);
    /* A value that a client may send lies some levels deeper here. */
    const kin_pickle_options options = {.max_count = SIZE_MAX, .max_depth = SIZE_MAX, .keep_unknown = true};
    int loaded = rc == 0 ? kin_pickle_loads(&all, bytes.data, bytes.size, &options) : 0;
    if (loaded < 0) rc = loaded == -ENOMEM ? loaded : refuse_version(server);
    if (rc == 0) rc = restore(server, &all);
    kin_value_clear(&all);
    kin_buffer_free(&bytes);
    return rc;
}

static int claim(struct kin__server *server)
{
    kin_deadline deadline = kin_in_ms(CLAIM_MS);
    int rc;
    while ((rc = kin__os_file_claim(server->snapshot, &server->snapshot_lock)) == -EBUSY &&
           kin_clock() < deadline)
        kin__os_sleep_until(kin_in_ms(10));
    return rc;
}

int kin__snapshot_open(struct kin__server *server, const kin_manager_options *options)
{
    server->snapshot = kin__os_malloc(strlen(options->snapshot) + 1);
    if (server->snapshot == NULL) return -ENOMEM;
    strcpy(server->snapshot, options->snapshot);
    server->snapshot_ns = options->snapshot_ns;
    int rc = claim(server);
    if (rc == -EBUSY)
        return kin__start_say(rc, "the snapshot is that of another manager, which runs: %s",
                              server->snapshot);
    if (rc == 0) rc = load(server);
    return rc < 0 && rc != KIN_ESNAPSHOT ? kin__start_fail(rc, "the snapshot %.150s", server->snapshot) : rc;
}

void kin__snapshot_close(struct kin__server *server, bool ended)
{
    if (server->snapshot_lock >= 0 && ended)
        kin__os_file_disclaim(server->snapshot, server->snapshot_lock);
    else if (server->snapshot_lock >= 0)
        kin__os_close(server->snapshot_lock);
    kin__os_free(server->snapshot);
}
