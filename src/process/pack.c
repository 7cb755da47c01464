/* pack.c: what is to be set in a new process, as bytes for another process of the same program, which sets
 * it there.
 *
 * The setting comes first, then what it refers to, one after the other: numbers of eight bytes before
 * those of four, and those before strings.  Both sides take the same steps over it, and the pointers in
 * the setting are made anew.
 */
#include <errno.h>
#include <string.h>

#include "os/os.h"
#include "process/placement.h"

struct packed {
    struct kin__setting setting;
    size_t variables; /* of the environment */
    bool has_environment;
    bool has_directory;
};

_Static_assert(_Alignof(struct packed) <= KIN__PACKED_ALIGNMENT, "it is aligned where it comes");

/* Where the next piece goes; NULL: it is only measured. */
struct cursor {
    char *bytes;
    size_t at;
};

static void put(struct cursor *cursor, const void *piece, size_t size)
{
    if (cursor->bytes != NULL && size > 0) memcpy(cursor->bytes + cursor->at, piece, size);
    cursor->at += size;
}

static size_t variables_of(const char *const *environment)
{
    size_t count = 0;
    while (environment != NULL && environment[count] != NULL) count++;
    return count;
}

static void put_all(struct cursor *cursor, const struct kin__placement *placement, const struct packed *head)
{
    const struct kin__setting *setting = &head->setting;
    put(cursor, head, sizeof *head);
    put(cursor, setting->resources, setting->resource_count * sizeof *setting->resources);
    put(cursor, setting->cpus, setting->cpu_words * sizeof *setting->cpus);
    put(cursor, setting->nodes, setting->node_words * sizeof *setting->nodes);
    put(cursor, setting->groups, setting->group_count * sizeof *setting->groups);
    if (head->has_directory) put(cursor, setting->directory, strlen(setting->directory) + 1);
    for (size_t i = 0; i < head->variables; i++)
        put(cursor, placement->environment[i], strlen(placement->environment[i]) + 1);
}

int kin__placement_pack(const struct kin__placement *placement, void **made, size_t *size)
{
    const struct packed head = {
        .setting = placement->setting,
        .variables = variables_of(placement->environment),
        .has_environment = placement->environment != NULL,
        .has_directory = placement->setting.directory != NULL,
    };
    struct cursor cursor = {NULL, 0};
    put_all(&cursor, placement, &head);
    *size = cursor.at;
    *made = cursor.bytes = kin__os_malloc(*size);
    if (*made == NULL) return -ENOMEM;
    cursor.at = 0;
    put_all(&cursor, placement, &head);
    return 0;
}

static void *take(struct cursor *cursor, size_t size)
{
    void *piece = cursor->bytes + cursor->at;
    cursor->at += size;
    return piece;
}

static const char *take_string(struct cursor *cursor)
{
    return take(cursor, strlen(cursor->bytes + cursor->at) + 1);
}

/* What was not given stays NULL. */
static void *take_list(struct cursor *cursor, const void *given, size_t size)
{
    return given == NULL ? NULL : take(cursor, size);
}

int kin__placement_unpack(void *packed, struct kin__setting *setting, const char *const **environment)
{
    struct cursor cursor = {packed, 0};
    const struct packed *head = take(&cursor, sizeof *head);
    *setting = head->setting;
    setting->resources =
        take_list(&cursor, setting->resources, setting->resource_count * sizeof *setting->resources);
    setting->cpus = take_list(&cursor, setting->cpus, setting->cpu_words * sizeof *setting->cpus);
    setting->nodes = take_list(&cursor, setting->nodes, setting->node_words * sizeof *setting->nodes);
    setting->groups = take_list(&cursor, setting->groups, setting->group_count * sizeof *setting->groups);
    if (head->has_directory) setting->directory = take_string(&cursor);
    *environment = NULL;
    if (!head->has_environment) return 0;
    const char **list = kin__os_malloc((head->variables + 1) * sizeof *list);
    if (list == NULL) return -ENOMEM;
    for (size_t i = 0; i < head->variables; i++) list[i] = take_string(&cursor);
    list[head->variables] = NULL;
    *environment = list;
    return 0;
}
