/* kin/shareable_list.h: a list of a fixed length in a named block of memory, in the layout of
 * Python's ShareableList: both sides can make it, read it and change it.
 *
 *     kin_shareable_list *list = NULL;
 *     const kin_shareable_item items[] = {
 *         {.type = KIN_SHAREABLE_STR, .bytes = "größe", .size = strlen("größe")},
 *         {.type = KIN_SHAREABLE_INT, .integer = 42},
 *     };
 *     rc = kin_shareable_list_create(&list, "settings", items, 2);
 *     …                                        >>> ShareableList(name="settings")[0]     # Python
 *                                              'größe'
 *
 * Nothing locks the list: an item that one process changes while another reads it may be read
 * half-changed. */
#ifndef KIN_SHAREABLE_LIST_H
#define KIN_SHAREABLE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/shared_memory.h>

KIN_BEGIN

/* A handle in the private memory of the process that opened it. */
typedef struct kin_shareable_list kin_shareable_list;

enum kin_shareable_type {
    KIN_SHAREABLE_NONE = 0,
    KIN_SHAREABLE_INT = 1,
    KIN_SHAREABLE_FLOAT = 2,
    KIN_SHAREABLE_BOOL = 3,
    KIN_SHAREABLE_STR = 4, /* UTF-8 */
    KIN_SHAREABLE_BYTES = 5
};

typedef struct kin_shareable_item {
    enum kin_shareable_type type;
    bool boolean;
    int64_t integer;
    double real;
    const char *bytes; /* of a str or bytes; it need not end with a NUL */
    size_t size;       /* how many they are */
} kin_shareable_item;

/* kin_shareable_list_create makes a list of `count` items in a new block of memory with that name
 * (NULL: a new name), and stores a handle for it in `*list`.  A str or bytes has room to grow to the
 * next multiple of 8 bytes.  The block lives as kin_shared_memory_create says.
 * Errors, after which nothing is left: -EILSEQ (a str that is no UTF-8, or a str or bytes that ends
 * with a zero byte, which Python would not read), -EMSGSIZE (one of more than 9,999,990 bytes),
 * -EINVAL (NULL, or a type that is none), and those of kin_shared_memory_create. */
KIN_API int kin_shareable_list_create(kin_shareable_list **list, const char *name,
                                      const kin_shareable_item *items, size_t count);

/* kin_shareable_list_attach opens the list of that name, whether kin or Python made it.
 * Errors: -EBADMSG (the block holds no such list), and those of kin_shared_memory_attach. */
KIN_API int kin_shareable_list_attach(kin_shareable_list **list, const char *name);

/* kin_shareable_list_length returns how many items the list has.  Does not block.
 * Errors: -EINVAL (NULL). */
KIN_API long kin_shareable_list_length(const kin_shareable_list *list);

/* kin_shareable_list_get fills `*item` with the item at `index`.  A str or bytes is copied to
 * `buffer`, of `size` bytes, with a NUL after it that is not counted.
 * Errors: KIN_EINDEX (beyond the end), KIN_ETOOSMALL (kin_needed_size tells what is needed),
 * -EILSEQ (a str that is no UTF-8: Python cuts text that is not ASCII when it makes a list),
 * -EBADMSG (the list was damaged), -EINVAL (NULL). */
KIN_API int kin_shareable_list_get(const kin_shareable_list *list, size_t index, kin_shareable_item *item,
                                   char *buffer, size_t size);

/* kin_shareable_list_set changes the item at `index`, also to another type.
 * Errors, after which nothing has changed: KIN_EINDEX, -EMSGSIZE (a str or bytes is longer than the
 * item's place, which is 8 bytes for what began as something else), -EILSEQ (as above), -EINVAL. */
KIN_API int kin_shareable_list_set(kin_shareable_list *list, size_t index, const kin_shareable_item *item);

/* kin_shareable_list_memory returns the block the list lies in, for its name and to unlink it.  It
 * is the list's, and not to be closed.  NULL for NULL.  Does not block. */
KIN_API kin_shared_memory *kin_shareable_list_memory(const kin_shareable_list *list);

/* kin_shareable_list_close closes the handle, and the block.  NULL is allowed.  Errors: those of
 * kin_shared_memory_close. */
KIN_API int kin_shareable_list_close(kin_shareable_list *list);

KIN_END
#endif
