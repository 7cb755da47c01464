/* view.h: the memory of a family, read from outside through its file.
 *
 * Invariants:
 *  - Nothing is mapped: what is read is copied by the kernel, from a descriptor that is open for
 *    reading alone.  So a look changes nothing, not even how much memory the region takes, and what
 *    the family does meanwhile can make a copy wrong, but never fault.
 *  - Whatever was read is doubted: addresses are checked against the region, counts against what
 *    there can be, and lists against going round, before they are followed.  Where things lie follows
 *    from the size of the file alone.
 */
#ifndef KIN_INSPECT_VIEW_H
#define KIN_INSPECT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/region.h"

/* Private.  `header` is a copy from the moment it was opened; what says where things lie in it is made
 * anew. */
struct kin__view {
    int descriptor;
    uint64_t base;
    uint64_t size;
    uint64_t inode;
    struct kin__header header;
};

/* Looks through a memory file, which stays the caller's: 0; KIN_ELAYOUT: of another version of kin, of
 * which the header's name and the inode are good; -EBADF: it is no family's. */
int kin__view_open(struct kin__view *view, int descriptor);

/* Copies what processes of the family have at that address; false where there is none. */
bool kin__view_read(const struct kin__view *view, uint64_t address, void *copy, size_t size);
/* Reads a word of 8 bytes again: is it still that one? */
bool kin__view_same(const struct kin__view *view, uint64_t address, uint64_t word);

/* Shows copies of all allocated objects of a kind, of `size` bytes: 0; KIN_ELAYOUT: they are of another
 * size; -ENOMEM; or what `look` returned when that was not 0, which ends it. */
typedef int kin__view_look(struct kin__view *view, uint64_t address, void *copy, void *context);
int kin__view_objects(struct kin__view *view, enum kin__object_kind kind, size_t size, kin__view_look *look,
                      void *context);

/* Room for copies, which begin on a cache line as the originals do: NULL if there is none.  *whole is what
 * kin__os_free takes. */
void *kin__view_room(size_t size, void **whole);

/* What a copy of a bool says, whatever byte it is. */
static inline bool kin__view_flag(const void *flag)
{
    return *(const unsigned char *)flag != 0;
}

/* The object that an address lies in; false if it lies in none. */
bool kin__view_find(const struct kin__view *view, uint64_t address, enum kin__object_kind *kind,
                    uint64_t *object);

#endif
