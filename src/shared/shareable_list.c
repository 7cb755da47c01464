/* shareable_list.c: a list in the layout of Python's ShareableList (Lib/multiprocessing/shared_memory.py).
 *
 *     q                  count
 *     q × (count + 1)    where each item begins, from the start of the data; then where the data ends
 *     data               each item in a multiple of 8 bytes
 *     8s × count         the format of each item, as Python's struct module writes it
 *     b × count          0: a number or bool, 1: str, 2: bytes, 3: None
 *
 * Everything in it was written by somebody else: it is checked when it is read, and the bounds are
 * copied once, when the list is opened.  What Python does to str and bytes it does with the zero
 * bytes after them cut off; so what ends with one is refused here, and the place of a str is counted
 * in bytes.
 */
#include <kin/shareable_list.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "base/error.h"
#include "os/os.h"
#include "shared/shared_memory.h"

#define UNIT      8
#define SIZE_MOST 9999990 /* of an item, so that its format has eight characters at most */

enum transform { TRANSFORM_NUMBER = 0, TRANSFORM_STR = 1, TRANSFORM_BYTES = 2, TRANSFORM_NONE = 3 };

struct kin_shareable_list {
    kin_shared_memory *memory;
    size_t count;
    int64_t bounds[]; /* count + 1 */
};

/* ---- text ------------------------------------------------------------------------------------- */

/* The length of the well-formed sequence that begins there; 0: none does. */
static size_t sequence(const unsigned char *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    uint32_t point = length == 1 ? at[0] : at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2) return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    return point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0 : length;
}

static bool is_text(const char *bytes, size_t size)
{
    for (size_t i = 0, step; i < size; i += step) {
        step = sequence((const unsigned char *)bytes + i, size - i);
        if (step == 0) return false;
    }
    return true;
}

static int check_item(const kin_shareable_item *item)
{
    if (item == NULL || item->type < KIN_SHAREABLE_NONE || item->type > KIN_SHAREABLE_BYTES) return -EINVAL;
    if (item->type != KIN_SHAREABLE_STR && item->type != KIN_SHAREABLE_BYTES) return 0;
    if (item->size > 0 && item->bytes == NULL) return -EINVAL;
    if (item->size > SIZE_MOST) return -EMSGSIZE;
    if (item->size > 0 && item->bytes[item->size - 1] == '\0') return -EILSEQ;
    return item->type == KIN_SHAREABLE_BYTES || is_text(item->bytes, item->size) ? 0 : -EILSEQ;
}

/* How many bytes the item gets: as Python, at least one more than it has. */
static size_t room_for(const kin_shareable_item *item)
{
    bool text = item->type == KIN_SHAREABLE_STR || item->type == KIN_SHAREABLE_BYTES;
    return text ? (item->size / UNIT + 1) * UNIT : UNIT;
}

/* ---- where things are ------------------------------------------------------------------------------ */

static char *data_of(const kin_shareable_list *list)
{
    return (char *)kin_shared_memory_data(list->memory) + (list->count + 2) * UNIT;
}

static char *place_of(const kin_shareable_list *list, size_t index, size_t *room)
{
    *room = (size_t)(list->bounds[index + 1] - list->bounds[index]);
    return data_of(list) + list->bounds[index];
}

static char *format_of(const kin_shareable_list *list, size_t index)
{
    return data_of(list) + list->bounds[list->count] + index * UNIT;
}

static char *transform_of(const kin_shareable_list *list, size_t index)
{
    return format_of(list, list->count) + index;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static int make_handle(kin_shareable_list **list, kin_shared_memory *memory, size_t count)
{
    *list = kin__os_malloc(sizeof **list + (count + 1) * sizeof(int64_t));
    if (*list == NULL) return -ENOMEM;
    (*list)->memory = memory;
    (*list)->count = count;
    return 0;
}

static void put_item(const kin_shareable_list *list, size_t index, const kin_shareable_item *item)
{
    size_t room;
    char *place = place_of(list, index, &room), format[16] = "q";
    char transform = TRANSFORM_NUMBER;
    memset(place, 0, room);
    switch (item->type) {
    case KIN_SHAREABLE_INT: memcpy(place, &item->integer, sizeof item->integer); break;
    case KIN_SHAREABLE_FLOAT:
        memcpy(place, &item->real, sizeof item->real);
        strcpy(format, "d");
        break;
    case KIN_SHAREABLE_BOOL:
        place[UNIT - 1] = item->boolean;
        strcpy(format, "xxxxxxx?");
        break;
    case KIN_SHAREABLE_NONE:
        strcpy(format, "xxxxxx?x");
        transform = TRANSFORM_NONE;
        break;
    default:
        if (item->size > 0) memcpy(place, item->bytes, item->size);
        snprintf(format, sizeof format, "%zus", room);
        transform = item->type == KIN_SHAREABLE_STR ? TRANSFORM_STR : TRANSFORM_BYTES;
        break;
    }
    /* The format goes on to the end of its eight bytes, with zeros after it. */
    char eight[UNIT] = {0};
    memcpy(eight, format, strlen(format));
    memcpy(format_of(list, index), eight, sizeof eight);
    *transform_of(list, index) = transform;
}

static void fill(kin_shareable_list *list, const kin_shareable_item *items)
{
    char *start = kin_shared_memory_data(list->memory);
    list->bounds[0] = 0;
    for (size_t i = 0; i < list->count; i++)
        list->bounds[i + 1] = list->bounds[i] + (int64_t)room_for(&items[i]);
    memcpy(start, &(int64_t){(int64_t)list->count}, UNIT);
    memcpy(start + UNIT, list->bounds, (list->count + 1) * sizeof *list->bounds);
    for (size_t i = 0; i < list->count; i++) put_item(list, i, &items[i]);
}

int kin_shareable_list_create(kin_shareable_list **list, const char *name, const kin_shareable_item *items,
                              size_t count)
{
    kin_shareable_list *made = NULL;
    size_t total = (count * 2 + 2) * UNIT + count;
    int rc = 0;
    if (list == NULL || (items == NULL && count > 0)) return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        rc = check_item(&items[i]);
        if (rc < 0) return rc;
        total += room_for(&items[i]);
    }
    rc = make_handle(&made, NULL, count);
    if (rc < 0) return rc;
    do {
        rc = kin__shared_memory_make(&made->memory, name, total, false);
        if (rc < 0) break;
        fill(made, items);
        rc = kin__shared_memory_publish(made->memory);
    } while (rc == -EEXIST && name == NULL);
    if (rc == 0)
        *list = made;
    else
        kin__os_free(made);
    return rc;
}

/* Copies the bounds and checks that everything lies within the block. */
static bool copy_bounds(kin_shareable_list *list, size_t size)
{
    size_t rest = size - (list->count * 2 + 2) * UNIT - list->count;
    memcpy(list->bounds, (char *)kin_shared_memory_data(list->memory) + UNIT,
           (list->count + 1) * sizeof *list->bounds);
    if (list->bounds[0] != 0) return false;
    for (size_t i = 0; i < list->count; i++) {
        int64_t start = list->bounds[i], end = list->bounds[i + 1];
        if (end <= start || end % UNIT != 0 || (uint64_t)end > rest) return false;
    }
    return true;
}

int kin_shareable_list_attach(kin_shareable_list **list, const char *name)
{
    kin_shared_memory *memory = NULL;
    kin_shareable_list *made = NULL;
    int64_t count = -1;
    if (list == NULL) return -EINVAL;
    int rc = kin_shared_memory_attach(&memory, name);
    if (rc < 0) return rc;
    size_t size = kin_shared_memory_size(memory);
    if (size >= 2 * UNIT) memcpy(&count, kin_shared_memory_data(memory), sizeof count);
    if (count < 0 || (uint64_t)count > (size - 2 * UNIT) / (2 * UNIT + 1)) rc = -EBADMSG;
    if (rc == 0) rc = make_handle(&made, memory, (size_t)count);
    if (rc == 0 && !copy_bounds(made, size)) rc = -EBADMSG;
    if (rc < 0) {
        kin__os_free(made);
        kin_shared_memory_close(memory);
        return rc;
    }
    *list = made;
    return 0;
}

/* ---- items ---------------------------------------------------------------------------------------------- */

long kin_shareable_list_length(const kin_shareable_list *list)
{
    return list == NULL ? -EINVAL : (long)list->count;
}

/* What a format says, in eight bytes of our own; -EBADMSG. */
static int type_of(const char format[UNIT + 1], char transform, size_t room, enum kin_shareable_type *type)
{
    size_t length = 0;
    char s = 0, after = 0;
    if (transform == TRANSFORM_NONE)
        *type = KIN_SHAREABLE_NONE;
    else if (strcmp(format, "q") == 0)
        *type = KIN_SHAREABLE_INT;
    else if (strcmp(format, "d") == 0)
        *type = KIN_SHAREABLE_FLOAT;
    else if (strcmp(format, "xxxxxxx?") == 0)
        *type = KIN_SHAREABLE_BOOL;
    else if (sscanf(format, "%7zu%c%c", &length, &s, &after) == 2 && s == 's' && length <= room &&
             (transform == TRANSFORM_STR || transform == TRANSFORM_BYTES))
        *type = transform == TRANSFORM_STR ? KIN_SHAREABLE_STR : KIN_SHAREABLE_BYTES;
    else
        return -EBADMSG;
    return 0;
}

/* Copies a str or bytes, without the zeros after it. */
static int get_bytes(const char *place, size_t room, kin_shareable_item *item, char *buffer, size_t size)
{
    while (room > 0 && place[room - 1] == '\0') room--;
    if (size < room + 1) {
        kin__needed_size_set(room + 1);
        return KIN_ETOOSMALL;
    }
    if (buffer == NULL) return -EINVAL;
    memcpy(buffer, place, room);
    buffer[room] = '\0';
    item->bytes = buffer;
    item->size = room;
    return item->type == KIN_SHAREABLE_BYTES || is_text(buffer, room) ? 0 : -EILSEQ;
}

int kin_shareable_list_get(const kin_shareable_list *list, size_t index, kin_shareable_item *item,
                           char *buffer, size_t size)
{
    char format[UNIT + 1] = {0};
    size_t room;
    kin_shareable_item got = {.type = KIN_SHAREABLE_NONE};
    if (list == NULL || item == NULL) return -EINVAL;
    if (index >= list->count) return KIN_EINDEX;
    const char *place = place_of(list, index, &room);
    memcpy(format, format_of(list, index), UNIT);
    int rc = type_of(format, *transform_of(list, index), room, &got.type);
    if (rc < 0) return rc;
    if (got.type == KIN_SHAREABLE_INT) memcpy(&got.integer, place, sizeof got.integer);
    if (got.type == KIN_SHAREABLE_FLOAT) memcpy(&got.real, place, sizeof got.real);
    if (got.type == KIN_SHAREABLE_BOOL) got.boolean = place[UNIT - 1] != 0;
    if (got.type == KIN_SHAREABLE_STR || got.type == KIN_SHAREABLE_BYTES)
        rc = get_bytes(place, room, &got, buffer, size);
    if (rc == 0) *item = got;
    return rc;
}

int kin_shareable_list_set(kin_shareable_list *list, size_t index, const kin_shareable_item *item)
{
    size_t room;
    int rc = list == NULL ? -EINVAL : check_item(item);
    if (rc < 0) return rc;
    if (index >= list->count) return KIN_EINDEX;
    place_of(list, index, &room);
    if ((item->type == KIN_SHAREABLE_STR || item->type == KIN_SHAREABLE_BYTES) && item->size > room)
        return -EMSGSIZE;
    put_item(list, index, item);
    return 0;
}

kin_shared_memory *kin_shareable_list_memory(const kin_shareable_list *list)
{
    return list != NULL ? list->memory : NULL;
}

int kin_shareable_list_close(kin_shareable_list *list)
{
    if (list == NULL) return 0;
    int rc = kin_shared_memory_close(list->memory);
    kin__os_free(list);
    return rc;
}
